"""Sizes that images are brought to, and normalisation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from paumer.config import Size

LONGEST = 4  # longer over shorter side, where images are resized to a short side
STATISTICS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def short_side_factor(size: Sequence[int], short_side: int) -> float:
    """By what to resize an image (height, width) so that its shorter side is `short_side`.

    The longer side gets four times as much at most, as for ADE20K in mmsegmentation: panoramas stay small.
    """
    return min(short_side / min(size), LONGEST * short_side / max(size))


def scaled_size(size: Sequence[int], factor: float) -> Size:
    """Height and width times a factor, in whole pixels, at least one."""
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


def normalize(images: Tensor, normalization: str) -> Tensor:
    """Turn images of uint8, (..., 3, height, width), into float32 by the backbone's statistics."""
    mean, deviation = STATISTICS[normalization]
    scale = torch.tensor(deviation, device=images.device).view(3, 1, 1) * 255
    shift = torch.tensor(mean, device=images.device).view(3, 1, 1) * 255
    return (images.float() - shift) / scale
