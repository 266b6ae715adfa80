"""Where speed comes from: batch size, and how much of the saved computation is realised."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from paumer.reporting.claims import CLAIM
from paumer.reporting.looks import SIZE, strategy_colours
from paumer.reporting.order import in_order, ranks, strategy_key
from paumer.reporting.points import depends_on_image, per_batch
from paumer.reporting.style import LINES, interval, legend_below, markers, nothing_here, panels

# Schedules drawn of a strategy, from the mildest to the strongest; of every other the one nearest the claimed speed-up.
SHOWN_SCHEDULES = {"pause": 3, "early-exit": 2}
TICKS = [0.5, 0.7, 0.85, 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20]
VARIANT = ["backbone", "recipe", "strategy", "criterion", "schedule"]


def timed(main: pd.DataFrame) -> pd.DataFrame:
    """One row per batch and timed variant; recipe and criterion are empty where speed does not depend on them."""
    points = per_batch(main).dropna(subset="images_per_s")
    shared = ~depends_on_image(points)
    points[["recipe", "criterion"]] = points[["recipe", "criterion"]].mask(shared, "")
    return points.drop_duplicates([*VARIANT, "batch"])


def throughput_batch(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """images/s against batch size, for dense and a few schedules of each strategy.

    Returns:
        The figure, and its points: columns backbone, recipe, strategy, criterion, schedule, batch, images_per_s,
        images_per_s_low, images_per_s_high.
    """
    points = _few(timed(main))
    for side in ("low", "high"):
        points[f"images_per_s_{side}"] = points["images_per_s"] * points[f"speedup_{side}"] / points["speedup"]
    values = ["images_per_s", "images_per_s_low", "images_per_s_high"]
    data = points[[*VARIANT, "batch", *values]].reset_index(drop=True)
    names = (data["strategy"] + " " + data["schedule"]).where(data["strategy"] != "dense", "dense")
    shapes, colours = markers(names), strategy_colours(main["strategy"])
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, width=7, height=3.8)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        for name, line in shown.groupby(names, sort=False):
            panel.errorbar(
                line["batch"],
                line["images_per_s"],
                interval(line, *values),
                marker=shapes[str(name)],
                color=colours[line["strategy"].iloc[0]],
                capsize=2,
                linewidth=1.2,
                linestyle=LINES[list(shapes).index(str(name)) % len(LINES)],
                label=str(name),
            )
        _batch_axis(panel, sorted(shown["batch"].unique()))
    legend_below(figure, [row[0] for row in rows], columns=3)
    return figure, data


def _batch_axis(panel: Axes, batches: list[int]) -> None:
    panel.set_xscale("log", base=2)
    panel.xaxis.set_major_locator(FixedLocator(batches))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set(xlabel="batch size (images)", ylabel="images/s")
    panel.set_ylim(bottom=0)


def _few(points: pd.DataFrame) -> pd.DataFrame:
    """The points of the variants that `throughput_batch` shows, by strategy and cost."""
    points = points.assign(rank=points["strategy"].map(ranks(points["strategy"], strategy_key)))
    points = points.sort_values(["rank", "gmac_ratio", "schedule", "batch"])
    chosen = []
    for (_, strategy), group in points.drop_duplicates(VARIANT).groupby(["backbone", "strategy"]):
        nearest = [int((group["gmac_ratio"] - CLAIM.speedup).abs().argmin())]
        even = np.linspace(0, len(group) - 1, SHOWN_SCHEDULES.get(str(strategy), 1)).round().astype(int)
        chosen.append(group.iloc[np.unique(even) if strategy in SHOWN_SCHEDULES else nearest])
    return points.merge(pd.concat(chosen)[VARIANT])


def speedup_gmac(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Realised speed-up against the GMAC ratio at the smallest and the largest batch.

    On the diagonal all saved computation becomes speed.

    Returns:
        The figure, and its points: columns backbone, recipe, strategy, criterion, schedule, batch, gmac_ratio, speedup,
        speedup_low, speedup_high.
    """
    points = timed(main)
    points = points[points["batch"].isin([points["batch"].min(), points["batch"].max()])]
    values = ["speedup", "speedup_low", "speedup_high"]
    data = points.loc[points["strategy"] != "dense", [*VARIANT, "batch", "gmac_ratio", *values]]
    data = data.dropna(subset="speedup").reset_index(drop=True)
    strategies = in_order(main["strategy"], strategy_key)
    shapes, colours = markers(strategies[1:]), strategy_colours(strategies)
    backbones, sizes = main["backbone"].unique(), sorted(points["batch"].unique())
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
                    markersize=SIZE,
                    markerfacecolor="none",
                    markeredgewidth=1.3,
                    elinewidth=1,
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
    panel.plot([1, end], [1, end], color="0.35", linestyle=LINES[1], linewidth=1, label="all savings realised")
    panel.axhline(1, color="0.35", linestyle=LINES[2], linewidth=1)
    ticks = [tick for tick in TICKS if tick <= 1.1 * end]
    for scale, axis in ((panel.set_xscale, panel.xaxis), (panel.set_yscale, panel.yaxis)):
        scale("log")
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())
