"""mIoU against speed or cost of every operating point, with the Pareto front."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from paumer.reporting.figures.drawing import draw_series, freeze_layout, legend_below, nothing, panels, sized
from paumer.reporting.figures.points import PUBLISHED, cost_points, ends, front, gmac_points, speed_points
from paumer.reporting.figures.styles import Style, method_styles
from paumer.reporting.frames import DENSE

# How many points below dense the second panel reaches, where small drops can be told apart.
NEAR = 3.0
Place = tuple[float, float]
HEADINGS = {"images_per_s": "images/s", "gmac": "GMAC per image"}


def pareto_speed(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against images/s at the largest batch: the figure, and its points (see `speed_points`)."""
    data = speed_points(main)
    return _draw(data, "images_per_s", method_styles(main)), data


def pareto_gmac(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against GMAC: the figure, and its points (see `gmac_points`)."""
    data = gmac_points(main)
    return _draw(data, "gmac", method_styles(main)), data


def cost_spread(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against GMAC where the cost depends on the image: the figure, and its points (see `cost_points`)."""
    data = cost_points(main)
    if data.empty:
        return nothing("every operating point costs the same for every image"), data
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, width=7, height=4)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        points = data[data["backbone"] == backbone]
        dense_network(panel, points[points["method"] == DENSE].iloc[0], "gmac")
        draw_series(panel, _others(points), "gmac", "miou", "method", method_styles(main), orient="both")
        panel.set(xlabel=HEADINGS["gmac"], ylabel="mIoU (points)")
        panel.set_xlim(left=0)
    legend_below(figure, [row[0] for row in rows], columns=2)
    freeze_layout(figure)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        points = _others(data[data["backbone"] == backbone])
        label_points(panel, points, "gmac", _along_bars(points, "gmac"))
    return figure, data


def _others(points: pd.DataFrame) -> pd.DataFrame:
    return points[~points["method"].isin([DENSE, PUBLISHED])]


def _draw(data: pd.DataFrame, x: str, styles: dict[str, Style]) -> Figure:
    """One row per backbone: all points, and those near the dense network."""
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, columns=2, width=6)
    for backbone, row in zip(backbones, rows, strict=True):
        points = data[data["backbone"] == backbone]
        for panel in row:
            _panel(panel, points, x, styles)
        _zoom(row[1], points, x)
    legend_below(figure, [panel for row in rows for panel in row], columns=4)
    freeze_layout(figure)
    for backbone, row in zip(backbones, rows, strict=True):
        _label_front(row, data[data["backbone"] == backbone], x)
    return figure


def _panel(panel: Axes, points: pd.DataFrame, x: str, styles: dict[str, Style]) -> None:
    """Points with intervals, pale where dominated; thin lines join the best of a method, a black one the front."""
    dense_network(panel, points[points["method"] == DENSE].iloc[0], x)
    best = front(points, x)
    panel.plot(best[x], best["miou"], color="black", linewidth=sized(1.3), zorder=2, label="Pareto front")
    for _, claim in points[points["method"] == PUBLISHED].iterrows():
        look: dict[str, Any] = {"linestyle": "none", "marker": "D", "mfc": "none", "mec": "black"}
        panel.plot(claim[x], claim["miou"], **look, markersize=sized(8), markeredgewidth=sized(1), label=PUBLISHED)
    others = _others(points)
    for method, group in others[others["best_of_method"]].sort_values(x).groupby("method"):
        panel.plot(
            group[x], group["miou"], color=styles[str(method)].colour, linewidth=sized(0.8), alpha=0.6, zorder=1.5
        )
    hollow = others["method"].map(lambda name: styles[name].hollow)
    others = others.assign(pale=others["dominated"] & ~hollow)
    draw_series(panel, others, x, "miou", "method", styles, orient="both", pale="pale")
    batch = f", batch {points['batch'].iloc[0]}" if "batch" in points else ""
    panel.set(xlabel=f"{HEADINGS[x]}{batch}", ylabel="mIoU (points)")


def dense_network(panel: Axes, dense: pd.Series, x: str) -> None:
    """A star for the network without any method, with a dotted line each way."""
    for line, value in ((panel.axhline, dense["miou"]), (panel.axvline, dense[x])):
        line(value, color="black", linewidth=sized(0.8), linestyle=":", zorder=1)
    spread = 0 if pd.isna(dense["miou_spread"]) else dense["miou_spread"]
    star: dict[str, Any] = {"linestyle": "none", "marker": "*", "markersize": sized(15), "color": "black"}
    panel.errorbar(dense[x], dense["miou"], spread, **star, elinewidth=sized(1), zorder=4)
    panel.plot([], [], **star, label=DENSE)


def _zoom(panel: Axes, points: pd.DataFrame, x: str) -> None:
    """Limit a panel to points at most `NEAR` below dense."""
    dense = points.loc[points["method"] == DENSE, "miou"].iloc[0]
    near = points[points["miou"] >= dense - NEAR]
    margin = 0.08 * max(near[x].max() - near[x].min(), 0.1 * near[x].max())
    panel.set_xlim(near[x].min() - margin, near[x].max() + 2 * margin)
    panel.set_ylim(dense - NEAR, max(near["miou"].max(), dense) + 0.15 * NEAR)
    panel.set_title(f"at most {NEAR:g} points below dense", loc="left")


def _label_front(row: list[Axes], points: pd.DataFrame, x: str) -> None:
    """Name the schedules on the Pareto front: near dense in the second panel, the others in the first."""
    best = front(points, x)
    obstacles = [*_along_bars(points, x), *along(best[[x, "miou"]].to_numpy(float))]
    named = best[best["method"] != DENSE]
    near = named["miou"] >= points.loc[points["method"] == DENSE, "miou"].iloc[0] - NEAR
    for panel, shown in zip(row, (named[~near], named[near]), strict=True):
        label_points(panel, shown, x, obstacles)


def _along_bars(points: pd.DataFrame, x: str) -> list[Place]:
    """Places along both intervals of each point, itself included."""
    places = [*zip(points[x], points["miou"], strict=True)]
    for value, other in ((x, "miou"), ("miou", x)):
        low, high = (end.fillna(points[value]) for end in ends(points, value))
        for share in np.linspace(0, 1, 15):
            ways = {value: low + share * (high - low), other: points[other]}
            places += zip(ways[x], ways["miou"], strict=True)
    return places


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
