"""What the pipeline needs to know of a dataset: its classes and their colours, its files, the values of its labels."""

import colorsys
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from paumer.config.base import IGNORE
from paumer.data.archives import Source
from paumer.system.errors import PaumerError
from paumer.system.files import files_below, hidden, name_below, read_bytes

Colour = tuple[int, int, int]
Finish = Callable[[Path, int], None]

# Endings of image names, in small or capital letters.
ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".gif"),
)


@dataclass(frozen=True)
class Sample:
    """One image and its label map.

    Attributes:
        image: path of the image.
        label: path of its label map.
        block: images of one block show much the same, as those of one drive: resampling draws blocks, not images.
    """

    image: Path
    label: Path
    block: str = ""


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
        listing: the file that names the images of `{split}`, one a line, in order and without their ending, where one
            folder holds those of all splits.
    """

    images: str
    labels: str
    label_endings: tuple[str, ...] = (".png",)
    pattern: str = "*"
    image_endings: tuple[str, ...] = ENDINGS
    split_names: Mapping[str, str] = field(default_factory=dict)
    listing: str = ""

    def image_folder(self, root: Path, split: str) -> Path:
        """The folder with the images of a split."""
        return root / self.images.format(split=self.split_names.get(split, split))

    def listing_path(self, root: Path, split: str) -> Path | None:
        """The file that names the images of a split; None where all in its folder are of the split."""
        return root / self.listing.format(split=split) if self.listing else None

    def image_paths(self, root: Path, split: str) -> list[Path]:
        """The images of a split: in the order of its listing, or else all in its folder, sorted.

        Raises:
            PaumerError: the listing names an image that is missing, or a subfolder is a link, where all are read.
        """
        found, listing = self.paths_in_folder(root, split), self.listing_path(root, split)
        if listing is None:
            return found
        by_name = {path.stem: path for path in found}
        names = read_bytes(listing).decode(errors="replace").split()
        missing = [name for name in names if name not in by_name]
        if missing:
            raise PaumerError(
                f"{listing}: names image {missing[0]!r}, which {self.image_folder(root, split)} lacks; fetch it again"
            )
        return [by_name[name] for name in names]

    def paths_in_folder(self, root: Path, split: str) -> list[Path]:
        """The images in the folder of a split, sorted, without hidden ones.

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


SELECT, REST = "train-select", "train-rest"  # the parts of `train` where a dataset has no split to choose on


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
        block: the block of an image, by its path and its place in the split; without it each image is its own.
        select_every: every how-manieth block of `train`, from the first on, is split `train-select`, and the others
            are `train-rest`; 0 where the dataset has a split of its own to choose on.
        thin_classes: those of thin and small things, whose mean boundary IoU is reported.
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
    block: Callable[[Path, int], str] | None = None
    select_every: int = 0
    thin_classes: tuple[str, ...] = ()

    @property
    def terms(self) -> dict[str, str]:
        """Licence and citation."""
        return {"licence": self.licence, "citation": self.citation}

    @property
    def manual_instructions(self) -> str:
        """How to get the dataset without a download, for error messages."""
        return f"get {self.origin}, then name where it lies in data.folder or PAUMER_DATA"

    def samples(self, root: Path, split: str) -> list[Sample]:
        """List a split, or a part of `train`.

        Raises:
            PaumerError: the folder is missing or holds no images, or two images have one label map.
        """
        if self._whole(split) == split:
            return self._samples(root, split)
        samples = self.samples(root, "train")
        chosen = set([*dict.fromkeys(sample.block for sample in samples)][:: self.select_every])
        return [sample for sample in samples if (sample.block in chosen) == (split == SELECT)]

    def _whole(self, split: str) -> str:
        """The split as it lies on the disk: `train` for its parts."""
        return "train" if self.select_every and split in (SELECT, REST) else split

    def _samples(self, root: Path, split: str) -> list[Sample]:
        """The samples of a split as it lies on the disk."""
        folder, listing = self.layout.image_folder(root, split), self.layout.listing_path(root, split)
        if not folder.is_dir():
            raise self._missing(folder, "folder", split)
        if listing is not None and not listing.is_file():
            raise self._missing(listing, "file", split)
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
        return [
            Sample(image, label, self.block(image, place) if self.block else name_below(image, root))
            for place, (label, image) in enumerate(images_of.items())
        ]

    def _missing(self, place: Path, kind: str, split: str) -> PaumerError:
        fetched = " (with neither set it is fetched)" if self.download else ""
        wrong = f"is no {kind}, which it must be" if place.exists() else f"no such {kind}"
        return PaumerError(
            f"{place}: {wrong} for split {split!r}; check its name, or {self.manual_instructions}{fetched}"
        )

    def left_out(self, root: Path, split: str) -> list[Path]:
        """Files in the image folder of a split whose names are not those of images; hidden ones aside."""
        folder = self.layout.image_folder(root, self._whole(split))
        found = set(folder.rglob("*")) - set(self.layout.paths_in_folder(root, self._whole(split)))
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
