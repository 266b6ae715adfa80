"""How a method looks in every figure: its colour says what runs, its marker which method it is.

Label points and lines so that no text covers another text or a point.

Class ids as the colours of their dataset, and the colours of the places where patches pause.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.markers import MarkerStyle
from matplotlib.transforms import Bbox

from paumer.data.datasets import Dataset
from paumer.reporting.figures.style import Marker, markers, palette, sized
from paumer.reporting.frames import BEST, CHANCE, criterion_key, in_order, method_names, recipe_key, strategy_key
from paumer.strategies.criteria import CONTROLS

GREY = "#5a5a5a"
SIZE = 7
TINT = 0.6
THIN = ("P", "X", "d")


@dataclass(frozen=True)
class Look:
    """How the points of a method are drawn; those chosen by the ground truth are hollow."""

    colour: str
    marker: Marker
    hollow: bool = False

    @property
    def symbol(self) -> dict[str, Any]:
        """Keywords of a plotted line that concern its markers."""
        face = "white" if self.hollow else self.colour
        edge = self.colour if self.hollow else "white"
        return {
            "marker": MarkerStyle(self.marker),
            "markersize": sized(SIZE) * (1.25 if self.marker in THIN or isinstance(self.marker, tuple) else 1),
            "markerfacecolor": face,
            "markeredgecolor": edge,
            "markeredgewidth": sized(1.2 if self.hollow else 0.4),
        }


def looks(main: pd.DataFrame) -> dict[str, Look]:
    """The look of every method of a table, in the order of legends: by strategy, criterion and recipe."""
    named = main.assign(method=method_names(main)).drop_duplicates("method")
    rows = {row["method"]: row for row in named.to_dict("records")}
    ordered = sorted(rows, key=lambda method: _key(rows[method]))
    # The plainest markers for what is compared; controls take what is left.
    informed = [
        name for name in ordered if rows[name]["strategy"] != "dense" and rows[name]["criterion"] not in CONTROLS
    ]
    colours, shapes = strategy_colours(main["strategy"]), markers([*informed, *ordered])
    return {
        method: _look(rows[method]["criterion"], colours[rows[method]["strategy"]], shapes[method])
        for method in ordered
    }


def strategy_colours(strategies: Iterable[str]) -> dict[str, str]:
    """A colour for each strategy, whatever the recipe and criterion; dense is grey."""
    ordered = [name for name in in_order(strategies, strategy_key) if name != "dense"]
    return {"dense": GREY} | palette(ordered)


def in_legend(panel: Axes, label: str, look: Look) -> None:
    """Put a method into the legend, whatever is drawn of it."""
    panel.plot([], [], linestyle="none", label=label, **look.symbol)


def _key(row: dict) -> tuple:
    return strategy_key(row["strategy"]), criterion_key(row["criterion"]), recipe_key(row["recipe"])


def _look(criterion: str, colour: str, marker: Marker) -> Look:
    """The control by chance is a lighter tint of its strategy's colour."""
    red, green, blue = (1 - (1 - part) * TINT for part in to_rgb(colour))
    return Look(to_hex((red, green, blue)) if criterion == CHANCE else colour, marker, hollow=criterion == BEST)


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


# Of the first, second ... location of a schedule; after Okabe and Ito, safe for the colour-blind.
LOCATION_COLOURS = ("#E69F00", "#56B4E9", "#CC79A7", "#009E73")


def colourise(classes: np.ndarray, dataset: Dataset) -> np.ndarray:
    """From class ids (height, width) to colours (height, width, 3) uint8; ignored pixels are black."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(dataset.colours)] = dataset.colours
    return palette[classes]
