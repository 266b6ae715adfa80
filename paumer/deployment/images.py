"""Find image files, and read what people have as images: RGB of 8 bits, whatever the file holds."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from paumer.errors import PaumerError, summary

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
WHITE = (255, 255, 255, 255)
READ = ("1", "L", "RGB", "CMYK", "YCbCr", "LAB", "HSV")  # modes that Pillow turns into RGB as people see them
SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def find_images(source: Path) -> tuple[Path, list[Path]]:
    """The images that `source` names: a file, or all below a folder, sorted.

    Returns:
        The folder that their names count from, and the images.

    Raises:
        PaumerError: there is none.
    """
    if source.is_file():
        return source.parent, [source]
    if not source.is_dir():
        raise PaumerError(f"{source}: no such file or folder; name an image, or a folder of images")
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        raise PaumerError(f"{source}: holds no images ({', '.join(ENDINGS)}); name another folder")
    return source, found


def read_picture(path: Path) -> Tensor:
    """Read an image upright, (3, height, width) uint8.

    The orientation that a camera noted is applied. Grey, palette, CMYK and 16-bit images become RGB of 8 bits (of 16
    bits the upper 8), and what is transparent shows white. Of several pictures in one file the first is read.

    Raises:
        PaumerError: the file is missing, damaged or no image, or its pixels are no colours.
    """
    try:
        with (
            warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
            Image.open(path) as image,
        ):
            image.load()
            pixels = np.asarray(_as_rgb(ImageOps.exif_transpose(image), path))
    except FileNotFoundError:
        raise PaumerError(f"{path}: no such file; name an image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PaumerError(f"{path}: has more pixels than Pillow reads safely; cut it into parts") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise PaumerError(f"{path}: cannot be read as an image ({summary(error)}); replace it") from None
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()


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


def refuse_same_names(outputs: Sequence[Path], images: Sequence[Path]) -> None:
    """Refuse images whose predictions would get the same name.

    Raises:
        PaumerError: two do.
    """
    taken: dict[Path, Path] = {}
    for output, image in zip(outputs, images, strict=True):
        if output in taken:
            raise PaumerError(f"{image} and {taken[output]}: both would be written to {output.name}; rename one")
        taken[output] = image
