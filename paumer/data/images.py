"""Reading images and label maps that are not trusted, with errors that name the file, and a cache of decoded samples.

Files are checked by their header before they are decoded. Images become upright RGB of 8 bits.
"""

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

from paumer.config.base import IGNORE
from paumer.data.datasets import Dataset, Sample
from paumer.system.errors import PaumerError, summary
from paumer.system.files import require_fetched, require_plain, same_stem, stamp, writing

# Pillow's own limit, a quarter of a GiB as RGB: a file of a few kB may declare any size. PAUMER_MAX_PIXELS changes it.
MAX_PIXELS = 89_478_485
LIMIT = "PAUMER_MAX_PIXELS"
# Pillow decides by the content, and would call other programs for some formats (EPS).
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
WHITE = (255, 255, 255, 255)
READ = ("1", "L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")  # modes that Pillow turns into RGB as people see them
SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")
ORIENTATION = 0x0112  # in EXIF: how to turn what is stored so that it is upright

WHOLE_NUMBERS = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N")  # modes whose pixels are one number
MOST_VALUES = 5  # that are no class, in an error
LOSSY = ("JPEG", "MPO", "WEBP")  # formats that change values
# Pillow spreads the grey values of PNG files of 2 and 4 bits over 0 to 255.
SPREAD = ("L;2", "L;4")
REFETCH = "fetch it again"

ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # such images are refused here


def read_rgb(path: Path, remedy: str = "replace it") -> tuple[np.ndarray, int]:
    """Read an image upright as RGB.

    The EXIF orientation is applied. Grey, palette, CMYK and 16-bit images become RGB of 8 bits (of 16 bits the upper
    8), transparent pixels white. Of several pictures in one file the first is read.

    Args:
        path: the file.
        remedy: what to do about one that cannot be read, for error messages.

    Returns:
        Pixels (height, width, 3) uint8, and the EXIF orientation that was applied, 1 for none.

    Raises:
        PaumerError: the file is missing, damaged, too large or no image, or its pixels are no colours.
    """
    with _opened(path, remedy) as image:
        image.load()
        turn = _orientation(image)
        return np.array(_as_rgb(ImageOps.exif_transpose(image), path)), turn


def stored_size(path: Path) -> tuple[int, int]:
    """Height and width of an image as it is stored, from its header; those of a dataset are stored upright.

    Raises:
        PaumerError: the file is missing, too large or no image.
    """
    with _opened(path, "replace it") as image:
        return image.height, image.width


def max_pixels() -> int:
    """The maximum number of pixels of an image.

    Raises:
        PaumerError: PAUMER_MAX_PIXELS is no whole number above 0.
    """
    text = os.environ.get(LIMIT) or str(MAX_PIXELS)
    if not text.isdecimal() or not int(text[:18]):
        raise PaumerError(f"{LIMIT}: {text!r} is no whole number above 0; correct it, or unset it")
    return int(text)


def read_label(path: Path, dataset: Dataset) -> np.ndarray:
    """Read a label map as class ids, (height, width) uint8, with 255 where the pixel is ignored.

    Pixels are numbers of 1, 8, 16 or 32 bits, or palette indices, regardless of the palette's colours.

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

    Raises:
        PaumerError: either cannot be read, their sizes differ, or EXIF turns the image, and maybe not its label.
    """
    if not sample.label.exists():
        others = ", ".join(path.name for path in same_stem(sample.label))
        there = f" (beside it lies {others}, which is no label map by its name)" if others else ""
        raise PaumerError(f"{sample.image}: has no label; expected {sample.label}{there}; {dataset.label_remedy}")
    image, turn = read_rgb(sample.image, REFETCH)
    label = read_label(sample.label, dataset)
    if turn != 1:
        raise PaumerError(
            f"{sample.image}: its EXIF orientation is {turn}, and nothing tells whether its label was drawn before or "
            "after that turn; save the image upright, or remove the orientation"
        )
    if image.shape[:2] != label.shape:
        raise PaumerError(
            f"{sample.label}: label is {label.shape[1]}x{label.shape[0]}, its image {image.shape[1]}x{image.shape[0]}; "
            "they must be of one size"
        )
    return image, label


