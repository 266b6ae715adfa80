"""Plots of speed by batch size, of saved computation, of overhead, of the drop of each class, and of training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from paumer.reporting.figures.drawing import draw_series, legend_below, nothing, nothing_here, panels, sized
from paumer.reporting.figures.points import batch_points, class_points, floor_points, loss_curves, speedup_points
from paumer.reporting.figures.styles import DASHES, series_styles, strategy_colours
from paumer.reporting.frames import in_order, strategy_key

TICKS = [0.5, 0.7, 0.85, 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20]
LINE: dict[str, Any] = {"color": "0.35"}


def throughput_batch(timed: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """images/s, and the latency of one batch, against batch size: the figure, and its points (see `batch_points`)."""
    data = batch_points(timed)
    names = (data["strategy"] + " " + data["schedule"]).where(data["strategy"] != "dense", "dense")
    colours = strategy_colours(timed["strategy"])
    strategies = dict(zip(names, data["strategy"], strict=True))
    styles = {name: replace(style, colour=colours[strategies[name]]) for name, style in series_styles(names).items()}
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, columns=2, width=6, height=3.8)
    for backbone, row in zip(backbones, rows, strict=True):
        shown = data.assign(name=names)[data["backbone"] == backbone]
        values = {"images_per_s": "images/s", "latency_ms": "latency of one batch (ms)"}
        for panel, (value, heading) in zip(row, values.items(), strict=True):
            draw_series(panel, shown, "batch", value, "name", styles, joined=True)
            panel.set_xscale("log", base=2)
            panel.xaxis.set_major_locator(FixedLocator(sorted(shown["batch"].unique())))
            panel.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set(xlabel="batch size", ylabel=heading)
        row[0].set_ylim(bottom=0)
        _logarithmic(row[1])
    legend_below(figure, [row[0] for row in rows], columns=5)
    return figure, data


def _logarithmic(panel: Axes) -> None:
    """A logarithmic vertical axis with plain numbers."""
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())


def speedup_gmac(timed: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Speed-up against the GMAC ratio: the figure, and its points (see `speedup_points`).

    On the diagonal all saved computation becomes speed.
    """
    data, backbones = speedup_points(timed), timed["backbone"].unique()
    strategies = in_order(timed["strategy"], strategy_key)[1:]
    styles = {name: replace(style, hollow=True) for name, style in series_styles(strategies).items()}
    at = timed.loc[timed["images_per_s"].notna(), "batch"]
    sizes = sorted({at.min(), at.max()})
    figure, rows = panels(backbones, columns=len(sizes), width=5.5 if len(sizes) > 1 else 7)
    for backbone, row in zip(backbones, rows, strict=True):
        for batch, panel in zip(sizes, row, strict=True):
            shown = data[(data["backbone"] == backbone) & (data["batch"] == batch)]
            if shown.empty:
                nothing_here(panel, "not timed")
            else:
                draw_series(panel, shown, "gmac_ratio", "speedup", "strategy", styles)
                _diagonal(panel, shown)
            panel.set(xlabel=f"GMAC ratio (dense / schedule), batch {batch}", ylabel="speed-up over dense")
    legend_below(figure, [panel for row in rows for panel in row], columns=4)
    return figure, data


def _diagonal(panel: Axes, shown: pd.DataFrame) -> None:
    """Where all saved computation would be saved time, and where nothing is gained; equal ratios, equal lengths."""
    end = max(2.0, shown["gmac_ratio"].max(), shown["speedup"].max())
    panel.plot([1, end], [1, end], **LINE, linestyle=DASHES[1], linewidth=sized(1), label="all savings realised")
    panel.axhline(1, **LINE, linestyle=DASHES[2], linewidth=sized(1))
    ticks = [tick for tick in TICKS if tick <= 1.1 * end]
    for scale, axis in ((panel.set_xscale, panel.xaxis), (panel.set_yscale, panel.yaxis)):
        scale("log")
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())


def floor_overhead(timed: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Time over floor by schedule, the mildest first: the figure, and its points (see `floor_points`)."""
    data = floor_points(timed)
    if data.empty:
        return nothing("no schedule was timed against its floor"), data
    named = data.assign(name=[f"batch {batch}" for batch in data["batch"]])
    named = named.rename(columns={"floor_low": "floor_ratio_low", "floor_high": "floor_ratio_high"})
    styles = series_styles(f"batch {batch}" for batch in sorted(data["batch"].unique()))
    backbones = timed["backbone"].unique()
    figure, rows = panels(backbones, width=8, height=3.8)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        shown = named[named["backbone"] == backbone].sort_values(["gmac_ratio", "schedule"])
        if shown.empty:
            nothing_here(panel, "not timed")
            continue
        draw_series(panel, shown, "schedule", "floor_ratio", "name", styles, dodged=True)
        panel.axhline(1, **LINE, linewidth=sized(1), label="floor: the same blocks alone")
        for label in panel.get_xticklabels():
            label.set(rotation=40, ha="right", rotation_mode="anchor")
        panel.set(xlabel="schedule", ylabel="time over floor")
    legend_below(figure, [row[0] for row in rows], columns=5)
    return figure, data


def drop_per_class(accuracy: Sequence[Path], main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Drop of each class by criterion, near the claimed speed-up: the figure, and its points (see `class_points`)."""
    data = class_points(accuracy, main)
    if data.empty:
        return nothing("no operating point pauses patches"), data
    styles, backbones = series_styles(data["criterion"]), data["backbone"].unique()
    classes = data.groupby("backbone")["class"].nunique().max()
    figure, rows = panels(backbones, width=7, height=1.2 + 0.17 * classes * (len(styles) + 0.6))
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        # By the drop of the first criterion, the largest at the top.
        order = shown.sort_values("drop", ascending=False).drop_duplicates(["criterion", "class"])
        order = order.sort_values("criterion", key=lambda names: names != shown["criterion"].iloc[0], kind="stable")
        draw_series(panel, order, "drop", "class", "criterion", styles, orient="y", dodged=True)
        panel.axvline(0, **LINE, linewidth=sized(1))
        schedules = ", ".join(shown["schedule"].unique())
        panel.set(xlabel=f"drop (IoU points) of {shown['recipe'].iloc[0]} at\n{schedules}", ylabel="")
    legend_below(figure, [row[0] for row in rows], columns=len(styles))
    return figure, data


def training(paths: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """Training loss of every run, a thin line per seed: the figure, and its lines (see `loss_curves`)."""
    data = loss_curves(paths)
    if data.empty:
        return nothing("no training curves"), data
    styles, backbones = series_styles(data["recipe"]), data["backbone"].unique()
    figure, rows = panels(backbones, width=7, height=3.6)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        draw_series(panel, shown, "step", "loss", "recipe", styles, joined=True, dots=False, unit="seed")
        panel.set(xlabel="step", ylabel="training loss")
        _logarithmic(panel)
    legend_below(figure, [row[0] for row in rows])
    return figure, data
