"""Read images and label maps, with errors that name the file."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from paumer.data.datasets import Dataset, Sample
from paumer.errors import PaumerError

ImageFile.LOAD_TRUNCATED_IMAGES = False


def read_image(path: Path) -> np.ndarray:
    """Read an image as RGB, (height, width, 3) uint8.

    Raises:
        PaumerError: the file is missing, truncated or no image.
    """
    return np.asarray(_open(path).convert("RGB"))


def read_label(path: Path, dataset: Dataset) -> np.ndarray:
    """Read a label map as class ids, (height, width) uint8, with 255 where the pixel is ignored.

    Raises:
        PaumerError: the file is missing, truncated, not one channel of 8 bits, or holds a value that is no class.
    """
    image = _open(path)
    if image.mode not in ("L", "P"):
        raise PaumerError(f"{path}: label maps have one channel of 8 bits, not mode {image.mode}; convert it")
    values = np.asarray(image)
    classes = dataset.class_of_value(path)[values]
    if (classes < 0).any():
        raise PaumerError(f"{path}: {_misfit(path, values, dataset)}")
    return classes.astype(np.uint8)


def read_sample(sample: Sample, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its label map of the same size.

    Raises:
        PaumerError: either cannot be read, or their sizes differ.
    """
    if not sample.label.exists():
        raise PaumerError(f"{sample.image}: has no label; expected {sample.label}; {dataset.label_remedy}")
    image, label = read_image(sample.image), read_label(sample.label, dataset)
    if image.shape[:2] != label.shape:
        raise PaumerError(
            f"{sample.label}: label is {label.shape[1]}x{label.shape[0]}, its image {image.shape[1]}x{image.shape[0]}; "
            "they must be of one size"
        )
    return image, label


def _misfit(path: Path, values: np.ndarray, dataset: Dataset) -> str:
    """What is wrong with the values of a label map, and what to do."""
    wrong = int(values[dataset.class_of_value(path)[values] < 0].min())
    text = f"label value {wrong} is no class of {dataset.name} ({dataset.describe_values(path)})"
    for ending, table in dataset.tables.items():
        if (table[values] >= 0).all():
            return f"{text}; its values are those of a file *{ending}: rename it"
    return f"{text}; convert the labels"


def _open(path: Path) -> Image.Image:
    """Open and decode an image file whole."""
    try:
        image = Image.open(path)
        image.load()
        return image
    except FileNotFoundError:
        raise PaumerError(f"{path}: no such file; check data.folder") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PaumerError(f"{path}: cannot be read as an image ({error}); fetch it again") from None
