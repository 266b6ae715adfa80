"""Find image files, and read what people have as images.

Where the predictions of an image go, and which of them a run before has written already.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from paumer.data.cityscapes import IMAGE_ENDING
from paumer.data.datasets import ENDINGS
from paumer.data.images import read_rgb
from paumer.system.errors import PaumerError
from paumer.system.files import files_below, read_json, stamp, write_json, writing


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


RECORD = "predict.json"
PAUSES, COMPARISONS = "pause-maps", "compare"
OFFICIAL = re.compile(r"([^_]+_[0-9]+_[0-9]+)(_.*)?")  # city, sequence and frame


class Outputs:
    """The folder that predictions go to: a subfolder for each kind, in it the folders of the images.

    Attributes:
        folder: the whole.
        root: the folder that names of images count from.
        kinds: what is written for every image.

    Raises:
        PaumerError: two predictions would have one name, or a name is not that of a Cityscapes
            image where it matters.
    """

    def __init__(self, folder: Path, root: Path, images: Sequence[Path], kinds: Sequence[str]) -> None:
        self.folder, self.root, self.kinds = folder, root, kinds
        for kind in kinds:
            refuse_same_names([self.path(kind, image) for image in images], images)

    def path(self, kind: str, image: Path) -> Path:
        """Where one kind of prediction of an image goes."""
        if kind == "cityscapes":  # its evaluation finds files by the beginning of their names, in any folder
            found = OFFICIAL.fullmatch(image.name.removesuffix(IMAGE_ENDING))
            if found is None:
                raise PaumerError(
                    f"{image}: --format cityscapes needs names like CITY_SEQUENCE_FRAME{IMAGE_ENDING}; rename it"
                )
            return self.folder / kind / f"{found[1]}_pred_labelIds.png"
        return (self.folder / kind / image.relative_to(self.root)).with_suffix(".png")

    def left(self, images: Iterable[Path], asked: dict[str, Any]) -> list[Path]:
        """The images that a run before, asked for the very same, has not finished; from now on this one is noted.

        Args:
            images: all of them.
            asked: whatever predictions depend on.
        """
        record = self.folder / RECORD
        same = record.is_file() and read_json(record) == asked
        write_json(record, asked)
        return [image for image in images if not (same and self._written(image))]

    def write(self, kind: str, image: Path, pixels: np.ndarray) -> None:
        """Write a picture, (height, width) or (height, width, 3) uint8, whole or not at all.

        Raises:
            PaumerError: the disk is full, or the folder is not to be written to.
        """
        with writing(self.path(kind, image)) as temporary:
            Image.fromarray(pixels).save(temporary)

    def _written(self, image: Path) -> bool:
        """Whether all kinds are there and newer than the image, however old the one that was put there since."""
        if not image.is_file():
            return False
        changed = max(stamp(image)[1:])
        paths = [self.path(kind, image) for kind in self.kinds]
        return all(path.is_file() and stamp(path)[1] >= changed for path in paths)
