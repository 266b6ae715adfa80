"""Sizes that images are brought to, and normalisation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from paumer.config import STATISTICS, Normalization, Size, Statistics

LONGEST = 4  # longer over shorter side, where images are resized to a short side


def short_side_factor(size: Sequence[int], short_side: int) -> float:
    """By what to resize an image (height, width) so that its shorter side is `short_side`.

    The longer side gets four times as much at most, as for ADE20K in mmsegmentation: panoramas stay small.
    """
    return min(short_side / min(size), LONGEST * short_side / max(size))


def scaled_size(size: Sequence[int], factor: float) -> Size:
    """Height and width times a factor, in whole pixels, at least one."""
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


def statistics_of(normalization: Normalization) -> Statistics:
    """Mean and standard deviation by which images are normalised; `auto`, of a network from scratch, is ImageNet's."""
    if isinstance(normalization, Statistics):
        return normalization
    return STATISTICS["imagenet" if normalization == "auto" else normalization]


def normalize(images: Tensor, normalization: Normalization) -> Tensor:
    """Turn images of uint8, (..., 3, height, width), into float32 by the backbone's statistics."""
    statistics = statistics_of(normalization)
    scale = torch.tensor(statistics.std, device=images.device).view(3, 1, 1) * 255
    shift = torch.tensor(statistics.mean, device=images.device).view(3, 1, 1) * 255
    return (images.float() - shift) / scale
