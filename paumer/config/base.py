"""What all sections of the configuration share.

Turn pydantic's findings into one line that names the key and the remedy.
"""

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from paumer.system.errors import PaumerError

LONGEST = 100  # characters of a wrong value that are shown


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
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


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
Size = tuple[int, int]


class Section(BaseModel):
    """A part of the configuration. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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


def parse(model: type[Section], content: Any, origin: str) -> Any:
    """Validate `content` as `model`.

    Raises:
        PaumerError: one line that names `origin`, the key at fault and what is wrong with it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise PaumerError(explain(error, model, origin)) from None
    except PaumerError as error:
        raise PaumerError(f"{origin}: {error}") from None


IGNORE = 255
