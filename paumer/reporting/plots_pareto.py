"""Accuracy against speed and against cost, with the Pareto front."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paumer.reporting.aggregate import at_largest_batch
from paumer.reporting.claims import CLAIM
from paumer.reporting.labels import label_points
from paumer.reporting.pareto import dominated
from paumer.reporting.selection import ORACLE
from paumer.reporting.style import DENSE, PALE, freeze_layout, interval, legend_below, markers, palette, panels

# How many points below dense the second panel reaches, where small drops can be told apart.
NEAR = 3.0
PUBLISHED = f"published claim ({CLAIM.dataset}, other network)"
COMMON = ["backbone", "method", "schedule", "seeds", "miou", "miou_spread"]


@dataclass(frozen=True)
class Axis:
    """What the horizontal axis shows: a column, its heading, and whether more is better."""

    column: str
    heading: str
    more_is_better: bool


SPEED = Axis("images_per_s", "images/s", True)
GMAC = Axis("gmac", "GMAC per image", False)


def pareto_speed(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against images/s at the largest batch.

    Returns:
        The figure, and its points: columns backbone, method, schedule, seeds, miou, miou_spread, batch, images_per_s,
        images_per_s_low, images_per_s_high, dominated; the published claim is a row with the method of that name.
    """
    points = at_largest_batch(main).dropna(subset="images_per_s")
    for side in ("low", "high"):
        points[f"images_per_s_{side}"] = points["images_per_s"] * points[f"speedup_{side}"] / points["speedup"]
    points["dominated"] = _dominated(points, SPEED)
    columns = [*COMMON, "batch", "images_per_s", "images_per_s_low", "images_per_s_high", "dominated"]
    data = pd.concat([points[columns], _claims(points)], ignore_index=True).astype({"seeds": "Int64"})
    return _draw(data, SPEED), data


def pareto_gmac(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against GMAC.

    Returns:
        The figure, and its points: columns backbone, method, schedule, seeds, miou, miou_spread, gmac, dominated.
    """
    points = at_largest_batch(main)
    points["dominated"] = _dominated(points, GMAC)
    data = points[[*COMMON, "gmac", "dominated"]]
    return _draw(data, GMAC), data


def _dominated(points: pd.DataFrame, axis: Axis) -> pd.Series:
    """Compare the points of each backbone; what chooses by the ground truth beats nothing."""
    fair = points[~points["method"].str.endswith(f"/{ORACLE}")]
    sign = 1 if axis.more_is_better else -1
    marks = [dominated(sign * group[axis.column], group["miou"]) for _, group in fair.groupby("backbone")]
    return pd.concat(marks).reindex(points.index, fill_value=True)


def _claims(points: pd.DataFrame) -> pd.DataFrame:
    """Where the published claim would lie, counted from each dense network."""
    dense = points[points["method"] == DENSE]
    return pd.DataFrame(
        {
            "backbone": dense["backbone"],
            "method": PUBLISHED,
            "schedule": "not stated",
            "miou": dense["miou"] - CLAIM.drop,
            "batch": dense["batch"],
            "images_per_s": dense["images_per_s"] * CLAIM.speedup,
            "dominated": False,
        }
    )


def _draw(data: pd.DataFrame, axis: Axis) -> Figure:
    """One row per backbone: all points, and those near the dense network."""
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, columns=2)
    for backbone, row in zip(backbones, rows, strict=True):
        points = data[data["backbone"] == backbone]
        for panel in row:
            _panel(panel, points, axis, list(data["method"].unique()))
        _zoom(row[1], points, axis)
    legend_below(figure, [panel for row in rows for panel in row])
    freeze_layout(figure)
    for backbone, row in zip(backbones, rows, strict=True):
        _label_front(row, data[data["backbone"] == backbone], axis)
    return figure


def _panel(panel: Axes, points: pd.DataFrame, axis: Axis, methods: list[str]) -> None:
    others = [method for method in methods if method not in (DENSE, PUBLISHED)]
    # What runs sets the colour, whatever the recipe; the marker tells all methods apart, also in grey.
    colours, shapes = palette(map(_what_runs, others)), markers(others)
    for method, group in points.groupby("method", sort=False):
        if method == PUBLISHED:
            panel.scatter(group[axis.column], group["miou"], s=70, marker="D", fc="none", ec="black", label=PUBLISHED)
        elif method == DENSE:
            _dense(panel, group.iloc[0], axis)
        else:
            _points(panel, group, axis, colours[_what_runs(str(method))], shapes[str(method)])
    front = _front(points, axis)
    panel.plot(front[axis.column], front["miou"], color="0.35", linewidth=1, zorder=1, label="Pareto front")
    batch = f", batch {points['batch'].iloc[0]}" if "batch" in points else ""
    panel.set(xlabel=f"{axis.heading}{batch}", ylabel="mIoU (points)")


def _what_runs(method: str) -> str:
    """The method without its recipe."""
    return method.split("/", 1)[1]


def _dense(panel: Axes, dense: pd.Series, axis: Axis) -> None:
    for line, value in ((panel.axhline, dense["miou"]), (panel.axvline, dense[axis.column])):
        line(value, color="black", linewidth=0.8, linestyle=":", zorder=1)
    spread = 0 if pd.isna(dense["miou_spread"]) else dense["miou_spread"]
    panel.errorbar(
        dense[axis.column], dense["miou"], spread, fmt="*", markersize=15, color="black", elinewidth=1, label=DENSE
    )


def _points(panel: Axes, group: pd.DataFrame, axis: Axis, colour: tuple, shape: str) -> None:
    """Pale where another point is better; the legend entry is never pale."""
    panel.scatter([], [], marker=shape, color=[colour], s=45, label=str(group["method"].iloc[0]))
    for pale, part in group.groupby("dominated"):
        sides = interval(part, axis.column, f"{axis.column}_low", f"{axis.column}_high") if axis is SPEED else None
        panel.errorbar(
            part[axis.column],
            part["miou"],
            part["miou_spread"].fillna(0),
            sides,
            fmt=shape,
            color=colour,
            markersize=6.5,
            elinewidth=1,
            alpha=PALE if pale else 1,
            zorder=2 if pale else 3,
        )


def _zoom(panel: Axes, points: pd.DataFrame, axis: Axis) -> None:
    """Limit a panel to points at most `NEAR` below dense."""
    dense = points.loc[points["method"] == DENSE, "miou"].iloc[0]
    near = points[points["miou"] >= dense - NEAR]
    margin = 0.08 * max(near[axis.column].max() - near[axis.column].min(), 0.1 * near[axis.column].max())
    panel.set_xlim(near[axis.column].min() - margin, near[axis.column].max() + 2 * margin)
    panel.set_ylim(dense - NEAR, max(near["miou"].max(), dense) + 0.15 * NEAR)
    panel.set_title(f"at most {NEAR:g} points below dense", loc="left")


def _front(points: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """The points of the Pareto front, from left to right."""
    return points[~points["dominated"] & (points["method"] != PUBLISHED)].sort_values([axis.column, "miou"])


def _label_front(row: list[Axes], points: pd.DataFrame, axis: Axis) -> None:
    """Name the schedules on the Pareto front: near dense in the second panel, the others in the first."""
    front = _front(points, axis)
    columns = [axis.column, "miou"]
    obstacles = _bars(points, axis)
    for start, end in pairwise(front[columns].to_numpy(float)):
        obstacles += [tuple(start + share * (end - start)) for share in np.linspace(0, 1, 30)]
    named = front[front["schedule"] != "dense"]
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
