"""Which classes pay for pausing."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from paumer.reporting.classes import class_table
from paumer.reporting.style import HATCHES, legend_below, nothing, palette, panels, sized


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
