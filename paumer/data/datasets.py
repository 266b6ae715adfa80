"""What the pipeline needs to know of a dataset: its classes and their colours, its files, the values of its labels."""

import colorsys
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from paumer.config.base import IGNORE
from paumer.data.archives import Source
from paumer.system.errors import PaumerError
from paumer.system.files import files_below, hidden

Colour = tuple[int, int, int]
Finish = Callable[[Path, int], None]

# Endings of image names, in small or capital letters.
ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".gif"),
)


@dataclass(frozen=True)
class Sample:
    """One image and its label map."""

    image: Path
    label: Path


@dataclass(frozen=True)
class Layout:
    """Where a dataset's images and label maps are, below its folder.

    Attributes:
        images: the folder with the images of `{split}`.
        labels: the label map of an image, with `{split}`, `{folder}` (that of the image below `images`) and `{stem}`
            (its name without the ending).
        label_endings: endings of label maps, appended to `labels`; the first that exists is read.
        pattern: which paths below the image folder may be images; `**/*` goes into all subfolders.
        image_endings: endings of image names, in any case.
        split_names: splits whose folder has another name.
    """

    images: str
    labels: str
    label_endings: tuple[str, ...] = (".png",)
    pattern: str = "*"
    image_endings: tuple[str, ...] = ENDINGS
    split_names: Mapping[str, str] = field(default_factory=dict)

    def image_folder(self, root: Path, split: str) -> Path:
        """The folder with the images of a split."""
        return root / self.images.format(split=self.split_names.get(split, split))

    def image_paths(self, root: Path, split: str) -> list[Path]:
        """The images of a split, sorted, without hidden ones.

        Raises:
            PaumerError: a subfolder is a link, where all subfolders are read.
        """
        folder, endings = self.image_folder(root, split), tuple(map(str.lower, self.image_endings))
        if self.pattern == "**/*":
            return files_below(folder, endings)
        found = (path for path in folder.glob(self.pattern) if path.name.lower().endswith(endings))
        return sorted(path for path in found if not hidden(path, folder))

    def label_paths(self, root: Path, split: str, image: Path) -> list[Path]:
        """Where the label map of an image may be, the usual place first."""
        ending = next(ending for ending in self.image_endings if image.name.lower().endswith(ending.lower()))
        place = self.labels.format(
            split=self.split_names.get(split, split),
            folder=image.parent.relative_to(self.image_folder(root, split)).as_posix(),
            stem=image.name[: -len(ending)],
        )
        return [root / f"{place}{ending}" for ending in self.label_endings]

    def label_path(self, root: Path, split: str, image: Path) -> Path:
        """The label map of an image: the first that exists, or else the usual place."""
        paths = self.label_paths(root, split, image)
        return next((path for path in paths if len(paths) > 1 and path.exists()), paths[0])


