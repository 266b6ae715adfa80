"""From logits of patches to logits, or class ids, of pixels."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from paumer.strategies.probabilities import of_two

CHUNK = 8  # classes at a time: their maps stay small, and larger chunks were no faster
Size = tuple[int, int]


def upsample(maps: Tensor, size: Size) -> Tensor:
    """Resize maps bilinearly, (batch, channels, any height, any width) to (batch, channels, *size).

    On a processor by two products with the matrices of interpolation: the library's own way is several times slower
    there for small batches, slower than some whole networks.
    """
    exact = maps.dtype in (torch.float32, torch.float64)
    if maps.device.type != "cpu" or not exact or torch.compiler.is_compiling():  # compilers fuse the library's way
        return functional.interpolate(maps, size=size, mode="bilinear")
    rows, columns = (
        _interpolation(before, after, maps.dtype) for before, after in zip(maps.shape[-2:], size, strict=True)
    )
    flat = maps.flatten(0, 1)
    with torch.autocast("cpu", enabled=False):
        wider = torch.bmm(flat, columns.t().expand(len(flat), -1, -1))
        return torch.bmm(rows.expand(len(flat), -1, -1), wider).unflatten(0, maps.shape[:2])


def upsampled_labels(logits: Tensor, padded: Size, size: Size) -> Tensor:
    """The classes of the largest logits after upsampling; the first one of equals. Of one logit: 1 where it is above 0.

    Each class is upsampled by itself, so the ids are those of upsampling all at once, whose logits need never be held.

    Args:
        logits: (batch, classes, any height, any width).
        padded: height and width that they stand for.
        size: height and width to cut from that, beginning at the upper left.

    Returns:
        Class ids (batch, height, width).
    """
    logits = of_two(logits, dim=1)
    largest, labels = logits.new_empty(0), torch.empty(0)
    for first in range(0, logits.shape[1], CHUNK):
        upsampled = upsample(logits[:, first : first + CHUNK], padded)
        # max is much faster than argmax on a processor.
        values, classes = upsampled[..., : size[0], : size[1]].max(dim=1)
        if first == 0:
            largest, labels = values, classes
        else:
            better = values > largest
            largest, labels = torch.where(better, values, largest), torch.where(better, classes + first, labels)
    return labels


@lru_cache(maxsize=64)
def _interpolation(before: int, after: int, dtype: torch.dtype) -> Tensor:
    """The matrix (after, before) that resizes one side as the library does."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
        identity = torch.eye(before, dtype=dtype)[None, None]
        return functional.interpolate(identity, size=(after, before), mode="bilinear")[0, 0]
