"""What all sections of the configuration share: types, reading YAML, and one-line errors that name key and remedy.

YAML of settings has plain values only, every key once, and no aliases that grow without bounds.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from paumer.system.errors import PaumerError
from paumer.system.files import read_bytes

IGNORE = 255  # label of pixels without a class
FOLDERS = "folders"  # in the context of a validation
SHOWN = 100  # characters of a wrong value that are shown


def explain(error: ValidationError, model: type[BaseModel], origin: str) -> str:
    """Describe the first finding of `error` in one line, with the number of further ones."""
    findings = error.errors(include_url=False)
    first = findings[0]
    # Parts such as `<name>` say which type of a union was tried.
    place = tuple(part for part in first["loc"] if not str(part).startswith("<"))
    key = ".".join(map(str, place)) or "configuration"
    if first["type"] == "extra_forbidden":
        text = f"unknown key {key!r}{_nearest(model, place)}"
    elif first["type"] == "missing":
        text = f"key {key!r} is missing; add it"
    elif first["type"] == "value_error":
        text = f"{key}: {first['ctx']['error']}" if first["loc"] else str(first["ctx"]["error"])
    else:
        text = f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, not {_short(first['input'])}"
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return " ".join(f"{origin}: {text}{more}".split())


def _short(value: Any) -> str:
    """A value as it is written, or its beginning."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _nearest(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Name the key that was probably meant, or all keys of that section."""
    section: Any = model
    for part in location[:-1]:
        if part in section.model_fields:  # else it is a place in a list, or a name that the user gave
            section = section_in(section.model_fields[part].annotation)
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known keys: {', '.join(known)}"


def section_in(annotation: Any) -> Any:
    """The configuration section inside `Section`, `Section | None`, `tuple[Section, ...]` and the like, or None."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := section_in(part)) is not None), None)


NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
Size = tuple[int, int]  # height and width
MOST_OBLONG = 4  # longer over shorter side, where images are resized to a short side


class Section(BaseModel):
    """A part of the configuration. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def short_side_factor(size: Sequence[int], short_side: int) -> float:
    """By what to resize an image (height, width) so that its shorter side is `short_side`.

    The longer side gets four times as much at most, as for ADE20K in mmsegmentation: panoramas stay small.
    """
    return min(short_side / min(size), MOST_OBLONG * short_side / max(size))


def scaled_size(size: Sequence[int], factor: float) -> Size:
    """Height and width times a factor, in whole pixels, at least one."""
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


def both_sides(size: Any) -> Any:
    """Height and width; one number is both."""
    return (size, size) if isinstance(size, int) else size


def positive_size(size: Size) -> Size:
    """Refuse sides below 1."""
    if min(size) < 1:
        raise ValueError("must be [height, width], both 1 or more")
    return size


def different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse lists that name something twice."""
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ValueError(f"{value!r} stands there twice; name each once")
    return values


PositiveSize = Annotated[Size, AfterValidator(positive_size)]
Positive = Annotated[int, Field(ge=1)]
Different = AfterValidator(different)


def parse(model: type[Section], content: Any, origin: str, folders: Sequence[Path] = ()) -> Any:
    """Validate `content` as `model`.

    Args:
        model: the section.
        content: keys and values.
        origin: where they stand, for messages.
        folders: what the files of plug-ins are relative to, beside the working folder.

    Raises:
        PaumerError: one line that names `origin`, the key at fault and what is wrong with it.
    """
    try:
        return model.model_validate(content, context={FOLDERS: folders})
    except ValidationError as error:
        raise PaumerError(explain(error, model, origin)) from None


def written(text: Any, **options: Any) -> Any:
    """A field whose default stands as in an experiment file, and is read like any other value."""
    return Field(text, validate_default=True, **options)


# What aliases may make of a text: the largest of our own experiment files has about 300 values.
MAX_VALUES = 100_000


class StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which builds no objects, without repeated keys and without alias bombs."""

    def get_single_node(self) -> yaml.Node | None:
        """The tree of a document, refused where aliases make it endless or too large."""
        node = super().get_single_node()
        if node is not None and self._count(node, {}, set()) > MAX_VALUES:
            raise yaml.YAMLError(f"aliases make more than {MAX_VALUES} values of it")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping, refused where a key stands twice; what `<<` merges in later may be replaced."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # refused when it is built: it is no key
            if key.value in seen:
                raise yaml.composer.ComposerError(
                    problem=f"key {key.value!r} stands there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return node

    def _count(self, node: yaml.Node, known: dict[int, int], open_nodes: set[int]) -> int:
        """How many values a node stands for, those of its aliases each time."""
        if id(node) in open_nodes:
            raise yaml.YAMLError("an alias stands inside what it names")
        if id(node) not in known:
            open_nodes.add(id(node))
            inside = [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
            parts = inside if isinstance(node, yaml.CollectionNode) else []
            known[id(node)] = 1 + sum(self._count(part, known, open_nodes) for part in parts)
            open_nodes.discard(id(node))
        return known[id(node)]


def load_yaml(text: str, loader: type[StrictLoader] = StrictLoader) -> Any:
    """Read a YAML document.

    Raises:
        ValueError: it is none, or one that is refused; the text is one line.
    """
    try:
        return yaml.load(text, Loader=loader)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, KeyError) as error:  # tags of wrong values, too
        raise ValueError(" ".join(str(error).replace('"<unicode string>", ', "").split())) from None


def read_yaml(text_or_path: str) -> tuple[Any, str]:
    """Read settings from YAML text that holds a mapping, or from the file of that name.

    Returns:
        The content, and a name for it in error messages.

    Raises:
        PaumerError: the file is missing, or the text is not YAML.
    """
    inline = text_or_path.lstrip().startswith("{")
    origin = "settings" if inline else text_or_path
    try:
        content = load_yaml(text_or_path if inline else read_bytes(Path(text_or_path)).decode())
    except OSError as error:
        raise PaumerError(f"{text_or_path}: {error.strerror or error}; name a YAML file with settings") from None
    except ValueError as error:
        raise PaumerError(f"{origin}: not valid YAML ({error}); mend it") from None
    if not isinstance(content, dict):
        raise PaumerError(f"{origin}: must hold keys and values, not {type(content).__name__}")
    return content, origin
