"""The files that predictions are written to."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from paumer.data.cityscapes import IMAGE_ENDING
from paumer.system.errors import PaumerError
from paumer.system.files import read_json, stamp, write_json, writing

RECORD = "predict.json"
NAMED = 3  # images that could not be predicted, by name in the error
OFFICIAL = re.compile(r"([^_]+_[0-9]+_[0-9]+)(_.*)?")  # city, sequence and frame


def require_outside(output: Path, source: Path) -> None:
    """Refuse an output in the folder of the images, where the next run would take predictions for images.

    Raises:
        PaumerError: it lies there.
    """
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise PaumerError(f"{output}: lies in the folder of the images; name another for the predictions")


def first_reasons(reasons: Sequence[str]) -> str:
    """The first few of so many reasons, and how many there are more."""
    more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    return "; ".join(reasons[:NAMED]) + more


class Outputs:
    """The folder that predictions are written to: a subfolder for each kind, in it the folders of the images.

    Attributes:
        folder: the whole.
        root: the folder that names of images are relative to.
        kinds: what is written for every image.

    Raises:
        PaumerError: two predictions would have one name, or an image has not the name of a Cityscapes image although
            the format needs it.
    """

    def __init__(self, folder: Path, root: Path, images: Sequence[Path], kinds: Sequence[str]) -> None:
        self.folder, self.root, self.kinds = folder, root, kinds
        for kind in kinds:
            taken: dict[Path, Path] = {}
            for image in images:
                path = self.path(kind, image)
                if path in taken:
                    raise PaumerError(f"{image} and {taken[path]}: both would be written to {path.name}; rename one")
                taken[path] = image

    def path(self, kind: str, image: Path) -> Path:
        """The file of one kind of prediction of an image."""
        if kind == "cityscapes":  # its evaluation finds files by the beginning of their names, in any folder
            found = OFFICIAL.fullmatch(image.name.removesuffix(IMAGE_ENDING))
            if found is None:
                raise PaumerError(
                    f"{image}: --format cityscapes needs names like CITY_SEQUENCE_FRAME{IMAGE_ENDING}; rename it"
                )
            return self.folder / kind / f"{found[1]}_pred_labelIds.png"
        return (self.folder / kind / image.relative_to(self.root)).with_suffix(".png")

    def pending(self, images: Iterable[Path], request: dict[str, Any]) -> list[Path]:
        """The images that an earlier run with the same request has not finished; records this request."""
        record = self.folder / RECORD
        same = record.is_file() and read_json(record) == request
        write_json(record, request)
        return [image for image in images if not (same and self._written(image))]

    def write(self, kind: str, image: Path, pixels: np.ndarray) -> None:
        """Write a picture, (height, width) or (height, width, 3) uint8, whole or not at all.

        Raises:
            PaumerError: the disk is full, or the folder is not to be written to.
        """
        with writing(self.path(kind, image)) as temporary:
            Image.fromarray(pixels).save(temporary)

    def _written(self, image: Path) -> bool:
        """Whether all kinds exist and are newer than the last change of the image, however old its content is."""
        if not image.is_file():
            return False
        changed = max(stamp(image)[1:])
        paths = [self.path(kind, image) for kind in self.kinds]
        return all(path.is_file() and stamp(path)[1] >= changed for path in paths)
