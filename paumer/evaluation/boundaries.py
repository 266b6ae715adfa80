"""Boundary IoU (Cheng et al., CVPR 2021): the IoU of the pixels near the outline of a class.

It is sensitive to thin and small things, of which most pixels are near the outline and few are in the mean IoU.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from paumer.config.base import IGNORE

DISTANCE = 0.02  # from the outline, as a share of the image's diagonal


def near_boundary(maps: Tensor) -> Tensor:
    """Pixels within `DISTANCE` (in steps along and across, at least one pixel) of another class or of the border.

    Args:
        maps: class ids (batch, height, width).

    Returns:
        bool of the same shape.
    """
    reach = max(1, round(DISTANCE * math.hypot(*maps.shape[-2:])))
    values = maps[:, None].float()
    largest, smallest = _largest_around(values, reach), -_largest_around(-values, reach)
    inside = (largest == smallest)[:, 0]
    inner = torch.zeros_like(inside)
    inner[:, reach:-reach, reach:-reach] = inside[:, reach:-reach, reach:-reach]
    return ~inner


def _largest_around(values: Tensor, reach: int) -> Tensor:
    """Maximum over the square of (2 reach + 1) pixels, along and across in turn."""
    side = 2 * reach + 1
    across = functional.max_pool2d(values, (1, side), stride=1, padding=(0, reach))
    return functional.max_pool2d(across, (side, 1), stride=1, padding=(reach, 0))


def boundary_counts(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Labelled pixels near an outline of their class: in the label and the prediction, in the label, in the prediction.

    Args:
        labels: class ids (batch, height, width), 255 where ignored.
        predictions: class ids, same shape.
        classes: number of classes.

    Returns:
        (3, classes) int64.
    """
    valid = labels != IGNORE
    wanted, found = valid & near_boundary(labels), valid & near_boundary(predictions)
    both = wanted & found & (labels == predictions)
    counted = ((labels, both), (labels, wanted), (predictions, found))
    return torch.stack([torch.bincount(maps[where].long(), minlength=classes) for maps, where in counted])


def boundary_iou(counts: Tensor) -> Tensor:
    """Boundary IoU per class in points, (classes,); NaN where neither label nor prediction has the class."""
    both, wanted, found = counts.double()
    return 100 * both / (wanted + found - both)
