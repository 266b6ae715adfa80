"""The datasets by name: class lists, where images and labels lie, and what a label pixel means."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from paumer.config import Data
from paumer.data import camvid, cityscapes
from paumer.data.fetching import Source
from paumer.errors import PaumerError

IGNORE = cityscapes.IGNORE


@dataclass(frozen=True)
class Sample:
    """One image and its label map."""

    image: Path
    label: Path


@dataclass(frozen=True)
class Dataset:
    """What the pipeline needs to know of a dataset.

    Attributes:
        classes: class names; the position is the class id that networks predict.
        colours: one colour per class, for pictures.
        unlabelled: pixel values of label maps that count as ignored.
        image_folder: split -> the folder that must exist.
        source: where to get the dataset, for error messages.
        licence: on which terms it is given.
        citation: what to cite.
        download: the archive that it can be fetched as by itself, if there is one.
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    unlabelled: tuple[int, ...]
    image_folder: Callable[[Path, str], Path]
    image_paths: Callable[[Path, str], list[Path]]
    label_path: Callable[[Path, str, Path], Path]
    source: str
    licence: str
    citation: str
    download: Source | None = None

    @property
    def terms(self) -> dict[str, str]:
        """Licence and citation."""
        return {"licence": self.licence, "citation": self.citation}

    @property
    def by_hand(self) -> str:
        """How a person gets the dataset, for error messages."""
        return f"get {self.source}, then name where it lies in data.folder or PAUMER_DATA"

    def samples(self, root: Path, split: str) -> list[Sample]:
        """List a split.

        Raises:
            PaumerError: the folder is missing or holds no images.
        """
        folder = self.image_folder(root, split)
        if not folder.is_dir():
            fetched = " (with neither set it is fetched)" if self.download else ""
            raise PaumerError(
                f"{folder}: no such folder for split {split!r}; check its name, or {self.by_hand}{fetched}"
            )
        images = self.image_paths(root, split)
        if not images:
            raise PaumerError(f"{folder}: holds no images of dataset {self.name}; check data.folder and the split")
        return [Sample(image, self.label_path(root, split, image)) for image in images]

    @cached_property
    def class_of_value(self) -> np.ndarray:
        """Class id of each pixel value 0 to 255; -1 marks values that no label map may hold."""
        table = np.full(256, -1, dtype=np.int16)
        table[: len(self.classes)] = np.arange(len(self.classes))
        table[list(self.unlabelled)] = IGNORE
        return table


def _cityscapes_like(name: str, source: str, licence: str, citation: str) -> Dataset:
    return Dataset(
        name=name,
        classes=tuple(label.name for label in cityscapes.EVALUATED),
        colours=tuple(label.colour for label in cityscapes.EVALUATED),
        unlabelled=(IGNORE,),
        image_folder=cityscapes.image_folder,
        image_paths=cityscapes.image_paths,
        label_path=cityscapes.label_path,
        source=source,
        licence=licence,
        citation=citation,
    )


DATASETS: dict[str, Dataset] = {
    "scenes": _cityscapes_like(
        "scenes",
        source="the scenes with `paumer data`",
        licence="drawn by this project, under its own licence, Apache-2.0",
        citation="this software (CITATION.cff)",
    ),
    "cityscapes": _cityscapes_like(
        "cityscapes",
        source="Cityscapes from www.cityscapes-dataset.com (free registration)",
        licence="the dataset's own terms, agreed to on registration at www.cityscapes-dataset.com",
        citation=cityscapes.CITATION,
    ),
    "camvid": Dataset(
        name="camvid",
        classes=tuple(camvid.CLASSES),
        colours=tuple(camvid.CLASSES.values()),
        unlabelled=(camvid.UNLABELLED, IGNORE),
        image_folder=camvid.image_folder,
        image_paths=camvid.image_paths,
        label_path=camvid.label_path,
        source=camvid.ORIGIN,
        licence=camvid.LICENCE,
        citation=camvid.CITATION,
        download=camvid.ARCHIVE,
    ),
}


def named_folder(data: Data) -> Path | None:
    """The folder that the user named: `data.folder`, else PAUMER_DATA, which does not concern scenes."""
    named = data.folder or (None if data.dataset == "scenes" else os.environ.get("PAUMER_DATA"))
    return Path(named).expanduser() if named else None
