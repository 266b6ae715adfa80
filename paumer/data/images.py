"""Image files that are not trusted: checked by their header before they are decoded, upright, as RGB of 8 bits."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

from paumer.system.errors import PaumerError, summary
from paumer.system.files import require_fetched, require_plain

# Pillow's own limit, a quarter of a GiB as RGB: a file of a few kB may declare any size. PAUMER_MAX_PIXELS changes it.
MAX_PIXELS = 89_478_485
LIMIT = "PAUMER_MAX_PIXELS"
# What people have as images. Pillow decides by the content, and would call other programs for some formats (EPS).
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
# How the names of images end, in small or capital letters.
ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".gif"),
)
WHITE = (255, 255, 255, 255)
READ = ("1", "L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")  # modes that Pillow turns into RGB as people see them
SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")
ORIENTATION = 0x0112  # in EXIF: how to turn what is stored so that it is upright; from 5 on by a quarter
QUARTER_TURNED = 5

ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # such images are refused here


def read_rgb(path: Path, remedy: str = "replace it") -> tuple[np.ndarray, int]:
    """Read an image upright as RGB.

    The orientation that a camera noted is applied. Grey, palette, CMYK and 16-bit images become RGB of 8 bits (of 16
    bits the upper 8), and what is transparent shows white. Of several pictures in one file the first is read.

    Args:
        path: the file.
        remedy: what to do about one that cannot be read, for error messages.

    Returns:
        Pixels (height, width, 3) uint8, and the orientation by which they were turned, 1 for none.

    Raises:
        PaumerError: the file is missing, damaged, too large or no image, or its pixels are no colours.
    """
    with _opened(path, remedy) as image:
        image.load()
        turn = _orientation(image)
        return np.array(_as_rgb(ImageOps.exif_transpose(image), path)), turn


def read_stored(path: Path, remedy: str, check: Callable[[Image.Image], None]) -> Image.Image:
    """Read an image as it is stored; `check` refuses it by its header, before it is decoded.

    Raises:
        PaumerError: the file is missing, damaged, too large or no image.
    """
    with _opened(path, remedy) as image:
        check(image)
        image.load()
        return image.copy()


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width of an image once it is upright; its pixels are not read.

    Raises:
        PaumerError: the file is missing, too large or no image.
    """
    with _opened(path, "replace it") as image:
        width, height = image.size
        return (width, height) if _orientation(image) >= QUARTER_TURNED else (height, width)


def max_pixels() -> int:
    """How many pixels an image may have.

    Raises:
        PaumerError: PAUMER_MAX_PIXELS is no whole number above 0.
    """
    text = os.environ.get(LIMIT) or str(MAX_PIXELS)
    if not text.isdecimal() or not int(text[:18]):
        raise PaumerError(f"{LIMIT}: {text!r} is no whole number above 0; correct it, or unset it")
    return int(text)


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
    """The orientation that EXIF notes, 1 to 8; 1 is upright."""
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
