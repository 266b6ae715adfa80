"""Confusion matrices of every image at every operating point of a run, in one compressed file. Imports no torch.

Intervals need them: images of a split are resampled, which the sum over the split does not allow. Of each matrix the
entries that are not 0 are kept: an image shows few of many classes.
"""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paumer.system.errors import PaumerError
from paumer.system.files import writing

NAME = "confusions.npz"  # beside accuracy.csv
Point = tuple[str, str, str]  # strategy, criterion, schedule


@dataclass(frozen=True)
class Images:
    """The images of a split.

    Attributes:
        names: of the files.
        blocks: the unit of resampling that each belongs to.
        classes: names of the classes.
    """

    names: tuple[str, ...]
    blocks: tuple[str, ...]
    classes: tuple[str, ...]


def counts_of(matrices: np.ndarray, first: int = 0) -> np.ndarray:
    """The entries of confusion matrices that are not 0.

    Args:
        matrices: (images, classes, classes), labels in rows.
        first: the number of the first image.

    Returns:
        (3, entries) uint32: number of the image, place in its flattened matrix, and pixels.
    """
    flat = matrices.reshape(len(matrices), -1)
    image, place = np.nonzero(flat)
    return np.stack([first + image, place, flat[image, place]]).astype(np.uint32)


def write_confusions(path: Path, images: Images, counts: dict[Point, np.ndarray]) -> None:
    """Write the matrices of every operating point, each as `counts_of` has them.

    Raises:
        PaumerError: the file could not be written.
    """
    arrays: dict[str, Any] = {
        "images": np.array(images.names),
        "blocks": np.array(images.blocks),
        "classes": np.array(images.classes),
        "points": np.array(list(counts), dtype=str).reshape(-1, 3),
    }
    arrays |= {f"matrix_{number}": entries for number, entries in enumerate(counts.values())}
    with writing(path) as unfinished:
        np.savez_compressed(unfinished, **arrays)


class Confusions:
    """The file of a run, whose matrices are read one operating point at a time.

    Attributes:
        images: the images of the split.
        points: operating points.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            PaumerError: it is missing, damaged, or no file of confusion matrices.
        """
        self._path = path
        try:
            self._file = np.load(path, allow_pickle=False)
            names, blocks, classes, points = (self._file[name] for name in ("images", "blocks", "classes", "points"))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, AttributeError, IndexError, TypeError) as error:
            raise self._unusable(error) from None
        self.images = Images(_texts(names), _texts(blocks), _texts(classes))
        self.points: list[Point] = [(str(row[0]), str(row[1]), str(row[2])) for row in points.reshape(-1, 3)]
        if len(self.images.names) != len(self.images.blocks):
            raise self._unusable("images and blocks differ in number")

    def __iter__(self) -> Iterator[tuple[Point, np.ndarray]]:
        """Every operating point and its matrices, see `of`."""
        for point in self.points:
            yield point, self.of(point)

    def of(self, point: Point) -> np.ndarray:
        """The matrices of an operating point, (images, classes, classes) uint32.

        Raises:
            PaumerError: they are missing or of another shape.
        """
        number, images, classes = self.points.index(point), len(self.images.names), len(self.images.classes)
        try:
            entries = self._file[f"matrix_{number}"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise self._unusable(error) from None
        if entries.ndim != 2 or len(entries) != 3 or entries.dtype.kind not in "ui":
            raise self._unusable(f"matrix_{number} is {entries.dtype} of shape {entries.shape}")
        image, place, pixels = entries
        matrices = np.zeros((images, classes**2), dtype=np.uint32)
        try:
            matrices[image, place] = pixels
        except IndexError as error:
            raise self._unusable(error) from None
        return matrices.reshape(images, classes, classes)

    def _unusable(self, reason: object) -> PaumerError:
        return PaumerError(f"{self._path}: no confusion matrices of a run ({reason}); evaluate the run again")


def _texts(values: Sequence[str] | np.ndarray) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
