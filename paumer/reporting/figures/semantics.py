"""What auxiliary heads are certain of: plots of what stage `semantics` measured, and a sentence for each of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paumer.reporting.figures.drawing import draw, legend_below, panels, sized
from paumer.reporting.figures.plots import LINE, Axis, Plot
from paumer.reporting.figures.points import SHOWN, calibration_points, middle_fraction, read_semantics
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
    classes = data.groupby("backbone")["class"].nunique().max()
    values = (
        Axis("share_paused", "share of the class that pauses"),
        Axis("share_of_paused", "share of the class among what pauses"),
    )
    figure, parts = panels(_with_blocks(data), columns=2, width=5.2, height=1 + 0.27 * classes)
    for shown, (left, right) in parts:
        means = shown.groupby("class")[["share_paused", "share"]].mean().sort_values("share_paused", ascending=False)
        shown = shown.sort_values("class", key=lambda names: names.map(list(means.index).index), kind="stable")
        for panel, value in zip((left, right), values, strict=True):
            draw(panel, Plot(value, Axis("class", scale="names"), "name", _block_styles(shown), intervals="x"), shown)
        left.axvline(shown["fraction"].iloc[0], color=GREY, linestyle=DASHES[2], label="random pausing")
        bars: dict[str, Any] = {"color": GREY, "linestyle": "none", "marker": "|", "label": "share of all patches"}
        right.plot(means["share"], range(len(means)), **bars, markersize=sized(12))
        left.set_xlim(-0.03, 1.03)
        place = right.get_subplotspec()
        if place is not None and not place.is_first_col():
            right.tick_params(labelleft=False)
    legend_below(figure, columns=4)
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
    figure, parts = panels(data, width=7, height=3.8)
    for shown, (panel,) in parts:
        _paused_and_running(panel, _of_entropy(shown), Axis("uniform", "share with a label of one class"))
        chance = shown[(shown["criterion"] == CHANCE) & (shown["group"] == "paused")]
        means = chance.groupby("fraction")["uniform"].mean()
        panel.plot(means.index, means, color=GREY, linestyle=DASHES[2], marker="x", label="random, paused")
        every = shown.loc[shown["group"] == "all", "uniform"].mean()
        panel.axhline(every, color=GREY, linewidth=sized(1), label="all patches")
    legend_below(figure, columns=4)
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
    distance = Axis("bin", "distance to the nearest boundary (patches)", "names")
    values = (Axis("score", f"mean {SHOWN}"), Axis("error", "mean error (share of pixels)"))
    figure, parts = panels(data, columns=3, width=4.2, height=3.6)
    for rows, (left, middle, right) in parts:
        shown = _with_blocks(rows[rows["bin"].notna()])
        for panel, value in zip((left, middle), values, strict=True):
            draw(panel, Plot(distance, value, "name", _block_styles(shown), line=LINE), shown)
            panel.tick_params(axis="x", labelrotation=40)
            panel.set_ylim(bottom=0)
        final = shown.groupby("bin", sort=False)["final_error"].mean()
        middle.plot(range(len(final)), final, color=GREY, linestyle=DASHES[2], marker="x", label="final prediction")
        _paused_and_running(right, rows[rows["group"].notna()], Axis("distance", "mean distance (patches)"))
        right.set_ylim(bottom=0)
    legend_below(figure, columns=4)
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
    named = data.assign(
        name=data["criterion"] + ", " + data["target"],
        pale=data["criterion"] != SHOWN,
        block=data["block"].astype(str),
    ).loc[data.sort_values("block", kind="stable").index]
    values = (
        (Axis("spearman", "rank correlation (Spearman)"), 0),
        (Axis("auroc", "AUROC of target above 0"), 0.5),
    )
    figure, parts = panels(named, columns=2, width=5.2, height=3.6, every=data["backbone"].unique())
    for shown, row in parts:
        for panel, (value, chance) in zip(row, values, strict=True):
            block = Axis("block", "head after block", "names")
            draw(panel, Plot(block, value, "name", styles, line=LINE, pale="pale"), shown)
            panel.axhline(chance, color=GREY, linewidth=sized(1), label="chance")
    legend_below(figure, columns=3)
    return figure, data


def calibration(folders: Sequence[Path]) -> tuple[Figure, pd.DataFrame]:
    """Accuracy by confidence of every head and of the final prediction: the figure, see `calibration_points`."""
    data = calibration_points(folders)
    named = _with_blocks(data)
    named["name"] = named["name"].where(data["block"] > 0, "final prediction")
    styles = series_styles(named["name"])
    confidence, accuracy = Axis("confidence", "mean confidence"), Axis("accuracy", "share of the pixels that is right")
    figure, parts = panels(named, width=5.5, height=4.4)
    for shown, (panel,) in parts:
        draw(panel, Plot(confidence, accuracy, "name", styles, line=LINE), shown.dropna(subset="accuracy"))
        panel.plot([0, 1], [0, 1], color=GREY, linestyle=DASHES[1], linewidth=sized(1), label="perfect")
    legend_below(figure, columns=4)
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


def _paused_and_running(panel: Axes, table: pd.DataFrame, value: Axis) -> None:
    """A value against the paused fraction: for each block a line of what pauses, and a dashed one of what runs on."""
    shown = _with_blocks(table[table["group"].isin(["paused", "running"])])
    styles = {
        f"{name}, {group}": replace(style, dash=dash)
        for name, style in _block_styles(shown).items()
        for group, dash in zip(("paused", "running"), DASHES, strict=False)
    }
    shown = shown.assign(name=shown["name"] + ", " + shown["group"])
    fraction = Axis("fraction", "share of the patches that pause")
    draw(panel, Plot(fraction, value, "name", styles, line=LINE), shown)
    panel.set_xticks(sorted(table["fraction"].unique()))
