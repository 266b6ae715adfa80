"""The datasets by name: class lists, where images and labels lie, and what a label pixel means."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from paumer.config import Data
from paumer.data import camvid, cityscapes
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
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]
    unlabelled: tuple[int, ...]
    image_folder: Callable[[Path, str], Path]
    image_paths: Callable[[Path, str], list[Path]]
    label_path: Callable[[Path, str, Path], Path]
    source: str

    def samples(self, root: Path, split: str) -> list[Sample]:
        """List a split.

        Raises:
            PaumerError: the folder is missing or holds no images.
        """
        folder = self.image_folder(root, split)
        if not folder.is_dir():
            raise PaumerError(f"{folder}: no such folder for split {split!r}; get {self.source} and set data.folder")
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


def _cityscapes_like(name: str, source: str) -> Dataset:
    return Dataset(
        name=name,
        classes=tuple(label.name for label in cityscapes.EVALUATED),
        colours=tuple(label.colour for label in cityscapes.EVALUATED),
        unlabelled=(IGNORE,),
        image_folder=cityscapes.image_folder,
        image_paths=cityscapes.image_paths,
        label_path=cityscapes.label_path,
        source=source,
    )


DATASETS: dict[str, Dataset] = {
    "scenes": _cityscapes_like("scenes", "the scenes with `paumer data`"),
    "cityscapes": _cityscapes_like("cityscapes", "Cityscapes from www.cityscapes-dataset.com (free registration)"),
    "camvid": Dataset(
        name="camvid",
        classes=tuple(camvid.CLASSES),
        colours=tuple(camvid.CLASSES.values()),
        unlabelled=(camvid.UNLABELLED, IGNORE),
        image_folder=camvid.image_folder,
        image_paths=camvid.image_paths,
        label_path=camvid.label_path,
        source=camvid.SOURCE,
    ),
}


def find_folder(data: Data, drawn: Path | None = None) -> Path:
    """Where the dataset lies: `data.folder`; else `drawn` for scenes, and PAUMER_DATA for every other dataset.

    Raises:
        PaumerError: none of them is given.
    """
    fallback = drawn if data.dataset == "scenes" else os.environ.get("PAUMER_DATA")
    named = data.folder or fallback
    if not named:
        raise PaumerError(
            f"data.folder: not set; get {DATASETS[data.dataset].source}, then name its folder there or in PAUMER_DATA"
        )
    return Path(named).expanduser()
