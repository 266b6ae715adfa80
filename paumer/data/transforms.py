"""Sizes that images are brought to."""

from collections.abc import Sequence

from paumer.config import Size

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
