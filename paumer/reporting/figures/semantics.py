"""What auxiliary heads are certain of: plots of what stage `semantics` measured, and a sentence for each of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paumer.reporting.figures.drawing import draw_series, legend_below, panels, sized
from paumer.reporting.figures.styles import DASHES, Style, series_styles
from paumer.reporting.frames import CHANCE, read_table, refuse_duplicates, refuse_mixed_data
from paumer.reporting.sheets import number
from paumer.reporting.tables.main import over_seeds

# The criterion that is shown where there is room for one.
SHOWN = "entropy"
# Sentences name no class that has a smaller share of the patches.
RARE = 0.01
AT = ["backbone", "block", "criterion"]
# Keys and values of each table.
TABLES = {
    "composition": (["fraction", "class"], ["share", "share_of_paused", "share_paused"]),
    "groups": (["fraction", "group"], ["uniform", "distance"]),
    "boundary": (["bin"], ["score", "error", "final_error"]),
    "correlation": (["target"], ["spearman", "auroc"]),
}


def read_semantics(folders: Sequence[Path], name: str) -> pd.DataFrame:
    """One table of all runs, mean and spread over their seeds.

    Args:
        folders: what `paumer semantics` wrote, once per run.
        name: of the table, a key of `TABLES`.

    Returns:
        Columns backbone, block, criterion, the table's keys, seeds, and each of its values with `_spread` beside it.

    Raises:
        PaumerError: a file is unusable, two hold the same run, or two rest on different data.
    """
    refuse_mixed_data([folder / "composition.csv" for folder in folders])  # which has the record of all four
    keys, values = TABLES[name]
    columns = [*AT, "seed", *keys, *values]
    runs = [read_table(folder / f"{name}.csv", columns) for folder in folders]
    table = pd.concat(runs, ignore_index=True) if runs else pd.DataFrame(columns=columns)
    refuse_duplicates(table, [*AT, *keys, "seed"], f"semantics, {name}")
    return over_seeds(table, values, [*AT, *keys])


def middle_fraction(table: pd.DataFrame) -> float:
    """The fraction shown where there is room for one: the middle one, or the smaller of two."""
    fractions = sorted(table["fraction"].dropna().unique())
    return fractions[(len(fractions) - 1) // 2]


def findings(drawn: pd.DataFrame, figure: str) -> list[str]:
    """What a figure shows, one sentence for each backbone.

    Args:
        drawn: its CSV file.
        figure: its name, a key of `SENTENCES`.
    """
    return [f"{name}: {SENTENCES[figure](rows)}." for name, rows in drawn.groupby("backbone", sort=False)]


def _composition(rows: pd.DataFrame) -> str:
    means = rows.groupby("class", sort=False)[["share", "share_paused"]].mean()
    common = means.loc[means["share"] >= min(RARE, means["share"].max()), "share_paused"].sort_values()
    if len(common) < 2:
        return f"nearly all patches are {common.index[0]}, so there is nothing to choose between"
    most, least = common.index[-1], common.index[0]
    return (
        f"where {rows['fraction'].iloc[0]:g} of the patches pause, {number(common[most], 2)} of those that show mostly "
        f"{most} do, and {number(common[least], 2)} of those that show mostly {least}; no other class with {RARE:.0%} "
        "of the patches or more lies beyond these two (means over the blocks)"
    )


def _uniform(rows: pd.DataFrame) -> str:
    fraction = middle_fraction(rows)
    means = rows[rows["fraction"] == fraction].groupby(["criterion", "group"])["uniform"].mean()
    paused, chance = means[SHOWN, "paused"], means[CHANCE, "paused"]
    return (
        f"where {fraction:g} of the patches pause, {number(paused, 2)} of these have a label of one class, "
        f"{_compared(paused, chance)} among random ones ({number(chance, 2)}); among those that run on it is "
        f"{number(means[SHOWN, 'running'], 2)} (means over the blocks)"
    )


def _compared(value: float, reference: float) -> str:
    """In words, as far as two decimals tell."""
    difference = round(value, 2) - round(reference, 2)
    return "as many as" if difference == 0 else "more than" if difference > 0 else "fewer than"


def _boundary(rows: pd.DataFrame) -> str:
    by_bin = rows[rows["bin"] != ""].groupby("bin", sort=False)["score"].mean()
    if by_bin.empty:
        return "no image has a boundary between classes"
    fraction = middle_fraction(rows)
    means = rows[rows["fraction"] == fraction].groupby("group")["distance"].mean()
    return (
        f"mean {SHOWN} is {number(by_bin.iloc[0], 2)} at {by_bin.index[0]} patches from a boundary and "
        f"{number(by_bin.iloc[-1], 2)} at {by_bin.index[-1]}; where {fraction:g} of the patches pause, these lie "
        f"{number(means['paused'], 2)} patches from the nearest boundary, and those that run on "
        f"{number(means['running'], 2)} (means over the blocks)"
    )


def _correlation(rows: pd.DataFrame) -> str:
    shown = rows[rows["criterion"] == SHOWN].groupby("target", sort=False)[["spearman", "auroc"]].agg(["min", "max"])
    parts = [f"{_range(shown.loc[target, 'spearman'])} with the {target}" for target in shown.index]
    return (
        f"over the blocks, the rank correlation of {SHOWN} is {', '.join(parts)}; it tells patches in which the head "
        f"is somewhere wrong from others with an AUROC of {_range(shown.iloc[0]['auroc'])}"
    )


def _range(ends: pd.Series) -> str:
    """`0.61 to 0.72`."""
    low, high = (number(ends[name], 2) or "undefined" for name in ("min", "max"))
    return low if low == high else f"{low} to {high}"


SENTENCES: dict[str, Callable[[pd.DataFrame], str]] = {
    "semantics_composition": _composition,
    "semantics_uniform": _uniform,
    "semantics_boundary": _boundary,
    "semantics_correlation": _correlation,
}

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
        bars = {"color": GREY, "linestyle": "none", "marker": "|", "label": "share of all patches"}
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
            if len(shown):
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
