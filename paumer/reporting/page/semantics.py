"""Sentences above the figures of semantics, made from the numbers that they show."""

from collections.abc import Callable

import pandas as pd

from paumer.reporting.figures.points import SHOWN, middle_fraction
from paumer.reporting.frames import CHANCE
from paumer.reporting.sheets import number

# Sentences name no class that has a smaller share of the patches.
RARE = 0.01


def semantic_findings(drawn: pd.DataFrame, figure: str) -> list[str]:
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


def _calibration(rows: pd.DataFrame) -> str:
    errors = rows.groupby("block")["ece"].mean()
    heads = pd.Series({"min": errors[errors.index > 0].min(), "max": errors[errors.index > 0].max()})
    return (
        f"the expected calibration error is {_range(heads)} over the heads, and {number(errors[0], 2)} of the final "
        "prediction"
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
    "semantics_calibration": _calibration,
}
