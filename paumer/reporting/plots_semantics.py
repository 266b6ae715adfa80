"""What auxiliary heads are certain of: classes, uniform patches, the distance to boundaries, errors."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paumer.reporting.order import CHANCE
from paumer.reporting.semantics import SHOWN, middle_fraction, read_semantics
from paumer.reporting.style import LINES, PALE, legend_below, markers, palette, panels, sized

GREY = "0.35"
PAUSED, RUNNING = LINES[:2]


def composition(folders: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """How much of each class pauses by entropy, and what it makes of all that pauses, at the middle fraction.

    Args:
        folders: what `paumer semantics` wrote, once per run.

    Returns:
        The figure, and its points: columns backbone, block, criterion, fraction, class, seeds, share, share_of_paused
        and share_paused, each with its spread.
    """
    table = _shown(read_semantics(folders, "composition"))
    data = table[table["fraction"] == middle_fraction(table)].reset_index(drop=True)
    backbones, classes = data["backbone"].unique(), data.groupby("backbone")["class"].nunique().max()
    figure, rows = panels(backbones, columns=2, width=5.2, height=1 + 0.27 * classes)
    for backbone, (left, right) in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        order = list(shown.groupby("class")["share_paused"].mean().sort_values().index)
        for look, points in _by_block(shown):
            places = [order.index(name) for name in points["class"]]
            for panel, value in ((left, "share_paused"), (right, "share_of_paused")):
                spread = points[f"{value}_spread"].fillna(0)
                panel.errorbar(points[value], places, xerr=spread, **look | {"linestyle": "none"})
        share = shown.groupby("class")["share"].mean()[order]
        left.axvline(shown["fraction"].iloc[0], color=GREY, linestyle=LINES[2], label="random pausing")
        bars: dict[str, Any] = {"color": GREY, "linestyle": "none", "marker": "|", "markersize": sized(12)}
        right.plot(share, range(len(order)), **bars, label="share of all patches")
        left.set(xlabel="share of the class that pauses", xlim=(-0.03, 1.03))
        right.set(xlabel="share of the class among what pauses")
        for panel in (left, right):
            place = panel.get_subplotspec()
            named = place is not None and place.is_first_col()
            panel.set_yticks(range(len(order)), order if named else [""] * len(order))
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
        _paused_and_running(panel, _shown(shown), "uniform")
        chance = shown[(shown["criterion"] == CHANCE) & (shown["group"] == "paused")]
        means = chance.groupby("fraction")["uniform"].mean()
        panel.plot(means.index, means, color=GREY, linestyle=LINES[2], marker="x", label="random, paused")
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
    bins, distances = (_shown(read_semantics(folders, name)) for name in ("boundary", "groups"))
    data = pd.concat([bins, distances.drop(columns=["uniform", "uniform_spread"])], ignore_index=True)
    backbones = distances["backbone"].unique()
    figure, rows = panels(backbones, columns=3, width=4.2, height=3.6)
    for backbone, (left, middle, right) in zip(backbones, rows, strict=True):
        shown = bins[bins["backbone"] == backbone]
        for panel, value in ((left, "score"), (middle, "error")):
            for look, points in _by_block(shown):
                panel.errorbar(points["bin"], points[value], points[f"{value}_spread"].fillna(0), **look)
            panel.tick_params(axis="x", labelrotation=40)
            panel.set_xlabel("distance to the nearest boundary (patches)")
        final = shown.groupby("bin", sort=False)["final_error"].mean()
        middle.plot(final.index, final, color=GREY, linestyle=LINES[2], marker="x", label="final prediction")
        _paused_and_running(right, distances[distances["backbone"] == backbone], "distance")
        left.set(ylabel=f"mean {SHOWN}", ylim=(0, None))
        middle.set(ylabel="mean error (share of pixels)", ylim=(0, None))
        right.set(xlabel="share of the patches that pause", ylabel="mean distance (patches)", ylim=(0, None))
    legend_below(figure, [panel for row in rows for panel in row], columns=4)
    return figure, data


def correlation(folders: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """What criteria tell of the head's error, the final error, and the gain of running on, block by block.

    Args:
        folders: what `paumer semantics` wrote, once per run.

    Returns:
        The figure, and its points: columns backbone, block, criterion, target, seeds, spearman and auroc, each with its
        spread.
    """
    table = read_semantics(folders, "correlation")
    data = table[table["criterion"] != CHANCE].reset_index(drop=True)
    criteria, targets = list(data["criterion"].unique()), data["target"].unique()
    colours, shapes = palette(targets), markers(targets)
    backbones = data["backbone"].unique()
    figure, rows = panels(backbones, columns=2, width=5.2, height=3.6)
    for backbone, row in zip(backbones, rows, strict=True):
        shown = data[data["backbone"] == backbone]
        for panel, value, chance in zip(row, ("spearman", "auroc"), (0, 0.5), strict=True):
            for (criterion, target), line in shown.groupby(["criterion", "target"], sort=False):
                panel.errorbar(
                    [str(block) for block in line["block"]],
                    line[value],
                    line[f"{value}_spread"].fillna(0),
                    color=colours[str(target)],
                    marker=shapes[str(target)],
                    linestyle=LINES[criteria.index(str(criterion))],
                    alpha=1 if criterion == SHOWN else PALE,
                    capsize=sized(2),
                    label=f"{criterion}, {target}",
                )
            panel.axhline(chance, color=GREY, linewidth=sized(1), label="chance")
            panel.set_xlabel("head after block")
        row[0].set_ylabel("rank correlation (Spearman)")
        row[1].set_ylabel("AUROC of target above 0")
    legend_below(figure, [panel for row in rows for panel in row], columns=3)
    return figure, data


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["criterion"] == SHOWN]


def _by_block(table: pd.DataFrame) -> Iterable[tuple[dict[str, Any], pd.DataFrame]]:
    """Points of each block, and how they look."""
    names = {block: f"block {block}" for block in sorted(table["block"].unique())}
    colours, shapes = palette(names.values()), markers(names.values())
    for block, name in names.items():
        look = {
            "color": colours[name],
            "marker": shapes[name],
            "capsize": sized(2),
            "linewidth": sized(1.2),
            "label": name,
        }
        yield look, table[table["block"] == block]


def _paused_and_running(panel: Axes, table: pd.DataFrame, value: str) -> None:
    """A value against the paused fraction, a pair of lines for each block."""
    panel.set_xticks(sorted(table["fraction"].unique()))
    for look, points in _by_block(table):
        for group, line in (("paused", PAUSED), ("running", RUNNING)):
            chosen = points[points["group"] == group]
            label = f"{look['label']}, {group}"
            spread = chosen[f"{value}_spread"].fillna(0)
            panel.errorbar(chosen["fraction"], chosen[value], spread, **look | {"linestyle": line, "label": label})
