"""Data of one's own: images in `images/SPLIT`, label maps of the same names in `labels/SPLIT`, and `classes.yaml`."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from paumer.config import Section, parse
from paumer.data.colours import distinct_colours
from paumer.data.datasets import IGNORE, Colour, Dataset
from paumer.errors import PaumerError
from paumer.files import files_below, read_yaml
from paumer.images import ENDINGS

NAME = "folder"
CLASS_LIST = "classes.yaml"
LABEL_ENDINGS = (".png", ".tif", ".tiff", ".bmp")  # formats that keep numbers as they are
LAYOUT = f"images/SPLIT, labels/SPLIT and {CLASS_LIST}, as docs/data.md describes them"
Byte = Annotated[int, Field(ge=0, le=255)]


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError(f"{name!r} holds characters that cannot be printed; write it in one line")
    return name


Name = Annotated[str, Field(min_length=1, pattern=r"\S"), AfterValidator(_printable)]


class ClassList(Section):
    """The classes of a dataset; `classes` is a list of names for label values 0, 1, ..., or maps values to names.

    Where it says nothing of `ignored`, 255 is, unless it is a class.
    """

    classes: dict[Byte, Name] = Field(min_length=1, max_length=IGNORE)
    colours: tuple[tuple[Byte, Byte, Byte], ...] = ()
    ignored: tuple[Byte, ...] | None = None
    licence: str = "not stated"
    citation: str = "not stated"

    @field_validator("classes", mode="before")
    @classmethod
    def _numbered(cls, classes: Any) -> Any:
        return dict(enumerate(classes)) if isinstance(classes, list) else classes

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = list(self.classes.values())
        if len(names) == 1:
            raise ValueError(
                f"classes: {names[0]!r} alone leaves nothing to tell apart; name what is not it as a class"
            )
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"classes: {twice[0]!r} stands there twice; names must differ")
        if self.colours and len(self.colours) != len(names):
            raise ValueError(f"colours: {len(self.colours)} for {len(names)} classes; give one for each, or none")
        both = [value for value in self.ignored or () if value in self.classes]
        if both:
            raise ValueError(f"ignored: {both[0]} is the value of class {self.classes[both[0]]!r}; remove one")
        return self


def described(root: Path) -> Dataset:
    """The dataset in a folder.

    Raises:
        PaumerError: its class list is missing or wrong.
    """
    path = root / CLASS_LIST
    if not path.is_file():
        raise PaumerError(f"{path}: no such file; a folder of one's own data has {LAYOUT}")
    content: ClassList = parse(ClassList, *read_yaml(str(path)))
    names = tuple(content.classes.values())
    colours: tuple[Colour, ...] = content.colours or distinct_colours(len(names))
    values = {value: number for number, value in enumerate(content.classes)}
    usual = {IGNORE} - set(values) if content.ignored is None else set()
    return Dataset(
        name=NAME,
        classes=names,
        colours=colours,
        encodings={".png": values | dict.fromkeys(usual.union(content.ignored or ()), IGNORE)},
        image_folder=image_folder,
        image_paths=image_paths,
        label_path=label_path,
        origin=f"a folder with {LAYOUT}",
        licence=content.licence,
        citation=content.citation,
        value_remedy=f"list it in {path}, under `classes` or `ignored`, or convert the labels",
        unasked=tuple(usual),
    )


def image_folder(root: Path, split: str) -> Path:
    """The folder that holds a split's images, in subfolders or not."""
    return root / "images" / split


def image_paths(root: Path, split: str) -> list[Path]:
    """The images of a split, sorted by path."""
    return files_below(image_folder(root, split), ENDINGS)


def label_path(root: Path, split: str, image: Path) -> Path:
    """Where the label of an image lies: a PNG file, or another that keeps numbers."""
    place = root / "labels" / split / image.relative_to(image_folder(root, split))
    forms = (form for ending in LABEL_ENDINGS for form in (ending, ending.upper(), f".{ending[1:].capitalize()}"))
    named = (place.with_suffix(form) for form in forms)
    return next((path for path in named if path.exists()), place.with_suffix(LABEL_ENDINGS[0]))
