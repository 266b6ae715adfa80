"""What the ground truth says of every patch."""

import torch
from torch import Tensor
from torch.nn import functional

from paumer.data.datasets import IGNORE


def class_counts(labels: Tensor, grid: tuple[int, int], patch_size: int, side: int, classes: int) -> Tensor:
    """How many pixels of each class every cell holds.

    Args:
        labels: class ids (batch, height, width), 255 where ignored.
        grid: patches along height and width; it may reach beyond the labels on the right and bottom.
        patch_size: side of a patch in pixels.
        side: cells along the side of a patch.
        classes: how many there are.

    Returns:
        (batch, patches, side x side, classes), patches and cells row by row.
    """
    height, width = labels.shape[-2:]
    missing = (0, grid[1] * patch_size - width, 0, grid[0] * patch_size - height)
    labels = functional.pad(labels, missing, value=IGNORE).long()
    cells = side**2
    rows = torch.arange(labels.shape[-2], device=labels.device) * side // patch_size
    columns = torch.arange(labels.shape[-1], device=labels.device) * side // patch_size
    patch = (rows[:, None] // side) * grid[1] + columns // side
    cell = patch * cells + (rows[:, None] % side) * side + columns % side
    image = torch.arange(len(labels), device=labels.device)[:, None, None] * (grid[0] * grid[1] * cells)
    valid = labels != IGNORE
    slots = ((image + cell) * classes + labels)[valid]
    counts = torch.bincount(slots, minlength=len(labels) * grid[0] * grid[1] * cells * classes)
    return counts.view(len(labels), grid[0] * grid[1], cells, classes).float()
