"""mIoU against speed or cost of every operating point, with the Pareto front."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paumer.reporting.figures.drawing import draw, freeze_layout, legend_below, nothing, panels, sized
from paumer.reporting.figures.labels import Place, along, label_points
from paumer.reporting.figures.plots import COSTS, Axis, Plot, accuracy_plot
from paumer.reporting.figures.points import PUBLISHED, cost_points, front, gmac_points, speed_points
from paumer.reporting.figures.styles import method_styles
from paumer.reporting.frames import DENSE, ends

# How many points below dense the second panel reaches, where small drops can be told apart.
NEAR = 3.0


def pareto_speed(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against images/s at the largest batch: the figure, and its points (see `speed_points`)."""
    data = speed_points(main)
    return _draw(data, accuracy_plot(COSTS["images_per_s"], method_styles(main))), data


def pareto_gmac(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against GMAC: the figure, and its points (see `gmac_points`)."""
    data = gmac_points(main)
    return _draw(data, accuracy_plot(COSTS["gmac"], method_styles(main))), data


def cost_spread(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against GMAC where the cost depends on the image: the figure, and its points (see `cost_points`)."""
    data = cost_points(main)
    if data.empty:
        return nothing("every operating point costs the same for every image"), data
    plot = replace(accuracy_plot(COSTS["gmac"], method_styles(main)), pale=None)
    figure, parts = panels(data, width=7, height=4)
    for points, (panel,) in parts:
        _dense_network(panel, points, plot.x)
        draw(panel, plot, _others(points))
        panel.set_xlim(left=0)
    legend_below(figure, columns=2)
    freeze_layout(figure)
    for points, (panel,) in parts:
        label_points(panel, _others(points), "gmac", _along_bars(_others(points), "gmac"))
    return figure, data


def _others(points: pd.DataFrame) -> pd.DataFrame:
    return points[~points["method"].isin([DENSE, PUBLISHED])]


def _draw(data: pd.DataFrame, plot: Plot) -> Figure:
    """One row per backbone: all points, and those near the dense network."""
    figure, parts = panels(data, columns=2, width=6)
    for points, row in parts:
        for panel in row:
            _panel(panel, points, plot)
        _zoom(row[1], points, plot.x.value)
    legend_below(figure, columns=4)
    freeze_layout(figure)
    for points, row in parts:
        _label_front(row, points, plot.x.value)
    return figure


def _panel(panel: Axes, points: pd.DataFrame, plot: Plot) -> None:
    """Points with intervals, pale where dominated; thin lines join the best of a method, a black one the front."""
    x = plot.x.value
    _dense_network(panel, points, plot.x)
    best = front(points, x)
    panel.plot(best[x], best["miou"], color="black", linewidth=sized(1.3), zorder=2, label="Pareto front")
    for _, claim in points[points["method"] == PUBLISHED].iterrows():
        look: dict[str, Any] = {"linestyle": "none", "marker": "D", "mfc": "none", "mec": "black"}
        panel.plot(claim[x], claim["miou"], **look, markersize=sized(8), markeredgewidth=sized(1), label=PUBLISHED)
    others = _others(points)
    for method, group in others[others["best_of_method"]].sort_values(x).groupby("method"):
        colour = plot.styles[str(method)].colour
        panel.plot(group[x], group["miou"], color=colour, linewidth=sized(0.8), alpha=0.6, zorder=1.5)
    hollow = others["method"].map(lambda name: plot.styles[name].hollow)
    draw(panel, plot, others.assign(pale=others["dominated"] & ~hollow))
    if "batch" in points:
        panel.set_xlabel(f"{plot.x.title}, batch {points['batch'].iloc[0]}")


def _dense_network(panel: Axes, points: pd.DataFrame, x: Axis) -> None:
    """A star for the network without any method, with a dotted line each way."""
    dense = points[points["method"] == DENSE].iloc[0]
    for line, value in ((panel.axhline, dense["miou"]), (panel.axvline, dense[x.value])):
        line(value, color="black", linewidth=sized(0.8), linestyle=":", zorder=1)
    spread = 0 if pd.isna(dense["miou_spread"]) else dense["miou_spread"]
    star: dict[str, Any] = {"linestyle": "none", "marker": "*", "markersize": sized(15), "color": "black"}
    panel.errorbar(dense[x.value], dense["miou"], spread, **star, elinewidth=sized(1), zorder=4)
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
