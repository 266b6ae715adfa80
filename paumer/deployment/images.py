"""Images and labels as users give them, files or arrays, as tensors."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paumer.config.base import IGNORE
from paumer.data.datasets import ENDINGS
from paumer.data.images import read_rgb
from paumer.data.loading import evaluation_batches, same_shape_batches
from paumer.models.inference import require_images
from paumer.system.errors import PaumerError
from paumer.system.files import files_below

Images = Tensor | np.ndarray | Sequence[Tensor | np.ndarray] | str | Path
Labels = Tensor | np.ndarray | Sequence[Tensor | np.ndarray]
WIDE = (torch.uint16, torch.uint32, torch.uint64)  # types that few operations of torch support


def find_images(source: Path) -> tuple[Path, list[Path]]:
    """The images that `source` names: a file, or all below a folder, sorted.

    Returns:
        The folder that their names are relative to, and the images.

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
    """Read an image upright as RGB, (3, height, width) uint8; see `read_rgb`.

    Raises:
        PaumerError: the file is missing, damaged, too large or no image, or its pixels are no colours.
    """
    return torch.from_numpy(read_rgb(path)[0]).permute(2, 0, 1).contiguous()


def _pictures(images: Images) -> list[Tensor]:
    """Images, each (3, height, width) uint8.

    Raises:
        PaumerError: they are none.
    """
    if isinstance(images, str | Path):
        return [read_picture(path) for path in find_images(Path(images))[1]]
    if isinstance(images, Tensor | np.ndarray):
        batch = _tensor(images, "images")
        require_images(batch)
        return list(batch)
    pictures = [_tensor(image, "images") for image in _listed(images, "images")]
    for picture in pictures:
        require_images(picture[None])
    return pictures


def of_one_size(images: Images) -> Tensor:
    """Images as one batch.

    Raises:
        PaumerError: they are none, or have several sizes.
    """
    pictures = _pictures(images)
    if len({picture.shape for picture in pictures}) > 1:
        raise PaumerError("images: they have several sizes; give images of one size")
    return torch.stack(pictures)


def labelled_batches(
    images: Images, labels: Labels | None, classes: int, at_once: int
) -> tuple[int, Iterator[tuple[Tensor, Tensor | None]]]:
    """Images with their labels, neighbours of one size together.

    Returns:
        The number of images; batches of images (several, 3, height, width) and class ids (several, height, width).

    Raises:
        PaumerError: their shapes or types do not fit, or a label is none of the classes.
    """
    pictures = _pictures(images)
    if labels is None:
        alone = same_shape_batches(pictures, lambda picture: picture.shape, lambda shape: at_once)
        return len(pictures), ((torch.stack(several), None) for several in alone)
    truths = [_tensor(truth, "labels") for truth in _listed(labels, "labels")]
    if len(truths) != len(pictures):
        raise PaumerError(f"labels: {len(truths)} for {len(pictures)} images; give one for each")
    pairs = list(zip(pictures, truths, strict=True))
    for picture, truth in pairs:
        _require_labels(truth, picture.shape[1:], classes)
    if all(bool((truth == IGNORE).all()) for truth in truths):
        raise PaumerError(f"labels: every pixel is {IGNORE}, ignored; give some that are labelled, or no labels")
    return len(pictures), evaluation_batches(pairs, at_once)


def _require_labels(labels: Tensor, size: Sequence[int], classes: int) -> None:
    """Refuse labels of another size than their image, or that are no classes of the network.

    Raises:
        PaumerError: they are.
    """
    if tuple(labels.shape) != tuple(size) or labels.is_floating_point():
        raise PaumerError(
            f"labels: {labels.dtype} of {tuple(labels.shape)} for images of {tuple(size)}; give class ids of the "
            "images' size"
        )
    strange = labels[((labels < 0) | (labels >= classes)) & (labels != IGNORE)]
    if len(strange):
        raise PaumerError(
            f"labels: {int(strange[0])} is none of the network's classes, 0 to {classes - 1}, nor {IGNORE}, ignored; "
            "correct it"
        )


def _listed(values: Any, what: str) -> list[Any]:
    """The members of a sequence.

    Raises:
        PaumerError: it is no sequence, or has no members.
    """
    listed = list(values) if isinstance(values, Iterable) else []
    if not listed:
        raise PaumerError(f"{what}: {type(values).__name__} holds none; give one or more")
    return listed


def _tensor(values: Any, what: str) -> Tensor:
    """A tensor of a tensor or an array.

    Raises:
        PaumerError: it is neither.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        values = torch.from_numpy(np.require(native, requirements=["C", "W"]))  # torch shares no others
    if not isinstance(values, Tensor) or values.is_complex():
        kind = values.dtype if isinstance(values, Tensor | np.ndarray) else type(values).__name__
        raise PaumerError(f"{what}: {kind}; give tensors, or arrays of NumPy, of numbers")
    return values.long() if values.dtype in WIDE else values
