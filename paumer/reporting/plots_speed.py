"""Where speed comes from: batch size, and how much of the saved computation is realised."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from paumer.reporting.aggregate import per_batch
from paumer.reporting.style import LINES, interval, legend_below, markers, palette, panels

SHOWN_SCHEDULES = {"dense": 1, "pause": 4, "early-exit": 2}


def timed(main: pd.DataFrame) -> pd.DataFrame:
    """One row per backbone, batch, strategy and schedule that fitted into memory; speed depends on nothing else."""
    points = per_batch(main).dropna(subset="images_per_s")
    return points.drop_duplicates(["backbone", "batch", "strategy", "schedule"])


def throughput_batch(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """images/s against batch size, for dense and schedules spread evenly over the costs.

    Returns:
        The figure, and its points: columns backbone, strategy, schedule, batch, images_per_s, images_per_s_low,
        images_per_s_high.
    """
    points = _evenly(timed(main))
    for side in ("low", "high"):
        points[f"images_per_s_{side}"] = points["images_per_s"] * points[f"speedup_{side}"] / points["speedup"]
    columns = ["backbone", "strategy", "schedule", "batch", "images_per_s", "images_per_s_low", "images_per_s_high"]
    data = points[columns].reset_index(drop=True)
    names = list(data["schedule"].unique())
    colours, shapes = palette(names), markers(names)
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, width=7, height=3.8)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        for schedule, line in shown.groupby("schedule", sort=False):
            sides = interval(line, "images_per_s", "images_per_s_low", "images_per_s_high")
            name = str(schedule)
            panel.errorbar(
                line["batch"],
                line["images_per_s"],
                sides,
                marker=shapes[name],
                color=colours[name],
                capsize=3,
                linestyle=LINES[names.index(name) % len(LINES)],
                label=name,
            )
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_locator(FixedLocator(sorted(shown["batch"].unique())))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set(xlabel="batch size (images)", ylabel="images/s")
        panel.set_ylim(bottom=0)
    legend_below(figure, [row[0] for row in rows], columns=4)
    return figure, data


def _evenly(points: pd.DataFrame) -> pd.DataFrame:
    """A few schedules of each strategy, from the mildest to the strongest."""
    chosen = []
    for (_, strategy), group in points.groupby(["backbone", "strategy"], sort=False):
        schedules = group.sort_values(["gmac_ratio", "schedule"])["schedule"].unique()
        wanted = min(SHOWN_SCHEDULES.get(str(strategy), 1), len(schedules))
        kept = schedules[np.linspace(0, len(schedules) - 1, wanted).round().astype(int)]
        chosen.append(group[group["schedule"].isin(kept)])
    return pd.concat(chosen).sort_index(kind="stable")


def speedup_gmac(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Realised speed-up against the GMAC ratio; on the diagonal all saved computation becomes speed.

    Returns:
        The figure, and its points: columns backbone, strategy, schedule, batch, gmac_ratio, speedup, speedup_low,
        speedup_high.
    """
    points = timed(main)
    columns = ["backbone", "strategy", "schedule", "batch", "gmac_ratio", "speedup", "speedup_low", "speedup_high"]
    data = points.loc[points["strategy"] != "dense", columns].dropna(subset="speedup").reset_index(drop=True)
    series = (data["strategy"] + ", batch " + data["batch"].astype(str)).rename("series")
    colours, shapes = palette(series), markers(series)
    backbones = main["backbone"].unique()
    figure, rows = panels(backbones, width=7)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        for name, group in shown.groupby(series, sort=False):
            sides = interval(group, "speedup", "speedup_low", "speedup_high")
            panel.errorbar(
                group["gmac_ratio"],
                group["speedup"],
                sides,
                fmt=shapes[str(name)],
                color=colours[str(name)],
                markersize=6.5,
                markerfacecolor="none",
                markeredgewidth=1.4,
                elinewidth=1,
                label=str(name),
            )
        end = max(1.5, shown["gmac_ratio"].max(), shown["speedup"].max()) if len(shown) else 1.5
        panel.plot([1, end], [1, end], color="0.35", linestyle=LINES[1], linewidth=1, label="all savings realised")
        panel.axhline(1, color="0.35", linestyle=LINES[2], linewidth=1)
        panel.set(xlabel="GMAC ratio (dense / schedule)", ylabel="speed-up over dense")
    legend_below(figure, [row[0] for row in rows], columns=2)
    return figure, data
