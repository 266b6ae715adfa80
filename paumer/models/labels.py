"""Labels of patches, weights of classes, and upsampling from logits of patches to logits or class ids of pixels.

Logits of all classes at full size are held only for the number of rows that `bands` allows.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from paumer.config.base import IGNORE
from paumer.strategies.criteria import of_two


def class_counts(labels: Tensor, grid: tuple[int, int], patch_size: int, side: int, classes: int) -> Tensor:
    """Count the pixels of each class in every cell.

    Args:
        labels: class ids (batch, height, width), 255 where ignored.
        grid: patches along height and width; it may reach beyond the labels on the right and bottom.
        patch_size: side of a patch in pixels.
        side: cells along the side of a patch.
        classes: the number of classes.

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
    """Distance of the centre of every patch from the nearest boundary between two classes, in sides of a patch.

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


def balance_classes(frequencies: Sequence[float], power: float) -> Tensor | None:
    """Weights frequency ** -power, scaled so that the mean over the pixels is 1; None where all are the same.

    A class that no pixel has gets the weight of the rarest one that occurs.
    """
    if power == 0:
        return None
    shares = torch.tensor(frequencies, dtype=torch.float32)
    weights = shares.clamp(min=float(shares[shares > 0].min())) ** -power
    return weights / (weights * shares).sum()


CHUNK = 8  # classes at a time: their maps stay small, and larger chunks were no faster
BAND = 2**25  # bytes of logits at full size at a time; processors are faster at such than at whole images
FLOAT = 4  # bytes
COARSE = 256  # rows or columns beyond which a product with a matrix is slower than the library
Size = tuple[int, int]
Rows = tuple[int, int]  # the first, and the first that is none of them


def bands(height: int, row_values: int) -> list[Rows]:
    """Bands of rows of an image to upsample one at a time, where a row takes `row_values` values of float32."""
    step = max(1, BAND // (FLOAT * row_values))
    return [(top, min(top + step, height)) for top in range(0, height, step)]


def upsample(maps: Tensor, size: Size) -> Tensor:
    """Resize maps bilinearly, (batch, channels, any height, any width) to (batch, channels, *size).

    Coarse maps on a processor by two products with the matrices of interpolation: the library's own way is several
    times slower there for small batches, slower than some whole networks.
    """
    library = maps.device.type != "cpu" or torch.compiler.is_compiling()  # compilers fuse what it does
    if library or maps.dtype not in (torch.float32, torch.float64) or _is_fine(maps, size):
        return functional.interpolate(maps, size=size, mode="bilinear")
    rows, columns = (
        None if before == after else _interpolation(before, after, maps.dtype)
        for before, after in zip(maps.shape[-2:], size, strict=True)
    )
    flat = maps.flatten(0, 1)
    with torch.autocast("cpu", enabled=False):
        wider = flat if columns is None else torch.bmm(flat, columns.t().expand(len(flat), -1, -1))
        resized = wider if rows is None else torch.bmm(rows.expand(len(flat), -1, -1), wider)
        return resized.unflatten(0, maps.shape[:2])


def _is_fine(maps: Tensor, size: Size) -> bool:
    """Whether a side to resize is too long for a product with a matrix."""
    return any(before > COARSE and before != after for before, after in zip(maps.shape[-2:], size, strict=True))


def upsample_rows(maps: Tensor, size: Size, rows: Rows, before: int | None = None, first: int = 0) -> Tensor:
    """Some rows of what `upsample` gives, (batch, channels, rows, size[1]).

    Args:
        maps: (batch, channels, any height, any width), or those of their rows that `source_rows` names.
        size: height and width of the whole.
        rows: which of its rows.
        before: how many rows the maps have in all; by default those that are given.
        first: which of them is the first that is given.
    """
    lower, upper, weight = _sources(before or maps.shape[-2], size[0], rows)
    lower, upper = ((index - first).to(maps.device) for index in (lower, upper))
    weight = weight[:, None].to(maps.device, maps.dtype)
    chosen = torch.lerp(maps.index_select(-2, lower), maps.index_select(-2, upper), weight)
    return upsample(chosen, (rows[1] - rows[0], size[1]))


def source_rows(before: int, after: int, rows: Rows) -> Rows:
    """The rows, of `before`, from which some of `after` rows are interpolated."""
    lower, upper, _ = _sources(before, after, rows)
    return int(lower[0]), int(upper[-1]) + 1


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
    logits, several = of_two(logits, dim=1), bands(size[0], CHUNK * padded[1])
    if len(several) == 1:
        return _largest(logits, padded, size)
    return torch.cat(
        [_largest(logits, padded, (bottom - top, size[1]), (top, bottom)) for top, bottom in several], dim=1
    )


def _largest(logits: Tensor, padded: Size, size: Size, rows: Rows | None = None) -> Tensor:
    """The classes of the largest logits in the upper left corner of all upsampled rows, or of some."""
    largest, labels = logits.new_empty(0), torch.empty(0)
    for first in range(0, logits.shape[1], CHUNK):
        chunk = logits[:, first : first + CHUNK]
        upsampled = upsample(chunk, padded) if rows is None else upsample_rows(chunk, padded, rows)
        # max is much faster than argmax on a processor.
        values, classes = upsampled[..., : size[0], : size[1]].max(dim=1)
        if first == 0:
            largest, labels = values, classes
        else:
            better = values > largest
            largest, labels = torch.where(better, values, largest), torch.where(better, classes + first, labels)
    return labels


def _sources(before: int, after: int, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """Between which two of `before` rows some of `after` rows lie, and how near to the second of them, bilinearly."""
    places = (torch.arange(*rows, dtype=torch.float64) + 0.5) * (before / after) - 0.5
    places = places.clamp(0, before - 1)
    lower = places.floor()
    return lower.long(), (lower + 1).clamp(max=before - 1).long(), places - lower


@lru_cache(maxsize=64)
def _interpolation(before: int, after: int, dtype: torch.dtype) -> Tensor:
    """The matrix (after, before) that resizes one side as the library does."""
    with torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
        identity = torch.eye(before, dtype=dtype)[None, None]
        return functional.interpolate(identity, size=(after, before), mode="bilinear")[0, 0]
