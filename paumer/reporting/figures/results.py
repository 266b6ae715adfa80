"""Plots of speed by batch size, equal speed, saved computation, overhead, the drop of each class, and training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from paumer.reporting.figures.drawing import draw, legend_below, nothing, nothing_here, panels, sized
from paumer.reporting.figures.plots import COSTS, LINE, Axis, Plot, class_plot, equal_speed_plot, training_plot
from paumer.reporting.figures.points import (
    CLAIMED,
    batch_points,
    class_points,
    equal_speed_points,
    floor_points,
    loss_curves,
    speedup_points,
)
from paumer.reporting.figures.styles import DASHES, method_styles, series_styles, strategy_colours
from paumer.reporting.frames import DENSE, in_order, strategy_key
from paumer.reporting.tables.classes import class_table
from paumer.reporting.tables.methods import CLAIM

TICKS = [0.5, 0.7, 0.85, 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20]
GREY: dict[str, Any] = {"color": "0.35"}


def throughput_batch(timed: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """images/s, and the latency of one batch, against batch size: the figure, and its points (see `batch_points`)."""
    data = batch_points(timed)
    names = (data["strategy"] + " " + data["schedule"]).where(data["strategy"] != "dense", "dense")
    colours = strategy_colours(timed["strategy"])
    strategies = dict(zip(names, data["strategy"], strict=True))
    styles = {name: replace(style, colour=colours[strategies[name]]) for name, style in series_styles(names).items()}
    speed, latency = COSTS["images_per_s"], replace(COSTS["latency_ms"], scale="log")
    figure, parts = panels(data.assign(name=names), columns=2, width=6, height=3.8)
    for shown, row in parts:
        for panel, value in zip(row, (speed, latency), strict=True):
            draw(panel, Plot(Axis("batch", "batch size"), value, "name", styles, line=LINE), shown)
            panel.set_xscale("log", base=2)
            _ticks(panel.xaxis, sorted(shown["batch"].unique()))
        row[0].set_ylim(bottom=0)
    legend_below(figure, columns=5)
    return figure, data


def _ticks(axis: Any, places: Sequence[float]) -> None:
    """Plain numbers at these places of a logarithmic axis alone."""
    axis.set_major_locator(FixedLocator(places))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def speedup_gmac(timed: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Speed-up against the GMAC ratio: the figure, and its points (see `speedup_points`).

    On the diagonal all saved computation becomes speed.
    """
    data = speedup_points(timed)
    strategies = in_order(timed["strategy"], strategy_key)[1:]
    styles = {name: replace(style, hollow=True) for name, style in series_styles(strategies).items()}
    at = timed.loc[timed["images_per_s"].notna(), "batch"]
    sizes = sorted({at.min(), at.max()})
    every = timed["backbone"].unique()
    figure, parts = panels(data, columns=len(sizes), width=5.5 if len(sizes) > 1 else 7, every=every)
    for rows, row in parts:
        for batch, panel in zip(sizes, row, strict=True):
            shown = rows[rows["batch"] == batch]
            ratio = Axis("gmac_ratio", f"GMAC ratio (dense / schedule), batch {batch}")
            draw(panel, Plot(ratio, COSTS["speedup"], "strategy", styles), shown)
            if shown.empty:
                nothing_here(panel, "not timed")
            else:
                _diagonal(panel, shown)
    legend_below(figure, columns=4)
    return figure, data


def _diagonal(panel: Axes, shown: pd.DataFrame) -> None:
    """Where all saved computation would be saved time, and where nothing is gained; equal ratios, equal lengths."""
    end = max(2.0, shown["gmac_ratio"].max(), shown["speedup"].max())
    panel.plot([1, end], [1, end], **GREY, linestyle=DASHES[1], linewidth=sized(1), label="all savings realised")
    panel.axhline(1, **GREY, linestyle=DASHES[2], linewidth=sized(1))
    panel.set(xscale="log", yscale="log")
    for axis in (panel.xaxis, panel.yaxis):
        _ticks(axis, [tick for tick in TICKS if tick <= 1.1 * end])


def drop_speedup(equal_speed: Path, main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Drop of methods at equal speed: the figure, and its points (see `equal_speed_points`)."""
    data = equal_speed_points(equal_speed)
    plot = equal_speed_plot(method_styles(main))
    figure, parts = panels(data, width=7)
    for shown, (panel,) in parts:
        draw(panel, plot, shown)
        panel.axhline(0, **GREY, linestyle=DASHES[1], linewidth=sized(1), label=DENSE)
        panel.axhline(CLAIM.drop, **GREY, linestyle=DASHES[2], linewidth=sized(1), label=CLAIMED)
    legend_below(figure)
    return figure, data


def floor_overhead(timed: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Time over floor by schedule, the mildest first: the figure, and its points (see `floor_points`)."""
    data = floor_points(timed)
    if data.empty:
        return nothing("no schedule was timed against its floor"), data
    named = data.assign(name=[f"batch {batch}" for batch in data["batch"]]).sort_values(["gmac_ratio", "schedule"])
    named = named.rename(columns={"floor_low": "floor_ratio_low", "floor_high": "floor_ratio_high"})
    styles = series_styles(f"batch {batch}" for batch in sorted(data["batch"].unique()))
    schedule, ratio = Axis("schedule", "schedule", "names"), Axis("floor_ratio", "time over floor")
    figure, parts = panels(named, width=8, height=3.8, every=timed["backbone"].unique())
    for shown, (panel,) in parts:
        if shown.empty:
            nothing_here(panel, "not timed")
            continue
        draw(panel, Plot(schedule, ratio, "name", styles, dodged=True), shown)
        panel.axhline(1, **GREY, linewidth=sized(1), label="floor: the same blocks alone")
        for label in panel.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
    legend_below(figure, columns=5)
    return figure, data


def drop_per_class(accuracy: Sequence[Path], main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Drop of each class by criterion, near the claimed speed-up: the figure, and its points (see `class_points`)."""
    data = class_points(class_table(accuracy, main))
    if data.empty:
        return nothing("no operating point pauses patches"), data
    plot = class_plot("criterion", data["criterion"])
    classes = data.groupby("backbone")["class"].nunique().max()
    figure, parts = panels(data, width=7, height=1.2 + 0.17 * classes * (len(plot.styles) + 0.6))
    for shown, (panel,) in parts:
        # By the drop of the first criterion, the largest at the top.
        order = shown.sort_values("drop", ascending=False).drop_duplicates(["criterion", "class"])
        order = order.sort_values("criterion", key=lambda names: names != shown["criterion"].iloc[0], kind="stable")
        draw(panel, plot, order)
        panel.axvline(0, **GREY, linewidth=sized(1))
        schedules = ", ".join(shown["schedule"].unique())
        panel.set_xlabel(f"{plot.x.title} of {shown['recipe'].iloc[0]} at\n{schedules}")
    legend_below(figure, columns=len(plot.styles))
    return figure, data


def training(paths: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """Training loss of every run, a thin line per seed: the figure, and its lines (see `loss_curves`)."""
    data = loss_curves(paths)
    if data.empty:
        return nothing("no training curves"), data
    plot = training_plot(data["recipe"])
    figure, parts = panels(data, width=7, height=3.6)
    for shown, (panel,) in parts:
        draw(panel, plot, shown)
    legend_below(figure)
    return figure, data
