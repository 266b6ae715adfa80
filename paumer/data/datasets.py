"""What the pipeline needs to know of a dataset: its classes, where images and labels lie, what a label pixel means.

Colours of classes: those of classes that come without, and how they are written.
"""

import colorsys
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from paumer.config.base import IGNORE
from paumer.data.archives import Source
from paumer.data.images import ENDINGS
from paumer.system.errors import PaumerError
from paumer.system.files import hidden

Colour = tuple[int, int, int]
Finish = Callable[[Path, int], None]


@dataclass(frozen=True)
class Sample:
    """One image and its label map."""

    image: Path
    label: Path


@dataclass(frozen=True)
class Dataset:
    """A dataset, wherever its files lie.

    Attributes:
        name: its name in the configuration.
        classes: class names; the position is the class id that networks predict.
        colours: one colour per class, for pictures.
        encodings: how names of label maps end -> class id of every pixel value they may hold, 255 for ignored ones. The
            first is the usual one.
        image_folder: root and split -> the folder that must exist.
        image_paths: root and split -> the images; hidden ones do not count.
        label_path: root, split and image -> where its label map lies.
        origin: where to get the dataset, for error messages.
        licence: on which terms it is given.
        citation: what to cite.
        download: what it is fetched as by itself, if it can be.
        finishing: gives what makes a fetched folder ready, called with that folder and a number of processes. It is
            asked before anything is fetched, and raises PaumerError where a tool is missing.
        label_remedy: what to do about a missing label map, for error messages.
        image_endings: how the names of images end, for error messages.
        value_remedy: what to do about a value of a label map that is no class, for error messages.
        unasked: values that are ignored by custom, though nobody said so for this dataset.
        caution: what figures on its usual splits cannot show.
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[Colour, ...]
    encodings: Mapping[str, Mapping[int, int]]
    image_folder: Callable[[Path, str], Path]
    image_paths: Callable[[Path, str], list[Path]]
    label_path: Callable[[Path, str, Path], Path]
    origin: str
    licence: str
    citation: str
    download: Source | None = None
    finishing: Callable[[], Finish] | None = None
    label_remedy: str = "add it, or remove the image"
    image_endings: tuple[str, ...] = ENDINGS
    value_remedy: str = "convert the labels"
    unasked: tuple[int, ...] = ()
    caution: str = ""

    @property
    def terms(self) -> dict[str, str]:
        """Licence and citation."""
        return {"licence": self.licence, "citation": self.citation}

    @property
    def by_hand(self) -> str:
        """How a person gets the dataset, for error messages."""
        return f"get {self.origin}, then name where it lies in data.folder or PAUMER_DATA"

    def samples(self, root: Path, split: str) -> list[Sample]:
        """List a split.

        Raises:
            PaumerError: the folder is missing or holds no images, or two images have one label map.
        """
        folder = self.image_folder(root, split)
        if not folder.is_dir():
            fetched = " (with neither set it is fetched)" if self.download else ""
            wrong = "is no folder, which it must be" if folder.exists() else "no such folder"
            raise PaumerError(f"{folder}: {wrong} for split {split!r}; check its name, or {self.by_hand}{fetched}")
        images = [path for path in self.image_paths(root, split) if not hidden(path, folder)]
        if not images:
            endings = ", ".join(self.image_endings)
            raise PaumerError(
                f"{folder}: holds no images of dataset {self.name} (names that end in {endings}); check data.folder "
                "and the split"
            )
        samples = [Sample(image, self.label_path(root, split, image)) for image in images]
        images_of: dict[Path, Path] = {}
        for image, label in ((sample.image, sample.label) for sample in samples):
            if images_of.setdefault(label, image) != image:
                raise PaumerError(f"{image} and {images_of[label]}: both have the label {label}; rename or remove one")
        return samples

    def left_out(self, root: Path, split: str, images: Collection[Path]) -> list[Path]:
        """The files among the images of a split that are none of them, by their names; hidden ones aside."""
        folder = self.image_folder(root, split)
        found = set(folder.rglob("*")) - set(images)
        return sorted(path for path in found if path.is_file() and not hidden(path, folder))

    def class_of_value(self, label: Path) -> np.ndarray:
        """Class id of each pixel value 0 to 255 of a label map; -1 marks values that it may not hold."""
        return self.tables[self._ending(label)]

    @cached_property
    def tables(self) -> dict[str, np.ndarray]:
        """The encodings as tables of 256 class ids each, with -1 for values that no label map may hold."""
        tables = {}
        for ending, encoding in self.encodings.items():
            tables[ending] = np.full(256, -1, dtype=np.int16)
            tables[ending][list(encoding)] = list(encoding.values())
        return tables

    @cached_property
    def meaning(self) -> str:
        """A checksum of the classes, and of what every value of a label map stands for."""
        tables = {ending: table.tolist() for ending, table in self.tables.items()}
        return hashlib.sha256(repr((self.classes, tables)).encode()).hexdigest()

    def describe_values(self, label: Path) -> str:
        """Which pixel values a label map may hold, for error messages."""
        encoding = self.encodings[self._ending(label)]
        classes = [value for value, class_id in encoding.items() if class_id != IGNORE]
        rising = len(classes) > 1 and classes == list(range(classes[0], classes[0] + len(classes)))
        text = f"{classes[0]} to {classes[-1]}" if rising else ", ".join(map(str, classes))
        ignored = ", ".join(str(value) for value, class_id in encoding.items() if class_id == IGNORE)
        return f"{text}, ignored: {ignored or 'none'}"

    def _ending(self, label: Path) -> str:
        return next((ending for ending in self.encodings if label.name.endswith(ending)), next(iter(self.encodings)))


def numbered(classes: int, first: int = 0, ignored: tuple[int, ...] = (IGNORE,)) -> dict[int, int]:
    """The plain encoding: class ids in a row from pixel value `first` on, and ignored values."""
    return {first + number: number for number in range(classes)} | dict.fromkeys(ignored, IGNORE)


GOLDEN = 0.618034  # hues that are this far apart fall into the largest gap
SHADES = ((0.65, 0.9), (0.95, 0.75), (0.4, 0.7), (0.8, 0.5))


def distinct_colours(count: int) -> tuple[Colour, ...]:
    """As many colours, none of them black or twice, neighbours far apart; the same every time."""
    colours = []
    for number in range(count):
        saturation, value = SHADES[number % len(SHADES)]
        red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1, saturation, value)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return tuple(colours)


def to_hex(colour: Colour) -> str:
    """A colour as it is written, `#804080`."""
    return f"#{bytes(colour).hex()}"


def from_hex(text: str) -> Colour:
    """The colour that is written so.

    Raises:
        ValueError: none is.
    """
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue
