"""The headline table: what should I use? The best operating point of every family of methods at two speed-ups."""

from collections.abc import Sequence

import pandas as pd

from paumer.reporting.frames import is_dense
from paumer.reporting.sheets import Sheet, number, with_interval, with_seeds
from paumer.reporting.tables.families import family_points
from paumer.reporting.tables.main import FEW_SEEDS, LARGEST_BATCH, NOT_TIMED, SPREAD
from paumer.reporting.tables.selection import CLAIM, MOST_ACCURATE

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
    fast = points[points["speedup"] >= speedup].sort_values(MOST_ACCURATE, ascending=[True, False, True])
    return fast.drop_duplicates(["backbone", "family"])


def readable_headline(main: pd.DataFrame, claims: pd.DataFrame, warnings: Sequence[str] = ()) -> Sheet:
    """Dense, each family from the smallest drop at the claimed speed-up on, and the published claims.

    Args:
        main: the main table.
        claims: the published claims, see `read_claims`.
        warnings: those on the timings; the notes count them.
    """
    points = family_points(main)
    best = [best_points(points, asked) for asked in SPEEDUPS]
    rows = []
    for backbone, dense in main[is_dense(main)].set_index("backbone").iterrows():
        rows.append([str(backbone), f"dense network (mIoU {number(dense['miou'], 2)})", "0, the reference", "1"])
        own = points[points["backbone"] == backbone]
        chosen = {
            str(name): [_first(table, str(backbone), str(name)) for table in best] for name in own["family"].unique()
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


def _first(best: pd.DataFrame, backbone: str, name: str) -> pd.Series | None:
    """The row of a family, if it has one."""
    found = best[(best["backbone"] == backbone) & (best["family"] == name)]
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
