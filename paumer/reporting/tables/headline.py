"""The headline table: the best operating point of every family of methods at two speed-ups, and a summary in words."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from paumer.measurement.budget import Budget, best
from paumer.reporting.frames import POINT, is_dense, operating_points
from paumer.reporting.sheets import (
    LARGEST_BATCH,
    NOT_TIMED,
    Sheet,
    drop_cell,
    few_seeds,
    number,
    speedup_cell,
    spread_note,
)
from paumer.reporting.tables.methods import CLAIM, PAUMER, SHORT, Claim, family_points

SPEEDUPS = (CLAIM.speedup, 2.0)
HEADINGS = [
    *("backbone", "method"),
    *(f"{what} at >= {asked:g}x [95%]" for asked in SPEEDUPS for what in ("drop (points)", "speed-up")),
    "schedule",
]
NOT_REACHED = "not reached"
BEST_OF_ALL = (
    "Each method is shown by the best of its recipes, criteria and schedules, which the table of methods has one by "
    "one. The controls, choice by chance and by the ground truth, are no methods."
)
CHOSEN = "Chosen on the split that is reported, which flatters those with many operating points to choose from:"


CHOSEN_ELSEWHERE = "Chosen on a split of its own, and reported on another. Operating points to choose from:"


def best_points(points: pd.DataFrame, speedup: float) -> pd.DataFrame:
    """Of each backbone and family the smallest drop among the operating points that are at least this fast.

    Where there is a split to choose on, the drop there decides.

    Args:
        points: operating points with their `family`, see `family_points`.
        speedup: over dense.

    Returns:
        Rows of `points`, from the smallest drop to the largest.
    """
    budget, by = Budget(speedup=speedup, tolerance=0), points
    if "select_miou" in points:  # chosen on one split, reported on another
        by = points.assign(miou=points["select_miou"], drop=points["select_drop"])
    families = by.groupby(["backbone", "family"])
    chosen = [point.Index for _, family in families if (point := best(family.itertuples(), budget)) is not None]
    return points.loc[chosen].sort_values(["drop", "speedup", "schedule"], ascending=[True, False, True])


def headline_points(main: pd.DataFrame) -> pd.DataFrame:
    """The operating points in the headline table, and every recipe's network run dense; columns of `POINT`."""
    points = family_points(main)
    shown = [best_points(points, asked)[POINT] for asked in SPEEDUPS]
    chosen = pd.concat([main.loc[main["strategy"] == "dense", POINT], *shown]).drop_duplicates()
    return operating_points(main)[POINT].merge(chosen)


def headline_sheet(main: pd.DataFrame, claims: Sequence[Claim], warnings: Sequence[str] = ()) -> Sheet:
    """Dense, each family from the smallest drop at the claimed speed-up on, and the published claims.

    Args:
        main: the main table.
        claims: the published claims, see `read_claims`.
        warnings: those on the timings; the notes count them.
    """
    points = family_points(main)
    tables = [best_points(points, asked).set_index(["backbone", "family"]) for asked in SPEEDUPS]
    rows = []
    for dense in operating_points(main[is_dense(main)]).to_dict("records"):
        backbone = dense["backbone"]
        rows.append([backbone, f"dense network (mIoU {number(dense['miou'], 2)})", "0, the reference", "1"])
        families = []
        for name, speedups in points[points["backbone"] == backbone].groupby("family")["speedup"]:
            at = (backbone, name)
            chosen = [table.loc[at] if at in table.index else None for table in tables]
            drops = [math.inf if row is None else row["drop"] for row in chosen]
            fastest = speedups.max()
            order = (drops, 0.0 if pd.isna(fastest) else -fastest, name)
            families.append((order, [backbone, str(name), *_cells(chosen, fastest)]))
        rows += [cells for _, cells in sorted(families, key=lambda pair: pair[0])]
    rows += [
        ["another", f"claim of the abstract, {claim.dataset}", number(claim.drop, 2), number(claim.speedup, 2)]
        for claim in claims
    ]
    filled = [[*row, *[""] * (len(HEADINGS) - len(row))] for row in rows]
    noise = [f"{counted(warnings)}; main.md has them."] if warnings else []
    return Sheet(HEADINGS, filled, [*headline_notes(main), *noise])


def _cells(chosen: Sequence[pd.Series | None], fastest: float) -> list[str]:
    """Drop and speed-up at each of `SPEEDUPS`, and the operating points that give them."""
    cells, names = [], []
    for row in chosen:
        if row is None:
            cells += [NOT_TIMED, ""] if pd.isna(fastest) else [NOT_REACHED, f"at most {number(fastest, 2)}"]
        else:
            cells += [drop_cell(row), speedup_cell(row)]
            names.append(f"{row['method']} {row['schedule']}")
    others = [
        f"at >= {asked:g}x: {name}" for asked, name in zip(SPEEDUPS[1:], names[1:], strict=False) if name != names[0]
    ]
    return [*cells, "; ".join([*names[:1], *others])]


