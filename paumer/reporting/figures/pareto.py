"""Accuracy against speed and against cost, with the Pareto front.

Which operating points are worth choosing, and the points that the Pareto plots show.

Cost where it depends on the image: its mean and spread over the images against mIoU.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paumer.reporting.figures.looks import Look, along, in_legend, label_points, looks
from paumer.reporting.figures.style import PALE, freeze_layout, interval, legend_below, nothing, panels, sized
from paumer.reporting.frames import (
    BEST,
    DENSE,
    at_largest_batch,
    is_dense,
    on_one_scale,
    operating_points,
    with_speed_intervals,
)
from paumer.reporting.tables.methods import CLAIM

PUBLISHED = f"published claim ({CLAIM.dataset}, other network)"
COMMON = ["backbone", "method", "schedule", "seeds", "miou", "miou_spread"]
MARKS = ["dominated", "best_of_method"]


@dataclass(frozen=True)
class Axis:
    """What the horizontal axis shows: a column, its heading, and whether more is better."""

    column: str
    heading: str
    more_is_better: bool

    @property
    def columns(self) -> list[str]:
        """The value and the ends of its bar."""
        return [self.column, f"{self.column}_low", f"{self.column}_high"]


SPEED = Axis("images_per_s", "images/s", True)
GMAC = Axis("gmac", "GMAC per image", False)


def dominated(gain: pd.Series, accuracy: pd.Series) -> pd.Series:
    """Mark points that another one beats.

    Args:
        gain: larger is better (images/s, or minus GMAC).
        accuracy: larger is better.

    Returns:
        True where another point is at least as good in both and better in one.
    """
    first, second = gain.to_numpy(float), accuracy.to_numpy(float)
    as_good = (first[:, None] >= first) & (second[:, None] >= second)
    better = (first[:, None] > first) | (second[:, None] > second)
    return pd.Series(np.any(as_good & better, axis=0), index=gain.index)


def speed_points(main: pd.DataFrame) -> pd.DataFrame:
    """mIoU and images/s at the largest batch.

    Returns:
        Columns backbone, method, schedule, seeds, miou, miou_spread, batch, images_per_s, images_per_s_low,
        images_per_s_high (the interval of the speed-up), dominated, and best_of_method: no other schedule of the same
        method dominates it. The published claim is a row with the method of that name.
    """
    points = beside_dense(at_largest_batch(main).dropna(subset="images_per_s").reset_index(drop=True))
    data = _marked(points, SPEED)[[*COMMON, "batch", *SPEED.columns, *MARKS]]
    return pd.concat([data, _claims(points)], ignore_index=True).astype({"seeds": "Int64"})


def beside_dense(points: pd.DataFrame) -> pd.DataFrame:
    """Place operating points of one setting and batch on one scale of images/s; add its interval, that of the speed-up.

    Every point is placed by its speed-up.
    """
    return with_speed_intervals(points.assign(images_per_s=on_one_scale(points)))


def gmac_points(main: pd.DataFrame) -> pd.DataFrame:
    """mIoU and GMAC.

    Returns:
        Columns backbone, method, schedule, seeds, miou, miou_spread, gmac, gmac_low, gmac_high (5th and 95th percentile
        over the images), dominated, best_of_method.
    """
    return _marked(at_largest_batch(main), GMAC)[[*COMMON, *GMAC.columns, *MARKS]]


def front(points: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """The points of the Pareto front, from left to right."""
    return points[~points["dominated"] & (points["method"] != PUBLISHED)].sort_values([axis.column, "miou"])


def _marked(points: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Compare the points of each backbone and of each method; what chooses by the ground truth beats nothing."""
    gain = points[axis.column] * (1 if axis.more_is_better else -1)

    def beaten(table: pd.DataFrame, keys: list[str]) -> pd.Series:
        groups = [group.index for _, group in table.groupby(keys)]
        return pd.concat([dominated(gain[index], points.loc[index, "miou"]) for index in groups])

    fair = points[points["criterion"] != BEST]
    return points.assign(
        dominated=beaten(fair, ["backbone"]).reindex(points.index, fill_value=True),
        best_of_method=~beaten(points, ["backbone", "method"]),
    )


def _claims(points: pd.DataFrame) -> pd.DataFrame:
    """Where the published claim would lie, counted from each dense network."""
    dense = points[is_dense(points)]
    return pd.DataFrame(
        {
            "backbone": dense["backbone"],
            "method": PUBLISHED,
            "schedule": "not stated",
            "miou": dense["miou"] - CLAIM.drop,
            "batch": dense["batch"],
            "images_per_s": dense["images_per_s"] * CLAIM.speedup,
            "dominated": False,
            "best_of_method": False,
        }
    )


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


def cost_spread(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against GMAC of the operating points whose cost depends on what the image shows.

    Returns:
        The figure, and its points: columns backbone, method, schedule, seeds, miou, miou_spread, gmac, gmac_low,
        gmac_high (5th and 95th percentile over the images); the dense network for comparison. No row where the cost of
        no operating point depends on the image.
    """
    columns = [*COMMON, *GMAC.columns]
    points = operating_points(main)
    varying = points["varies"]
    if not varying.any():
        return nothing("every operating point costs the same for every image"), pd.DataFrame(columns=columns)
    backbones = points.loc[varying, "backbone"].unique()
    shown = points["backbone"].isin(backbones) & (varying | is_dense(points))
    data = points.loc[shown, columns].reset_index(drop=True)
    figure, rows = panels(backbones, width=7, height=4)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        points = data[data["backbone"] == backbone]
        dense_network(panel, points[points["method"] == DENSE].iloc[0], GMAC.column)
        for method, look in looks(main).items():
            group = points[(points["method"] == method) & (method != DENSE)]
            if len(group):
                in_legend(panel, method, look)
                with_bars(panel, group, GMAC.columns, look, alpha=1, zorder=3)
        panel.set(xlabel=GMAC.heading, ylabel="mIoU (points)")
        panel.set_xlim(left=0)
    legend_below(figure, [row[0] for row in rows], columns=2)
    freeze_layout(figure)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        points = data[(data["backbone"] == backbone) & (data["method"] != DENSE)]
        texts = points[[GMAC.column, "miou", "schedule"]].to_numpy()
        label_points(panel, [(x, y, text) for x, y, text in texts], _cost_bars(points))
    return figure, data


def _cost_bars(points: pd.DataFrame) -> list[tuple[float, float]]:
    """Places along the horizontal bars."""
    ends = points[["gmac_low", "gmac_high", "miou"]].to_numpy()
    return [(x, height) for low, high, height in ends for x in np.linspace(low, high, 40)]
