"""Where speed comes from: batch size, and how much of the saved computation is realised.

What pausing costs beyond the blocks that it runs.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator, StrMethodFormatter

from paumer.reporting.figures.looks import SIZE, strategy_colours
from paumer.reporting.figures.style import (
    LINES,
    interval,
    legend_below,
    markers,
    nothing,
    nothing_here,
    palette,
    panels,
    sized,
)
from paumer.reporting.frames import POINT, in_order, latency_ms, on_one_scale, ranks, strategy_key, with_speed_intervals
from paumer.reporting.tables.methods import CLAIM

# Schedules drawn of a strategy, from the mildest to the strongest; of every other the one nearest the claimed speed-up.
SHOWN_SCHEDULES = {"pause": 3, "early-exit": 2}
TICKS = [0.5, 0.7, 0.85, 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20]
RATE = ["images_per_s", "images_per_s_low", "images_per_s_high"]
LATENCY = ["latency_ms", "latency_ms_low", "latency_ms_high"]


def throughput_batch(points: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """images/s, and the latency of one batch, against batch size, for dense and a few schedules of each strategy.

    Args:
        points: what was timed, see `variants.timed`.

    Returns:
        The figure, and its points: columns backbone, recipe, strategy, criterion, schedule, batch, images_per_s,
        images_per_s_low, images_per_s_high, latency_ms, latency_ms_low, latency_ms_high.
    """
    data = _with_intervals(_few(points.dropna(subset="images_per_s")))[[*POINT, "batch", *RATE, *LATENCY]]
    data = data.reset_index(drop=True)
    names = (data["strategy"] + " " + data["schedule"]).where(data["strategy"] != "dense", "dense")
    shapes, colours = markers(names), strategy_colours(points["strategy"])
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, columns=2, width=6, height=3.8)
    for backbone, (rate, latency) in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        for name, line in shown.groupby(names, sort=False):
            look: dict[str, Any] = {
                "color": colours[line["strategy"].iloc[0]],
                "marker": shapes[str(name)],
                "linestyle": LINES[list(shapes).index(str(name)) % len(LINES)],
            }
            for panel, values in ((rate, RATE), (latency, LATENCY)):
                bars = interval(line, *values)
                panel.errorbar(
                    line["batch"],
                    line[values[0]],
                    bars,
                    **look,
                    capsize=sized(2),
                    linewidth=sized(1.2),
                    label=str(name),
                )
        _axes(rate, latency, sorted(shown["batch"].unique()))
    legend_below(figure, [row[0] for row in rows], columns=5)
    return figure, data


def _with_intervals(points: pd.DataFrame) -> pd.DataFrame:
    """Put images/s on one scale; add latency, and to both the interval of the speed-up."""
    points = points.assign(images_per_s=on_one_scale(points))
    points = with_speed_intervals(points.assign(latency_ms=latency_ms(points)))
    for side, other in (("low", "high"), ("high", "low")):
        points[f"latency_ms_{other}"] = latency_ms(points, f"images_per_s_{side}")
    return points


def _axes(rate: Axes, latency: Axes, batches: list[int]) -> None:
    for panel, heading in ((rate, "images/s"), (latency, "latency of one batch (ms)")):
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_locator(FixedLocator(batches))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set(xlabel="batch size", ylabel=heading)
    rate.set_ylim(bottom=0)
    latency.set_yscale("log")
    latency.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    latency.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    latency.yaxis.set_minor_formatter(NullFormatter())


def _few(points: pd.DataFrame) -> pd.DataFrame:
    """The points of the variants that `throughput_batch` shows, by strategy and cost."""
    points = points.assign(rank=points["strategy"].map(ranks(points["strategy"], strategy_key)))
    points = points.sort_values(["rank", "gmac_ratio", "schedule", "batch"])
    chosen = []
    for (_, strategy), group in points.drop_duplicates(POINT).groupby(["backbone", "strategy"]):
        nearest = [int((group["gmac_ratio"] - CLAIM.speedup).abs().fillna(np.inf).argmin())]
        even = np.linspace(0, len(group) - 1, SHOWN_SCHEDULES.get(str(strategy), 1)).round().astype(int)
        chosen.append(group.iloc[np.unique(even) if strategy in SHOWN_SCHEDULES else nearest])
    return points.merge(pd.concat(chosen)[POINT])


def speedup_gmac(points: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Realised speed-up against the GMAC ratio at the smallest and the largest batch.

    On the diagonal all saved computation becomes speed.

    Args:
        points: what was timed, see `variants.timed`.

    Returns:
        The figure, and its points: columns backbone, recipe, strategy, criterion, schedule, batch, gmac_ratio, speedup,
        speedup_low, speedup_high.
    """
    strategies, backbones = in_order(points["strategy"], strategy_key), points["backbone"].unique()
    points = points.dropna(subset="images_per_s")
    points = points[points["batch"].isin([points["batch"].min(), points["batch"].max()])]
    values = ["speedup", "speedup_low", "speedup_high"]
    data = points.loc[points["strategy"] != "dense", [*POINT, "batch", "gmac_ratio", *values]]
    data = data.dropna(subset=["speedup", "gmac_ratio"]).reset_index(drop=True)
    shapes, colours = markers(strategies[1:]), strategy_colours(strategies)
    sizes = sorted(points["batch"].unique())
    figure, rows = panels(backbones, columns=len(sizes), width=5.5 if len(sizes) > 1 else 7)
    for backbone, row in zip(backbones, rows, strict=True):
        for batch, panel in zip(sizes, row, strict=True):
            shown = data[(data["backbone"] == backbone) & (data["batch"] == batch)]
            for strategy in shapes:
                group = shown[shown["strategy"] == strategy]
                panel.errorbar(
                    group["gmac_ratio"],
                    group["speedup"],
                    interval(group, *values),
                    linestyle="none",
                    marker=shapes[strategy],
                    color=colours[strategy],
                    markersize=sized(SIZE),
                    markerfacecolor="none",
                    markeredgewidth=sized(1.3),
                    elinewidth=sized(1),
                    label=strategy,
                )
            panel.set(xlabel=f"GMAC ratio (dense / schedule), batch {batch}", ylabel="speed-up over dense")
            if shown.empty:
                nothing_here(panel, "not timed")
            else:
                _diagonal(panel, shown)
    legend_below(figure, [panel for row in rows for panel in row], columns=4)
    return figure, data


