"""Read images and label maps, with errors that name the file.

Decoded samples on a fast disk, or in memory where the folder is (`/dev/shm`).
"""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from paumer.config.base import IGNORE
from paumer.data.datasets import Dataset, Sample
from paumer.data.images import QUARTER_TURNED, read_rgb, read_stored
from paumer.system.errors import PaumerError
from paumer.system.files import same_stem, stamp, writing

REMEDY = "fetch it again"
WHOLE_NUMBERS = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N")  # modes whose pixels are one number
MOST_VALUES = 5  # that are no class, in an error
LOSSY = ("JPEG", "MPO", "WEBP")  # formats that change values
# Pillow spreads the grey values of PNG files of 2 and 4 bits over 0 to 255.
SPREAD = ("L;2", "L;4")
# What each EXIF orientation asks for; 1 is upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_label(path: Path, dataset: Dataset) -> np.ndarray:
    """Read a label map as class ids, (height, width) uint8, with 255 where the pixel is ignored.

    A pixel's number counts: of 1, 8 or 16 bits, or an index into a palette, whatever its colours.

    Raises:
        PaumerError: the file is missing, truncated, not one number a pixel, or holds a value that is no class.
    """
    values = np.asarray(ImageOps.exif_transpose(_read_numbers(path)))
    if values.dtype != np.uint8:
        beyond = values[(values < 0) | (values > IGNORE)]
        if beyond.size:
            raise PaumerError(f"{path}: label value {beyond.min()} is beyond 8 bits, so no class; convert the labels")
        values = values.astype(np.uint8)
    classes = dataset.class_of_value(path)[values]
    if (classes < 0).any():
        raise PaumerError(f"{path}: {_misfit(path, values, dataset)}")
    return classes.astype(np.uint8)


def read_sample(sample: Sample, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its label map of the same size.

    Where the image's EXIF turns it, its label map may have been drawn before or after: the sizes tell.

    Raises:
        PaumerError: either cannot be read, their sizes differ, or nothing tells whether the label map is turned.
    """
    if not sample.label.exists():
        others = ", ".join(path.name for path in same_stem(sample.label))
        there = f" (beside it lies {others}, which is no label map by its name)" if others else ""
        raise PaumerError(f"{sample.image}: has no label; expected {sample.label}{there}; {dataset.label_remedy}")
    image, turn = read_rgb(sample.image, REMEDY)
    label = read_label(sample.label, dataset)
    height, width = image.shape[:2]
    if turn in TURNS:
        if height == width or turn < QUARTER_TURNED:
            raise PaumerError(
                f"{sample.image}: its EXIF orientation is {turn}, and nothing tells whether its label was drawn before "
                "or after that turn; save the image upright, or remove the orientation"
            )
        if label.shape == (width, height):
            label = np.asarray(Image.fromarray(label).transpose(TURNS[turn]))
    if image.shape[:2] != label.shape:
        raise PaumerError(
            f"{sample.label}: label is {label.shape[1]}x{label.shape[0]}, its image {image.shape[1]}x{image.shape[0]}; "
            "they must be of one size"
        )
    return image, label


def _read_numbers(path: Path) -> Image.Image:
    """A label map as it is stored, refused by its header where its pixels are no numbers, or not those once saved."""

    def check(image: Image.Image) -> None:
        tiles = getattr(image, "tile", None)
        stored = tiles[0].args if tiles else ""
        if image.mode not in WHOLE_NUMBERS or stored in SPREAD:
            kind = f"mode {image.mode}" if image.mode not in WHOLE_NUMBERS else f"{stored[-1]} bits"
            raise PaumerError(f"{path}: label maps have one channel of 8 bits, not {kind}; convert it")
        if image.format in LOSSY:
            raise PaumerError(f"{path}: is a {image.format}, which may change values; label maps are PNG, TIFF or BMP")

    return read_stored(path, REMEDY, check)


def _misfit(path: Path, values: np.ndarray, dataset: Dataset) -> str:
    """What is wrong with the values of a label map, and what to do."""
    wrong, pixels = np.unique(values[dataset.class_of_value(path)[values] < 0], return_counts=True)
    counted = [f"{pixel} of value {value}" for value, pixel in zip(wrong[:MOST_VALUES], pixels, strict=False)]
    more = f", and {len(wrong) - MOST_VALUES} more values" if len(wrong) > MOST_VALUES else ""
    text = f"label value {wrong[0]} is no class of {dataset.name} ({dataset.describe_values(path)})"
    text += f"; pixels: {', '.join(counted)}{more}"
    for ending, table in dataset.tables.items():
        if (table[values] >= 0).all():
            return f"{text}; its values are those of a file *{ending}: rename it"
    return f"{text}; {dataset.value_remedy}"


def read_cached(sample: Sample, dataset: Dataset, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """As `read_sample`, from the folder where the sample is there; otherwise it is put there.

    Files are written whole or not at all, so any number of processes may share the folder. A file belongs to what its
    image and label were when it was made; where they change another takes its place.

    Raises:
        PaumerError: the sample cannot be read, or the folder cannot be written.
    """
    if folder is None or not (sample.image.exists() and sample.label.exists()):
        return read_sample(sample, dataset)
    path = folder / f"{_key(sample, dataset)}.npy"
    try:
        planes = np.load(path)
    except (OSError, ValueError, EOFError):  # not there yet, or damaged
        image, label = read_sample(sample, dataset)
        planes = np.concatenate([image.transpose(2, 0, 1), label[None]])
        try:
            with writing(path) as temporary:
                np.save(temporary, planes)
        except PaumerError as error:
            raise PaumerError(f"{error}, or name another folder in training.options.cache, or none") from None
    return planes[:3].transpose(1, 2, 0), planes[3]


def _key(sample: Sample, dataset: Dataset) -> str:
    """A name for what the files of a sample hold now, and for what the dataset makes of it."""
    paths = (sample.image.resolve(), sample.label.resolve())
    files = [(str(path), *stamp(path)) for path in paths]
    return hashlib.sha256(repr((files, dataset.class_of_value(sample.label).tobytes())).encode()).hexdigest()[:32]
