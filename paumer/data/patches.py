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


def boundary_distances(labels: Tensor, grid: tuple[int, int], patch_size: int, at_once: int = 256) -> Tensor:
    """How far the centre of every patch is from the nearest boundary between two classes, in sides of a patch.

    Boundaries run along the edges of pixels; a change from or to ignored pixels is none.

    Args:
        labels: class ids of one image (height, width), 255 where ignored.
        grid: patches along height and width.
        patch_size: side of a patch in pixels.
        at_once: patches whose distances to every point of the boundaries are held at the same time.

    Returns:
        (patches,), row by row; infinite where the image has no boundary.
    """
    corners = _boundary_corners(labels).float()
    rows, columns = (torch.arange(side, device=labels.device) for side in grid)
    centres = (torch.cartesian_prod(rows, columns) + 0.5) * patch_size
    if not len(corners):
        return torch.full((len(centres),), torch.inf, device=labels.device)
    # By matrix products distances of a pixel would drown in the squares of coordinates.
    exact = "donot_use_mm_for_euclid_dist"
    nearest = [torch.cdist(part, corners, compute_mode=exact).amin(dim=1) for part in centres.split(at_once)]
    return torch.cat(nearest) / patch_size


def _boundary_corners(labels: Tensor) -> Tensor:
    """Corners (row, column) of pixels at which labelled pixels of different classes meet, (corners, 2)."""
    around = labels.short().unfold(0, 2, 1).unfold(1, 2, 1).flatten(2)
    lowest, highest = around.amin(dim=2), around.masked_fill(around == IGNORE, -1).amax(dim=2)
    return (lowest < highest).nonzero() + 1
