"""Which classes pay for pausing.

Loss against steps.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from paumer.reporting.figures.style import HATCHES, LINES, legend_below, nothing, palette, panels, sized
from paumer.reporting.frames import read_table
from paumer.reporting.tables.drops import class_table
from paumer.system.errors import PaumerError


def drop_per_class(accuracy: Sequence[Path], main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Drop of each class by criterion, at the schedule near the claimed speed-up.

    Returns:
        The figure, and its bars: columns backbone, recipe, strategy, criterion, schedule, class, seeds, iou,
        iou_spread, drop, drop_spread.

    Raises:
        PaumerError: an accuracy file is unusable.
    """
    table = class_table(accuracy, main)
    paused = table[table["strategy"] == "pause"]
    recipe = "paumer" if "paumer" in set(paused["recipe"]) else paused["recipe"].max()
    data = paused[paused["recipe"] == recipe].reset_index(drop=True)
    if data.empty:
        return nothing("no operating point pauses patches"), data
    criteria = list(data["criterion"].unique())
    backbones = data["backbone"].unique()
    classes = data.groupby("backbone")["class"].nunique().max()
    figure, rows = panels(backbones, width=7, height=1.2 + 0.17 * classes * (len(criteria) + 0.6))
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        bars = data[data["backbone"] == backbone]
        order = list(bars[bars["criterion"] == bars["criterion"].iloc[0]].sort_values("drop")["class"])
        for index, criterion in enumerate(criteria):
            group = bars[bars["criterion"] == criterion].set_index("class").reindex(order)
            thickness = 0.8 / len(criteria)
            panel.barh(
                np.arange(len(order)) + thickness * (len(criteria) / 2 - 0.5 - index),
                group["drop"].fillna(0),
                thickness,
                xerr=group["drop_spread"].fillna(0),
                color=palette(criteria)[criterion],
                hatch=HATCHES[index % len(HATCHES)],
                edgecolor="white",
                error_kw={"elinewidth": sized(1), "ecolor": "0.25"},
                label=criterion,
            )
        panel.set_yticks(np.arange(len(order)), order)
        panel.grid(False, axis="y")
        panel.axvline(0, color="0.35", linewidth=sized(1))
        schedules = ", ".join(bars["schedule"].unique())
        panel.set(xlabel=f"drop (IoU points) of {recipe} at\n{schedules}", title="")
        panel.margins(y=0.02)
    legend_below(figure, [row[0] for row in rows], columns=len(criteria))
    return figure, data


# More points than this per curve show nothing more.
BINS = 150
COLUMNS = ["backbone", "recipe", "seed", "step", "loss"]


def loss_curves(paths: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """Training loss of every run, a colour and line per recipe, a thin line per seed.

    Args:
        paths: `.../<backbone>/<recipe>/seed<k>/train.csv`; the folders name the run.

    Returns:
        The figure, and its lines: columns backbone, recipe, seed, step, loss (means over equal stretches of steps).

    Raises:
        PaumerError: a file is unusable, or its folders do not name a run.
    """
    if not paths:
        return nothing("no training curves"), pd.DataFrame(columns=COLUMNS)
    data = pd.concat([_curve(path) for path in paths], ignore_index=True)
    recipes = list(data["recipe"].unique())
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, width=7, height=3.6)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        for (recipe, _), curve in data[data["backbone"] == backbone].groupby(["recipe", "seed"], sort=False):
            panel.plot(
                curve["step"],
                curve["loss"],
                color=palette(recipes)[str(recipe)],
                linestyle=LINES[recipes.index(recipe) % len(LINES)],
                linewidth=sized(1.1),
                label=str(recipe),
            )
        panel.set(xlabel="step", ylabel="training loss")
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
    legend_below(figure, [row[0] for row in rows])
    return figure, data


def _curve(path: Path) -> pd.DataFrame:
    """One run, its steps averaged in at most `BINS` equal stretches."""
    table = read_table(path, ["step", "loss"])
    seed, recipe, backbone = path.resolve().parts[-2:-5:-1]
    if not seed.removeprefix("seed").isdigit():
        raise PaumerError(f"{path}: expected .../<backbone>/<recipe>/seed<k>/{path.name}; name a run's file")
    stretch = np.arange(len(table)) * BINS // max(BINS, len(table))
    means = table.groupby(stretch)[["step", "loss"]].mean()
    return means.assign(backbone=backbone, recipe=recipe, seed=int(seed.removeprefix("seed")))[COLUMNS]