def read_planes(sample: Sample, dataset: Dataset, cache: Path | None) -> np.ndarray:
    """Read a sample as uint8 planes (4, height, width): red, green, blue and class ids.

    With a cache, a folder, a decoded sample is stored there. Files are written whole or not at all, so any number of
    processes may share the folder; their names depend on size and times of image and label, so changed ones are read
    again.

    Raises:
        PaumerError: the sample cannot be read, or the folder cannot be written.
    """
    path = None
    if cache is not None and sample.image.exists() and sample.label.exists():
        path = cache / f"{_key(sample, dataset)}.npy"
        with suppress(OSError, ValueError, EOFError):  # not stored yet, or damaged
            planes: np.ndarray = np.load(path)
            return planes
    image, label = read_sample(sample, dataset)
    planes = np.concatenate([image.transpose(2, 0, 1), label[None]])
    if path is not None:
        try:
            with writing(path) as temporary:
                np.save(temporary, planes)
        except PaumerError as error:
            raise PaumerError(f"{error}, or name another folder in training.options.cache, or none") from None
    return planes


@contextmanager
def _opened(path: Path, remedy: str) -> Iterator[Image.Image]:
    """Open an image whose header is sound and whose size is within the limit."""
    limit = max_pixels()
    if Image.MAX_IMAGE_PIXELS is not None and LIMIT in os.environ:
        Image.MAX_IMAGE_PIXELS = max(limit, Image.MAX_IMAGE_PIXELS)  # twice as many are an error there
    try:
        require_plain(path)
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > limit:
                raise Image.DecompressionBombError
            yield image
    except PaumerError:
        raise
    except FileNotFoundError:
        raise PaumerError(f"{path}: no such file; name an image, or {remedy}") from None
    except Image.DecompressionBombError:
        raise PaumerError(
            f"{path}: has more than {limit} pixels; cut it into parts, or set {LIMIT} to more if it can be trusted"
        ) from None
    except MemoryError:
        raise PaumerError(f"{path}: does not fit into memory; cut it into parts") from None
    except Exception as error:  # damaged files raise whatever their bytes lead to
        with suppress(OSError):
            require_fetched(path) if path.is_file() else None
        raise PaumerError(f"{path}: cannot be read as an image ({summary(error)}); {remedy}") from None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 is upright."""
    turn = Image.Image.getexif(image).get(ORIENTATION)  # that of PNG files would decode them
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


def _as_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode in SIXTEEN_BITS:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise PaumerError(f"{path}: has values beyond 16 bits, which are no brightness; convert it to 8 or 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        above = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, WHITE), above).convert("RGB")
    if image.mode != "P" and image.mode not in READ:
        raise PaumerError(f"{path}: pixels of mode {image.mode} are no colours of 8 or 16 bits; convert it to RGB")
    return image.convert("RGB")


def _read_numbers(path: Path) -> Image.Image:
    """Read a label map as stored; its header is checked for one lossless whole number per pixel before decoding."""
    with _opened(path, REFETCH) as image:
        tiles = getattr(image, "tile", None)
        stored = tiles[0].args if tiles else ""
        if image.mode not in WHOLE_NUMBERS or stored in SPREAD:
            kind = f"mode {image.mode}" if image.mode not in WHOLE_NUMBERS else f"{stored[-1]} bits"
            raise PaumerError(f"{path}: label maps have one channel of 8 bits, not {kind}; convert it")
        if image.format in LOSSY:
            raise PaumerError(f"{path}: is a {image.format}, which may change values; label maps are PNG, TIFF or BMP")
        image.load()
        return image.copy()


def _misfit(path: Path, values: np.ndarray, dataset: Dataset) -> str:
    """Message for invalid values of a label map."""
    wrong, pixels = np.unique(values[dataset.class_of_value(path)[values] < 0], return_counts=True)
    counted = [f"{pixel} of value {value}" for value, pixel in zip(wrong[:MOST_VALUES], pixels, strict=False)]
    more = f", and {len(wrong) - MOST_VALUES} more values" if len(wrong) > MOST_VALUES else ""
    text = f"label value {wrong[0]} is no class of {dataset.name} ({dataset.describe_values(path)})"
    text += f"; pixels: {', '.join(counted)}{more}"
    for ending, table in dataset.tables.items():
        if (table[values] >= 0).all():
            return f"{text}; its values are those of a file *{ending}: rename it"
    return f"{text}; {dataset.value_remedy}"


def _key(sample: Sample, dataset: Dataset) -> str:
    """A checksum of the files' paths, sizes and times, and of the label encoding."""
    paths = (sample.image.resolve(), sample.label.resolve())
    files = [(str(path), *stamp(path)) for path in paths]
    return hashlib.sha256(repr((files, dataset.class_of_value(sample.label).tobytes())).encode()).hexdigest()[:32]
