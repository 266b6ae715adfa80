"""Label points and lines so that no text covers another text or a point."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from paumer.reporting.style import sized

Place = tuple[float, float]
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
LOOK = {"fontsize": 8, "color": "0.25"}


class Labels:
    """Texts beside points of a panel, each where nothing is in its way.

    Args:
        axes: the panel, laid out as it will be saved.
        obstacles: points that texts must not cover.
    """

    def __init__(self, axes: Axes, obstacles: Iterable[Place]) -> None:
        self.axes, self.frame = axes, axes.get_window_extent()
        self.taken = [_around(axes, x, y) for x, y in obstacles]

    def add(self, text: str, point: Place, look: dict[str, Any] = LOOK, away: int = 1) -> bool:
        """Write a text beside a point where a place is free; say whether one was.

        Args:
            text: what to write.
            point: beside which.
            look: keywords of the text; its `fontsize` is that of a screen.
            away: how many times as far as usual the text may stand; a thin line then leads to it.
        """
        label = self.axes.annotate(text, point, (0, 0), textcoords="offset points", bbox=BACKGROUND, zorder=6)
        label.set(**look | {"fontsize": sized(look["fontsize"])})
        for right, up, horizontal, vertical in PLACES:
            place = sized(away * right), sized(away * up)
            label.set(position=place, ha=horizontal, va=vertical)
            box = label.get_window_extent()
            inside = self.frame.contains(box.x0, box.y0) and self.frame.contains(box.x1, box.y1)
            if inside and not any(box.overlaps(other) for other in self.taken):
                self.taken.append(box)
                if away > 1:
                    leader = {"arrowstyle": "-", "color": look["color"], "linewidth": sized(0.7), "shrinkA": 0}
                    self.axes.annotate("", point, place, textcoords="offset points", arrowprops=leader, zorder=5)
                return True
        label.remove()
        return False


def label_points(axes: Axes, texts: Sequence[tuple[float, float, str]], obstacles: Iterable[Place]) -> None:
    """Write each text beside its point, or leave it out where every place is taken.

    Args:
        axes: the panel, laid out as it will be saved.
        texts: x, y and the text, most important first.
        obstacles: points that texts must not cover.
    """
    labels = Labels(axes, obstacles)
    for x, y, text in texts:
        labels.add(text, (x, y))


def along(line: np.ndarray, steps: int = 30) -> list[Place]:
    """Places along a line through points (number, 2), for texts to keep clear of."""
    shares = np.linspace(0, 1, steps)[:, None]
    return [(x, y) for start, end in pairwise(line) for x, y in start + shares * (end - start)]


def _around(axes: Axes, x: float, y: float) -> Bbox:
    """The square a marker covers, in pixels."""
    column, row = axes.transData.transform((x, y))
    radius = sized(RADIUS)
    return Bbox.from_extents(column - radius, row - radius, column + radius, row + radius)
