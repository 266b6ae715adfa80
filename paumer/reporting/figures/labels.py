"""Place texts beside points so that no text covers another text or a point."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from paumer.reporting.figures.drawing import sized

Place = tuple[float, float]
# Offsets in points, best place first, with the alignment that goes with each.
PLACES: list[tuple[int, int, Literal["left", "right", "center"], Literal["bottom", "top"]]] = [
    *((6, 5, "left", "bottom"), (-6, 5, "right", "bottom"), (6, -5, "left", "top"), (-6, -5, "right", "top")),
    *((0, 9, "center", "bottom"), (0, -9, "center", "top")),
]
CLEAR = 4.0  # points around an obstacle
BACKGROUND = {"facecolor": "white", "alpha": 0.6, "edgecolor": "none", "pad": 0.5}
TEXT = {"fontsize": 8, "color": "0.25"}


class Labels:
    """Texts beside points of a panel, each where nothing is in its way.

    Args:
        axes: the panel, laid out as it will be saved.
        obstacles: points that texts must not cover.
    """

    def __init__(self, axes: Axes, obstacles: Iterable[Place]) -> None:
        self.axes, self.frame = axes, axes.get_window_extent()
        self.taken = [self._around(place) for place in obstacles]

    def _around(self, place: Place) -> Bbox:
        """The square that a marker covers, in pixels."""
        column, row = self.axes.transData.transform(place)
        radius = sized(CLEAR)
        return Bbox.from_extents(column - radius, row - radius, column + radius, row + radius)

    def add(self, text: str, point: Place, look: dict[str, Any] = TEXT, away: int = 1) -> bool:
        """Write a text beside a point and return True, or leave it out where every place is taken.

        Args:
            text: what to write.
            point: beside which.
            look: keywords of the text; its `fontsize` is that of a screen.
            away: factor of the usual distance; above 1, a thin line leads to the text.
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


def label_points(axes: Axes, points: pd.DataFrame, x: str, obstacles: Iterable[Place]) -> None:
    """Write the schedule beside each point where there is room, the first row first."""
    labels = Labels(axes, obstacles)
    for row in points.to_dict("records"):
        labels.add(row["schedule"], (row[x], row["miou"]))


def along(line: np.ndarray, steps: int = 30) -> list[Place]:
    """Places along a line through points (number, 2), for texts to keep clear of."""
    shares = np.linspace(0, 1, steps)[:, None]
    return [(x, y) for start, end in pairwise(line) for x, y in start + shares * (end - start)]