@dataclass(frozen=True)
class Dataset:
    """A dataset, independent of the folder it is in.

    Attributes:
        name: its name in the configuration.
        classes: class names; the position is the class id that networks predict.
        colours: one colour per class, for pictures.
        encodings: ending of label map names -> pixel value -> class id, 255 for ignored values; the usual ending first.
        layout: where images and label maps are.
        origin: where to get the dataset, for error messages.
        licence: the terms of use.
        citation: what to cite.
        download: what can be fetched, if anything can.
        finishing: checks that the tools are installed (PaumerError), and returns what completes a fetched folder,
            called with the folder and a number of processes.
        label_remedy: how to mend a missing label map, for error messages.
        value_remedy: how to mend a value of a label map that is no class, for error messages.
        unasked: values that are ignored by default, without being listed as ignored.
        caution: what results on the usual splits cannot show.
    """

    name: str
    classes: tuple[str, ...]
    colours: tuple[Colour, ...]
    encodings: Mapping[str, Mapping[int, int]]
    layout: Layout
    origin: str
    licence: str
    citation: str
    download: Source | None = None
    finishing: Callable[[], Finish] | None = None
    label_remedy: str = "add it, or remove the image"
    value_remedy: str = "convert the labels"
    unasked: tuple[int, ...] = ()
    caution: str = ""

    @property
    def terms(self) -> dict[str, str]:
        """Licence and citation."""
        return {"licence": self.licence, "citation": self.citation}

    @property
    def manual_instructions(self) -> str:
        """How to get the dataset without a download, for error messages."""
        return f"get {self.origin}, then name where it lies in data.folder or PAUMER_DATA"

    def samples(self, root: Path, split: str) -> list[Sample]:
        """List a split.

        Raises:
            PaumerError: the folder is missing or holds no images, or two images have one label map.
        """
        folder = self.layout.image_folder(root, split)
        if not folder.is_dir():
            fetched = " (with neither set it is fetched)" if self.download else ""
            wrong = "is no folder, which it must be" if folder.exists() else "no such folder"
            raise PaumerError(
                f"{folder}: {wrong} for split {split!r}; check its name, or {self.manual_instructions}{fetched}"
            )
        images_of: dict[Path, Path] = {}
        for image in self.layout.image_paths(root, split):
            label = self.layout.label_path(root, split, image)
            if images_of.setdefault(label, image) != image:
                raise PaumerError(f"{image} and {images_of[label]}: both have the label {label}; rename or remove one")
        if not images_of:
            endings = ", ".join(self.layout.image_endings)
            raise PaumerError(
                f"{folder}: holds no images of dataset {self.name} (names that end in {endings}); check data.folder "
                "and the split"
            )
        return [Sample(image, label) for label, image in images_of.items()]

    def left_out(self, root: Path, split: str, images: Collection[Path]) -> list[Path]:
        """Files in the image folder of a split that are not among `images`; hidden ones aside."""
        folder = self.layout.image_folder(root, split)
        found = set(folder.rglob("*")) - set(images)
        return sorted(path for path in found if path.is_file() and not hidden(path, folder))

    def class_of_value(self, label: Path) -> np.ndarray:
        """Class id of each pixel value 0 to 255 of a label map, (256,) int16; -1 for values that are invalid."""
        return self.tables[self._ending(label)]

    @cached_property
    def tables(self) -> dict[str, np.ndarray]:
        """The encodings as tables of 256 class ids each, with -1 for invalid values."""
        tables = {}
        for ending, encoding in self.encodings.items():
            tables[ending] = np.full(256, -1, dtype=np.int16)
            tables[ending][list(encoding)] = list(encoding.values())
        return tables

    @cached_property
    def meaning(self) -> str:
        """A checksum of the class names and encodings."""
        tables = {ending: table.tolist() for ending, table in self.tables.items()}
        return hashlib.sha256(repr((self.classes, tables)).encode()).hexdigest()

    def describe_values(self, label: Path) -> str:
        """The valid pixel values of a label map, for error messages."""
        encoding = self.encodings[self._ending(label)]
        classes = [value for value, class_id in encoding.items() if class_id != IGNORE]
        rising = len(classes) > 1 and classes == list(range(classes[0], classes[0] + len(classes)))
        text = f"{classes[0]} to {classes[-1]}" if rising else ", ".join(map(str, classes))
        ignored = ", ".join(str(value) for value, class_id in encoding.items() if class_id == IGNORE)
        return f"{text}, ignored: {ignored or 'none'}"

    def _ending(self, label: Path) -> str:
        return next((ending for ending in self.encodings if label.name.endswith(ending)), next(iter(self.encodings)))


def numbered(classes: int, first: int = 0, ignored: tuple[int, ...] = (IGNORE,)) -> dict[int, int]:
    """The encoding of class ids 0, 1, ... as pixel values `first`, `first` + 1, ..., and of ignored values."""
    return {first + number: number for number in range(classes)} | dict.fromkeys(ignored, IGNORE)


GOLDEN_RATIO = 0.618034  # hues at multiples of it fall into the largest gap
SHADES = ((0.65, 0.9), (0.95, 0.75), (0.4, 0.7), (0.8, 0.5))  # saturation and value, in turn


def distinct_colours(count: int) -> tuple[Colour, ...]:
    """Different colours without black, neighbours far apart; the first ones do not depend on `count`."""
    colours = []
    for number in range(count):
        shade = colorsys.hsv_to_rgb(number * GOLDEN_RATIO % 1, *SHADES[number % len(SHADES)])
        red, green, blue = (round(255 * part) for part in shade)
        colours.append((red, green, blue))
    return tuple(colours)


def to_hex(colour: Colour) -> str:
    """A colour as text, `#804080`."""
    return f"#{bytes(colour).hex()}"


def from_hex(text: str) -> Colour:
    """Parse a colour written as by `to_hex`.

    Raises:
        ValueError: it is not.
    """
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue
