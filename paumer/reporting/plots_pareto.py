"""Accuracy against speed and against cost, with the Pareto front."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paumer.reporting.labels import along, label_points
from paumer.reporting.looks import Look, in_legend, looks
from paumer.reporting.pareto import GMAC, PUBLISHED, SPEED, Axis, front, gmac_points, speed_points
from paumer.reporting.points import DENSE
from paumer.reporting.style import PALE, freeze_layout, interval, legend_below, panels, sized

# How many points below dense the second panel reaches, where small drops can be told apart.
NEAR = 3.0
LEGEND_COLUMNS = 4


def pareto_speed(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against images/s at the largest batch: the figure, and its points (see `speed_points`)."""
    data = speed_points(main)
    return _draw(data, SPEED, looks(main)), data


def pareto_gmac(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against GMAC: the figure, and its points (see `gmac_points`)."""
    data = gmac_points(main)
    return _draw(data, GMAC, looks(main)), data


def _draw(data: pd.DataFrame, axis: Axis, styles: dict[str, Look]) -> Figure:
    """One row per backbone: all points, and those near the dense network."""
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, columns=2, width=6)
    for backbone, row in zip(backbones, rows, strict=True):
        points = data[data["backbone"] == backbone]
        for panel in row:
            _panel(panel, points, axis, styles)
        _zoom(row[1], points, axis)
    legend_below(figure, [panel for row in rows for panel in row], columns=LEGEND_COLUMNS)
    freeze_layout(figure)
    for backbone, row in zip(backbones, rows, strict=True):
        _label_front(row, data[data["backbone"] == backbone], axis)
    return figure


def _panel(panel: Axes, points: pd.DataFrame, axis: Axis, styles: dict[str, Look]) -> None:
    groups = {str(method): group for method, group in points.groupby("method", sort=False)}
    dense_network(panel, groups[DENSE].iloc[0], axis.column)
    best = front(points, axis)
    panel.plot(best[axis.column], best["miou"], color="black", linewidth=sized(1.3), zorder=2, label="Pareto front")
    if PUBLISHED in groups:
        claim: dict[str, Any] = {"linestyle": "none", "marker": "D", "mfc": "none", "mec": "black"}
        place = groups[PUBLISHED][[axis.column, "miou"]].to_numpy().T
        panel.plot(*place, **claim, markersize=sized(8), markeredgewidth=sized(1), label=PUBLISHED)
    for method, look in styles.items():
        if method in groups and method != DENSE:
            _method(panel, groups[method], axis, look)
    batch = f", batch {points['batch'].iloc[0]}" if "batch" in points else ""
    panel.set(xlabel=f"{axis.heading}{batch}", ylabel="mIoU (points)")


def dense_network(panel: Axes, dense: pd.Series, column: str) -> None:
    """A star for the network without any method, with a dotted line each way."""
    for line, value in ((panel.axhline, dense["miou"]), (panel.axvline, dense[column])):
        line(value, color="black", linewidth=sized(0.8), linestyle=":", zorder=1)
    spread = 0 if pd.isna(dense["miou_spread"]) else dense["miou_spread"]
    star: dict[str, Any] = {"linestyle": "none", "marker": "*", "markersize": sized(15), "color": "black"}
    panel.errorbar(dense[column], dense["miou"], spread, **star, elinewidth=sized(1), zorder=4)
    panel.plot([], [], **star, label=DENSE)


def _method(panel: Axes, group: pd.DataFrame, axis: Axis, look: Look) -> None:
    """Pale where another point is better; a thin line joins what is best within the method."""
    in_legend(panel, str(group["method"].iloc[0]), look)
    best = group[group["best_of_method"]].sort_values(axis.column)
    panel.plot(best[axis.column], best["miou"], color=look.colour, linewidth=sized(0.8), alpha=0.6, zorder=1.5)
    for pale, part in group.groupby("dominated"):
        with_bars(
            panel, part, axis.columns, look, alpha=PALE if pale and not look.hollow else 1, zorder=2.5 if pale else 3
        )


def with_bars(panel: Axes, points: pd.DataFrame, columns: list[str], look: Look, alpha: float, zorder: float) -> None:
    """Points with the interval of their horizontal value, and the spread of mIoU over seeds."""
    panel.errorbar(
        points[columns[0]],
        points["miou"],
        points["miou_spread"].fillna(0),
        interval(points, *columns),
        linestyle="none",
        ecolor=look.colour,
        elinewidth=sized(0.8),
        alpha=alpha,
        zorder=zorder,
        **look.symbol,
    )


def _zoom(panel: Axes, points: pd.DataFrame, axis: Axis) -> None:
    """Limit a panel to points at most `NEAR` below dense."""
    dense = points.loc[points["method"] == DENSE, "miou"].iloc[0]
    near = points[points["miou"] >= dense - NEAR]
    margin = 0.08 * max(near[axis.column].max() - near[axis.column].min(), 0.1 * near[axis.column].max())
    panel.set_xlim(near[axis.column].min() - margin, near[axis.column].max() + 2 * margin)
    panel.set_ylim(dense - NEAR, max(near["miou"].max(), dense) + 0.15 * NEAR)
    panel.set_title(f"at most {NEAR:g} points below dense", loc="left")


def _label_front(row: list[Axes], points: pd.DataFrame, axis: Axis) -> None:
    """Name the schedules on the Pareto front: near dense in the second panel, the others in the first."""
    best = front(points, axis)
    columns = [axis.column, "miou"]
    obstacles = [*_bars(points, axis), *along(best[columns].to_numpy(float))]
    named = best[best["schedule"] != "dense"]
    near = named["miou"] >= points.loc[points["method"] == DENSE, "miou"].iloc[0] - NEAR
    for panel, shown in zip(row, (named[~near], named[near]), strict=True):
        label_points(panel, [(x, y, text) for x, y, text in shown[[*columns, "schedule"]].to_numpy()], obstacles)


def _bars(points: pd.DataFrame, axis: Axis) -> list[tuple[float, float]]:
    """Places along the upright error bars, points included."""
    spread = points["miou_spread"].fillna(0)
    return [
        place
        for share in np.linspace(-1, 1, 9)
        for place in zip(points[axis.column], points["miou"] + share * spread, strict=True)
    ]
