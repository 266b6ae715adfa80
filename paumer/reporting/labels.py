"""Label points so that no text covers another text or a point."""

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from paumer.reporting.style import sized

# Offsets in points, best place first, with the alignment that goes with each.
PLACES: list[tuple[int, int, Literal["left", "right", "center"], Literal["bottom", "top"]]] = [
    (6, 5, "left", "bottom"),
    (-6, 5, "right", "bottom"),
    (6, -5, "left", "top"),
    (-6, -5, "right", "top"),
    (0, 9, "center", "bottom"),
    (0, -9, "center", "top"),
]
RADIUS = 4.0
BACKGROUND = {"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.5}


def label_points(
    axes: Axes, texts: Sequence[tuple[float, float, str]], obstacles: Sequence[tuple[float, float]]
) -> None:
    """Write each text beside its point, or leave it out where every place is taken.

    Args:
        axes: the panel, laid out as it will be saved.
        texts: x, y and the text, most important first.
        obstacles: points that texts must not cover.
    """
    taken = [_around(axes, x, y) for x, y in obstacles]
    frame = axes.get_window_extent()
    for x, y, text in texts:
        for right, up, horizontal, vertical in PLACES:
            label = axes.annotate(
                text, (x, y), (sized(right), sized(up)), textcoords="offset points", fontsize=sized(8), color="0.25"
            )
            label.set(horizontalalignment=horizontal, verticalalignment=vertical, bbox=BACKGROUND)
            box = label.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            label.remove()


def _around(axes: Axes, x: float, y: float) -> Bbox:
    """The square a marker covers, in pixels."""
    column, row = axes.transData.transform((x, y))
    radius = sized(RADIUS)
    return Bbox.from_extents(column - radius, row - radius, column + radius, row + radius)