def headline_notes(main: pd.DataFrame) -> list[str]:
    """The notes on the headline table; one counts the operating points that each family was chosen from."""
    counts = family_points(main).groupby("family").size().sort_values(ascending=False, kind="stable")
    tried = ", ".join(f"{name} {count}" for name, count in counts.items())
    chosen = CHOSEN_ELSEWHERE if "select_miou" in main else CHOSEN
    return [spread_note(main), LARGEST_BATCH, BEST_OF_ALL, *([f"{chosen} {tried}."] if tried else []), *few_seeds(main)]


def counted(warnings: Sequence[str]) -> str:
    """`1 warning about the noise of timings`."""
    return f"{len(warnings)} warning{'' if len(warnings) == 1 else 's'} about the noise of timings"


def findings(main: pd.DataFrame, reasons: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Sentences for each backbone: PAUMER and its best rival at the claimed speed-up, and whether the claim is met.

    Where there is one backbone, one more: the same at the next speed-up that the headline table asks about.

    Args:
        main: the main table.
        reasons: by backbone, why PAUMER loses what it does.
    """
    points = family_points(main)
    backbones = main["backbone"].unique()
    return {
        str(backbone): [
            sentence
            for sentence in (
                *_of_backbone(points[points["backbone"] == backbone], alone=len(backbones) == 1),
                (reasons or {}).get(backbone, ""),
            )
            if sentence
        ]
        for backbone in backbones
    }


def paragraph(found: dict[str, list[str]]) -> str:
    """All sentences in one text, those of several backbones under their names."""
    return " ".join(
        (f"{backbone}: " if len(found) > 1 else "") + " ".join(sentences) for backbone, sentences in found.items()
    )


def _of_backbone(points: pd.DataFrame, alone: bool) -> list[str]:
    if points["speedup"].isna().all():
        return ["No method was timed beside the dense network."]
    asked = SPEEDUPS if alone else SPEEDUPS[:1]
    first, *others = [_at(points, speedup) for speedup in asked]
    return [first, _claim(points), *others]


def _at(points: pd.DataFrame, speedup: float) -> str:
    """PAUMER at a speed-up, and the best rival there."""
    chosen = best_points(points, speedup)
    ours, rivals = chosen[chosen["family"] == PAUMER], chosen[chosen["rival"]]
    where = f"At {speedup:g} times the images/s of dense, "
    own = points.loc[points["family"] == PAUMER, "speedup"]
    if own.empty:
        return where + (_rival(rivals.iloc[0], "the best method") if len(rivals) else "no method is that fast") + "."
    if len(ours):
        row = ours.iloc[0]
        result = f"{_verb(row)} points of mIoU (schedule {row['schedule']}, {number(row['speedup'], 2)}x)"
    else:
        most = own.max()
        result = "was not timed" if pd.isna(most) else f"is not that fast (at most {number(most, 2)}x)"
    if rivals.empty:
        return f"{where}{SHORT} {result}; no rival is that fast."
    rival = rivals.iloc[0]
    less = len(ours) > 0 and rival["drop"] < ours.iloc[0]["drop"]
    return f"{where}{SHORT} {result}; {_rival(rival, 'the best rival', ' less:' if less else '')}."


def _claim(points: pd.DataFrame) -> str:
    """Whether PAUMER meets the claim of its abstract, and by how much it misses it."""
    own = points[points["family"] == PAUMER]
    if own.empty:
        return ""
    asked = f"{CLAIM.drop:g} points at {CLAIM.speedup:g}x (claimed for {CLAIM.dataset}, with another network)"
    chosen = best_points(own, CLAIM.speedup)
    if len(chosen) and chosen["drop"].iloc[0] <= CLAIM.drop:
        return f"The target, {asked}, is met with {number(CLAIM.drop - chosen['drop'].iloc[0], 2)} points to spare."
    missed = f" by {number(chosen['drop'].iloc[0] - CLAIM.drop, 2)} points" if len(chosen) else ""
    within: Any = best(own.itertuples(), Budget(max_drop=CLAIM.drop))
    reached = (
        f"no schedule of {SHORT} stays within that drop"
        if within is None
        else f"within that drop {SHORT} reaches {number(within.speedup, 2)}x ({within.schedule})"
    )
    return f"The target, {asked}, is missed{missed}: {reached}."


def _rival(row: pd.Series, called: str, compared: str = "") -> str:
    """`the best rival, merging, loses 1.85 (1.54x)`."""
    return f"{called}, {row['family']}, {_verb(row, compared)} ({number(row['speedup'], 2)}x)"


def _verb(row: pd.Series, compared: str = "") -> str:
    """`loses 1.33`, or `gains 0.08 [-0.15, 0.30]` where there is more mIoU than that of dense."""
    gains = row["drop"] < 0
    size = drop_cell(_negated(row) if gains else row)
    return f"gains {size}" if gains else f"loses{compared} {size}"


def _negated(row: pd.Series) -> pd.Series:
    """A row with its drop as a gain."""
    gain = {"drop": -row["drop"]}
    if "drop_low" in row:
        gain |= {"drop_low": -row["drop_high"], "drop_high": -row["drop_low"]}
    return pd.Series({**row, **gain})
