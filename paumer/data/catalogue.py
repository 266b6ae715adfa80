"""The datasets by name, the folders that they are in, and `classes.yaml`, which describes a custom dataset."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from paumer.config.base import IGNORE, Section, parse, read_yaml
from paumer.config.network import Data
from paumer.data import ade20k, camvid, cityscapes, idd_lite, nyuv2
from paumer.data.datasets import Colour, Dataset, Layout, distinct_colours, from_hex
from paumer.system import plugins
from paumer.system.errors import PaumerError
from paumer.system.files import read_json

COLOURS = "colours.json"  # beside a manifest: the colour of every class

SCENES = replace(
    cityscapes.DATASET,
    name="scenes",
    origin="the scenes with `paumer data`",
    licence="drawn by this project, under its own licence, Apache-2.0",
    citation="this software (CITATION.cff)",
    download=None,
    finishing=None,
    label_remedy="remove the folder, and the scenes are drawn anew",
    block=None,
)
PUBLISHED = (cityscapes.DATASET, camvid.DATASET, ade20k.DATASET, idd_lite.DATASET, nyuv2.DATASET)
DATASETS = {dataset.name: dataset for dataset in (SCENES, *PUBLISHED)}
FOLDER = "folder"  # the dataset that a class list describes


def find_dataset(name: str, root: Path) -> Dataset:
    """A dataset by its name in the configuration; `folder` is described by the class list in `root`.

    Raises:
        PaumerError: there is no such dataset, or the class list is missing or wrong.
    """
    if name == FOLDER:
        return described(root)
    known = all_datasets()
    if name not in known:
        raise PaumerError(f"dataset {name!r} is unknown; use {FOLDER}, {', '.join(known)}")
    return known[name]


def all_datasets() -> dict[str, Dataset]:
    """The datasets of this package, and those of plug-ins, by name.

    Raises:
        PaumerError: a plug-in brings something else.
    """
    for name, dataset in plugins.DATASETS.items():
        if not isinstance(dataset, Dataset):
            raise PaumerError(f"dataset {name!r}: is no paumer.data.datasets.Dataset; docs/extending.md shows one")
    return {**DATASETS, **plugins.DATASETS}


def known_colours(name: str, root: Path, manifest: Path) -> Sequence[Colour]:
    """The class colours of the dataset in `root`; without it those in `colours.json` beside the manifest, if any."""
    try:
        return find_dataset(name, root).colours
    except PaumerError:
        pass
    try:
        return [from_hex(text) for text in read_json(manifest.with_name(COLOURS)).values()]
    except (PaumerError, ValueError, AttributeError):
        return ()


def folder_of(data: Data, manifest: Path) -> Path:
    """The folder of a dataset: as the user named it, else beside the manifest. It need not exist yet."""
    return named_folder(data) or manifest.parent / "data" / data.dataset


def stored_folder(folder: Path, manifest: Path) -> str:
    """The dataset's folder as written to a manifest: relative to the manifest if inside its folder, else absolute.

    So results can be moved, and commands run in any working folder.
    """
    folder, home = folder.absolute(), manifest.parent.absolute()
    return str(folder.relative_to(home) if folder.is_relative_to(home) else folder)


def described_folder(manifest: Path, stored: str) -> Path:
    """The folder that a manifest names; in earlier versions relative to the working folder."""
    folder = manifest.parent / stored
    return folder if folder.is_dir() or not Path(stored).is_dir() else Path(stored)


def named_folder(data: Data) -> Path | None:
    """The folder that the user named: `data.folder`, else PAUMER_DATA, or its subfolder of the dataset's name.

    PAUMER_DATA does not concern scenes.
    """
    if data.folder or data.dataset == "scenes":
        return Path(data.folder).expanduser() if data.folder else None
    named = os.environ.get("PAUMER_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    return folder / data.dataset if (folder / data.dataset).is_dir() else folder


CLASS_LIST = "classes.yaml"
LABEL_ENDINGS = (".png", ".tif", ".tiff", ".bmp")  # formats that keep numbers as they are
REQUIRED_FILES = f"images/SPLIT, labels/SPLIT and {CLASS_LIST}, as docs/data.md describes them"
LAYOUT = Layout(
    images="images/{split}",
    labels="labels/{split}/{folder}/{stem}",
    label_endings=tuple(form for end in LABEL_ENDINGS for form in (end, end.upper(), f".{end[1:].capitalize()}")),
    pattern="**/*",
)
Byte = Annotated[int, Field(ge=0, le=255)]


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError(f"{name!r} holds characters that cannot be printed; write it in one line")
    return name


Name = Annotated[str, Field(min_length=1, pattern=r"\S"), AfterValidator(_printable)]


class ClassList(Section):
    """Contents of `classes.yaml`; `classes` is a list of names for label values 0, 1, ..., or maps values to names.

    Without `ignored`, 255 is ignored unless it is a class.
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
        raise PaumerError(f"{path}: no such file; a folder of one's own data has {REQUIRED_FILES}")
    content: ClassList = parse(ClassList, *read_yaml(str(path)))
    names = tuple(content.classes.values())
    colours: tuple[Colour, ...] = content.colours or distinct_colours(len(names))
    values = {value: number for number, value in enumerate(content.classes)}
    usual = {IGNORE} - set(values) if content.ignored is None else set()
    return Dataset(
        name=FOLDER,
        classes=names,
        colours=colours,
        encodings={".png": values | dict.fromkeys(usual.union(content.ignored or ()), IGNORE)},
        layout=LAYOUT,
        origin=f"a folder with {REQUIRED_FILES}",
        licence=content.licence,
        citation=content.citation,
        value_remedy=f"list it in {path}, under `classes` or `ignored`, or convert the labels",
        unasked=tuple(usual),
    )
