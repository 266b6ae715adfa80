"""What auxiliary heads are certain of: plots of what stage `semantics` measured, and a sentence for each of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paumer.reporting.figures.drawing import draw_series, legend_below, panels, sized
from paumer.reporting.figures.points import SHOWN, middle_fraction, read_semantics
from paumer.reporting.figures.styles import DASHES, Style, series_styles
from paumer.reporting.frames import CHANCE

GREY = "0.35"


def composition(folders: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """How much of each class pauses by entropy, and its share of all that pauses, at the middle fraction.

    Args:
        folders: what `paumer semantics` wrote, once per run.

    Returns:
        The figure, and its points: columns backbone, block, criterion, fraction, class, seeds, share, share_of_paused
        and share_paused, each with its spread.
    """
    table = _of_entropy(read_semantics(folders, "composition"))
    data = table[table["fraction"] == middle_fraction(table)].reset_index(drop=True)
    backbones, classes = data["backbone"].unique(), data.groupby("backbone")["class"].nunique().max()
    figure, rows = panels(backbones, columns=2, width=5.2, height=1 + 0.27 * classes)
    for backbone, (left, right) in zip(backbones, rows, strict=True):
        shown = _with_blocks(data[data["backbone"] == backbone])
        means = shown.groupby("class")[["share_paused", "share"]].mean().sort_values("share_paused", ascending=False)
        shown = shown.sort_values("class", key=lambda names: names.map(list(means.index).index), kind="stable")
        styles = _block_styles(shown)
        for panel, value in ((left, "share_paused"), (right, "share_of_paused")):
            draw_series(panel, shown, value, "class", "name", styles, orient="y")
            panel.set_ylabel("")
        left.axvline(shown["fraction"].iloc[0], color=GREY, linestyle=DASHES[2], label="random pausing")
        bars: dict[str, Any] = {"color": GREY, "linestyle": "none", "marker": "|", "label": "share of all patches"}
        right.plot(means["share"], means.index, **bars, markersize=sized(12))
        left.set(xlabel="share of the class that pauses", xlim=(-0.03, 1.03))
        right.set(xlabel="share of the class among what pauses")
        place = right.get_subplotspec()
        if place is not None and not place.is_first_col():
            right.tick_params(labelleft=False)
    legend_below(figure, [panel for row in rows for panel in row], columns=4)
    return figure, data


def uniform(folders: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """Share of patches with a label of one class, among those that pause and those that run on.

    Args:
        folders: what `paumer semantics` wrote, once per run.

    Returns:
        The figure, and its points: columns backbone, block, criterion (entropy, random), fraction, group, seeds,
        uniform, uniform_spread.
    """
    table = read_semantics(folders, "groups").drop(columns=["distance", "distance_spread"])
    data = table[table["criterion"].isin([SHOWN, CHANCE])].reset_index(drop=True)
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, width=7, height=3.8)
    for backbone, (panel,) in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        _paused_and_running(panel, _of_entropy(shown), "uniform")
        chance = shown[(shown["criterion"] == CHANCE) & (shown["group"] == "paused")]
        means = chance.groupby("fraction")["uniform"].mean()
        panel.plot(means.index, means, color=GREY, linestyle=DASHES[2], marker="x", label="random, paused")
        every = shown.loc[shown["group"] == "all", "uniform"].mean()
        panel.axhline(every, color=GREY, linewidth=sized(1), label="all patches")
        panel.set(xlabel="share of the patches that pause", ylabel="share with a label of one class")
    legend_below(figure, [row[0] for row in rows], columns=4)
    return figure, data


def boundary(folders: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """Entropy and error by the distance to the nearest boundary, and the distance of what pauses and what runs on.

    Args:
        folders: what `paumer semantics` wrote, once per run.

    Returns:
        The figure, and its points: columns backbone, block, criterion, seeds; with a bin also score, error and
        final_error, with a fraction and a group also distance, each with its spread.
    """
    bins, distances = (_of_entropy(read_semantics(folders, name)) for name in ("boundary", "groups"))
    data = pd.concat([bins, distances.drop(columns=["uniform", "uniform_spread"])], ignore_index=True)
    backbones = distances["backbone"].unique()
    figure, rows = panels(backbones, columns=3, width=4.2, height=3.6)
    for backbone, (left, middle, right) in zip(backbones, rows, strict=True):
        shown = _with_blocks(bins[bins["backbone"] == backbone])
        styles = _block_styles(shown)
        for panel, value, heading in (
            (left, "score", f"mean {SHOWN}"),
            (middle, "error", "mean error (share of pixels)"),
        ):
            draw_series(panel, shown, "bin", value, "name", styles, joined=True)
            panel.tick_params(axis="x", labelrotation=40)
            panel.set(xlabel="distance to the nearest boundary (patches)", ylabel=heading, ylim=(0, None))
        final = shown.groupby("bin", sort=False)["final_error"].mean()
        middle.plot(final.index, final, color=GREY, linestyle=DASHES[2], marker="x", label="final prediction")
        _paused_and_running(right, distances[distances["backbone"] == backbone], "distance")
        right.set(xlabel="share of the patches that pause", ylabel="mean distance (patches)", ylim=(0, None))
    legend_below(figure, [panel for row in rows for panel in row], columns=4)
    return figure, data


def correlation(folders: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """Association of criteria with the head's error, the final error, and the gain of running on, block by block.

    Args:
        folders: what `paumer semantics` wrote, once per run.

    Returns:
        The figure, and its points: columns backbone, block, criterion, target, seeds, spearman and auroc, each with its
        spread.
    """
    table = read_semantics(folders, "correlation")
    data = table[table["criterion"] != CHANCE].reset_index(drop=True)
    criteria, targets = list(data["criterion"].unique()), series_styles(data["target"])
    styles = {
        f"{criterion}, {target}": replace(style, dash=DASHES[criteria.index(criterion)])
        for criterion in criteria
        for target, style in targets.items()
    }
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, columns=2, width=5.2, height=3.6)
    for backbone, row in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone].sort_values("block", kind="stable")
        shown = shown.assign(name=shown["criterion"] + ", " + shown["target"], block=shown["block"].astype(str))
        values = {"spearman": ("rank correlation (Spearman)", 0), "auroc": ("AUROC of target above 0", 0.5)}
        for panel, (value, (heading, chance)) in zip(row, values.items(), strict=True):
            draw_series(
                panel,
                shown.assign(pale=shown["criterion"] != SHOWN),
                "block",
                value,
                "name",
                styles,
                joined=True,
                pale="pale",
            )
            panel.axhline(chance, color=GREY, linewidth=sized(1), label="chance")
            panel.set(xlabel="head after block", ylabel=heading)
    legend_below(figure, [panel for row in rows for panel in row], columns=3)
    return figure, data


def _of_entropy(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["criterion"] == SHOWN]


def _with_blocks(table: pd.DataFrame) -> pd.DataFrame:
    """Add `name`, the block as legends call it."""
    return table.assign(name="block " + table["block"].astype(int).astype(str))


def _block_styles(table: pd.DataFrame) -> dict[str, Style]:
    """A style for each `name` of a table, all with solid lines."""
    names = table.sort_values("block")["name"]
    return {name: replace(style, dash=DASHES[0]) for name, style in series_styles(names).items()}


def _paused_and_running(panel: Axes, table: pd.DataFrame, value: str) -> None:
    """A value against the paused fraction: for each block a line of what pauses, and a dashed one of what runs on."""
    shown = _with_blocks(table[table["group"].isin(["paused", "running"])])
    styles = {
        f"{name}, {group}": replace(style, dash=dash)
        for name, style in _block_styles(shown).items()
        for group, dash in zip(("paused", "running"), DASHES, strict=False)
    }
    shown = shown.assign(name=shown["name"] + ", " + shown["group"])
    draw_series(panel, shown, "fraction", value, "name", styles, joined=True)
    panel.set_xticks(sorted(table["fraction"].unique()))