def _diagonal(panel: Axes, shown: pd.DataFrame) -> None:
    """Where all saved computation would be saved time, and where nothing is gained; equal ratios, equal lengths."""
    end = max(2.0, shown["gmac_ratio"].max(), shown["speedup"].max())
    panel.plot([1, end], [1, end], color="0.35", linestyle=LINES[1], linewidth=sized(1), label="all savings realised")
    panel.axhline(1, color="0.35", linestyle=LINES[2], linewidth=sized(1))
    ticks = [tick for tick in TICKS if tick <= 1.1 * end]
    for scale, axis in ((panel.set_xscale, panel.xaxis), (panel.set_yscale, panel.yaxis)):
        scale("log")
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())


VALUES = ["floor_ratio", "floor_low", "floor_high"]
COLUMNS = [*POINT, "batch", "gmac_ratio", *VALUES]
# How much of the place of a schedule its batch sizes take side by side.
SPREAD = 0.6


def floor_overhead(points: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Time over floor of every pausing schedule, from the mildest to the strongest.

    Args:
        points: what was timed, see `variants.timed`.

    Returns:
        The figure, and its points: columns backbone, recipe, strategy, criterion, schedule, batch, gmac_ratio,
        floor_ratio, floor_low, floor_high. No row where nothing was timed against its floor.
    """
    data = points.loc[points["floor_ratio"].notna(), COLUMNS].reset_index(drop=True)
    if data.empty:
        return nothing("no schedule was timed against its floor"), data
    batches = {int(batch): f"batch {batch}" for batch in sorted(data["batch"].unique())}
    backbones = points["backbone"].unique()
    figure, rows = panels(backbones, width=8, height=3.8)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        if shown.empty:
            nothing_here(panel, "not timed")
        else:
            _panel(panel, shown.sort_values(["gmac_ratio", "schedule"]), batches)
    legend_below(figure, [row[0] for row in rows], columns=5)
    return figure, data


def _panel(panel: Axes, shown: pd.DataFrame, batches: dict[int, str]) -> None:
    """A place for each schedule, a series for each batch size."""
    schedules = list(shown["schedule"].unique())
    colours, shapes = palette(batches.values()), markers(batches.values())
    for place, (batch, name) in enumerate(batches.items()):
        series = shown[shown["batch"] == batch]
        shift = SPREAD * ((place + 0.5) / len(batches) - 0.5)
        panel.errorbar(
            [schedules.index(schedule) + shift for schedule in series["schedule"]],
            series["floor_ratio"],
            interval(series, *VALUES),
            linestyle="none",
            marker=shapes[name],
            color=colours[name],
            capsize=sized(2),
            label=name,
        )
    panel.axhline(1, color="0.35", linewidth=sized(1), label="floor: the same blocks alone")
    panel.set_xticks(range(len(schedules)), schedules, rotation=40, ha="right", rotation_mode="anchor")
    panel.set_xlim(-0.5, len(schedules) - 0.5)
    panel.set(xlabel="schedule", ylabel="time over floor")
