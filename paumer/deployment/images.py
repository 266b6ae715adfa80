"""Find image files, and read what people have as images."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from paumer.errors import PaumerError
from paumer.files import files_below
from paumer.images import ENDINGS, read_rgb


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
    found = files_below(source, ENDINGS)
    if not found:
        raise PaumerError(f"{source}: holds no images ({', '.join(ENDINGS)}); name another folder")
    return source, found


def read_picture(path: Path) -> Tensor:
    """Read an image upright as RGB, (3, height, width) uint8; `paumer.images.read_rgb` says how.

    Raises:
        PaumerError: the file is missing, damaged, too large or no image, or its pixels are no colours.
    """
    return torch.from_numpy(read_rgb(path)[0]).permute(2, 0, 1).contiguous()


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
