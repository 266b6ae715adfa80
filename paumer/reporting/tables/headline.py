"""The headline table: what should I use? The best operating point of every family of methods at two speed-ups."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from paumer.measurement.budget import Budget, best
from paumer.reporting.frames import is_dense
from paumer.reporting.sheets import Sheet, number, with_interval, with_seeds
from paumer.reporting.tables.main import FEW_SEEDS, LARGEST_BATCH, NOT_TIMED, SPREAD
from paumer.reporting.tables.methods import CLAIM, PAUMER, family_points, short

SPEEDUPS = (CLAIM.speedup, 2.0)
HEADINGS = [
    *("backbone", "method"),
    *(f"{what} at >= {asked:g}x [95%]" for asked in SPEEDUPS for what in ("drop (points)", "speed-up")),
    "schedule",
]
NOT_REACHED, NOT_STATED = "not reached", "not stated"
WHOLE = (
    "Each method is shown by the best of its recipes, criteria and schedules, which the table of methods has one by "
    "one. The controls, choice by chance and by the ground truth, are no methods."
)

CHOSEN = "Chosen on the split that is reported, which flatters those with many operating points to choose from:"


def best_points(points: pd.DataFrame, speedup: float) -> pd.DataFrame:
    """Of each backbone and family the smallest drop among the operating points that are at least so fast.

    Args:
        points: operating points with their `family`, see `family_points`.
        speedup: over dense.

    Returns:
        Rows of `points`, from the smallest drop to the largest.
    """
    budget, families = Budget(speedup=speedup, tolerance=0), points.groupby(["backbone", "family"])
    chosen = [point.Index for _, family in families if (point := best(family.itertuples(), budget)) is not None]
    return points.loc[chosen].sort_values(["drop", "speedup", "schedule"], ascending=[True, False, True])


def readable_headline(main: pd.DataFrame, claims: pd.DataFrame, warnings: Sequence[str] = ()) -> Sheet:
    """Dense, each family from the smallest drop at the claimed speed-up on, and the published claims.

    Args:
        main: the main table.
        claims: the published claims, see `read_claims`.
        warnings: those on the timings; the notes count them.
    """
    points = family_points(main)
    tables = [best_points(points, asked) for asked in SPEEDUPS]
    rows = []
    for backbone, dense in main[is_dense(main)].set_index("backbone").iterrows():
        rows.append([str(backbone), f"dense network (mIoU {number(dense['miou'], 2)})", "0, the reference", "1"])
        own = points[points["backbone"] == backbone]
        chosen = {
            str(name): [_first(table, str(backbone), str(name)) for table in tables] for name in own["family"].unique()
        }
        fastest = own.groupby("family")["speedup"].max().to_dict()
        for name in sorted(chosen, key=lambda name: (_drops(chosen[name]), -_known(fastest[name], 0.0), name)):
            rows.append([str(backbone), name, *_cells(chosen[name], fastest[name])])
    rows += [
        ["another", f"claim of the abstract, {row['dataset']}", number(row["drop"], 2), number(row["speedup"], 2)]
        for row in claims.to_dict("records")
    ]
    filled = [[*row, *[""] * (len(HEADINGS) - len(row))] for row in rows]
    noise = [f"{counted(warnings)}; main.md has them."] if warnings else []
    return Sheet(HEADINGS, filled, [*headline_notes(main), *noise])


def headline_notes(main: pd.DataFrame) -> list[str]:
    """What explains the headline table."""
    return [SPREAD, LARGEST_BATCH, WHOLE, *_tried(main), *([FEW_SEEDS] if (main["seeds"] < 3).any() else [])]


def _tried(main: pd.DataFrame) -> list[str]:
    """From how many operating points each family was chosen."""
    counts = family_points(main).groupby("family").size().sort_values(ascending=False, kind="stable")
    chosen = ", ".join(f"{name} {count}" for name, count in counts.items())
    return [f"{CHOSEN} {chosen}."] if chosen else []


def counted(warnings: Sequence[str]) -> str:
    """`1 warning about the noise of timings`."""
    return f"{len(warnings)} warning{'' if len(warnings) == 1 else 's'} about the noise of timings"


def _first(table: pd.DataFrame, backbone: str, name: str) -> pd.Series | None:
    """The row of a family, if it has one."""
    found = table[(table["backbone"] == backbone) & (table["family"] == name)]
    return None if found.empty else found.iloc[0]


def _drops(chosen: Sequence[pd.Series | None]) -> list[float]:
    """What families are sorted by; those that are not fast enough come last."""
    return [float("inf") if row is None else row["drop"] for row in chosen]


def _cells(chosen: Sequence[pd.Series | None], fastest: float) -> list[str]:
    """Drop and speed-up at each of `SPEEDUPS`, and the operating points that give them."""
    cells = []
    for row in chosen:
        if row is None:
            cells += [NOT_TIMED, ""] if pd.isna(fastest) else [NOT_REACHED, f"at most {number(fastest, 2)}"]
        else:
            speedup = with_interval(row["speedup"], row["speedup_low"], row["speedup_high"])
            cells += [with_seeds(row["drop"], row["drop_spread"], row["seeds"]), speedup]
    names = [f"{row['method']} {row['schedule']}" for row in chosen if row is not None]
    others = [
        f"at >= {asked:g}x: {name}" for asked, name in zip(SPEEDUPS[1:], names[1:], strict=False) if name != names[0]
    ]
    return [*cells, "; ".join([*names[:1], *others])]


def _known(value: float, otherwise: float) -> float:
    return otherwise if pd.isna(value) else value


NAME = short(PAUMER)


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
                *_of_backbone(points[points["backbone"] == backbone], whole=len(backbones) == 1),
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


def _of_backbone(points: pd.DataFrame, whole: bool) -> list[str]:
    if points["speedup"].isna().all():
        return ["No method was timed beside the dense network."]
    asked = SPEEDUPS if whole else SPEEDUPS[:1]
    first, *others = [_at(points, speedup) for speedup in asked]
    return [first, _claim(points), *others]


def _at(points: pd.DataFrame, speedup: float) -> str:
    """PAUMER at a speed-up, and the best rival there."""
    chosen = best_points(points, speedup)
    ours, rivals = chosen[chosen["family"] == PAUMER], chosen[chosen["rival"]]
    where = f"At {speedup:g} times the images/s of dense, "
    if not (points["family"] == PAUMER).any():
        return where + (_rival(rivals.iloc[0], "the best method") if len(rivals) else "no method is that fast") + "."
    said = _loses(ours.iloc[0]) if len(ours) else _too_slow(points)
    if rivals.empty:
        return f"{where}{NAME} {said}; no rival is that fast."
    rival = rivals.iloc[0]
    less = len(ours) > 0 and rival["drop"] < ours.iloc[0]["drop"]
    return f"{where}{NAME} {said}; {_rival(rival, 'the best rival', ' less:' if less else '')}."


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
        f"no schedule of {NAME} stays within that drop"
        if within is None
        else f"within that drop {NAME} reaches {number(within.speedup, 2)}x ({within.schedule})"
    )
    return f"The target, {asked}, is missed{missed}: {reached}."


def _loses(row: pd.Series) -> str:
    """`loses 1.33 points of mIoU (schedule 3:0.5, 1.60x)`."""
    return f"{_verb(row)} points of mIoU (schedule {row['schedule']}, {number(row['speedup'], 2)}x)"


def _rival(row: pd.Series, called: str, compared: str = "") -> str:
    """`the best rival, merging, loses 1.85 (1.54x)`."""
    return f"{called}, {row['family']}, {_verb(row, compared)} ({number(row['speedup'], 2)}x)"


def _verb(row: pd.Series, compared: str = "") -> str:
    """`loses 1.33`, or `gains 0.08 [-0.15, 0.30]` where there is more mIoU than that of dense."""
    gains = row["drop"] < 0
    size = with_seeds(abs(row["drop"]), row["drop_spread"], row["seeds"])
    return f"gains {size}" if gains else f"loses{compared} {size}"


def _too_slow(points: pd.DataFrame) -> str:
    fastest = points.loc[points["family"] == PAUMER, "speedup"].max()
    return "was not timed" if pd.isna(fastest) else f"is not that fast (at most {number(fastest, 2)}x)"
