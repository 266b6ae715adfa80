"""The table of criteria: each informed one between choice by chance and by the ground truth, at the same schedule."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import BEST, CHANCE, POINT, operating_points, point_names
from paumer.reporting.sheets import DECIMALS, Columns, Row, Sheet, named, rounded, sheet_of
from paumer.reporting.tables.main import read_accuracy
from paumer.strategies.criteria import CONTROLS

PAIRED = ["backbone", "recipe", "strategy", "schedule"]  # what a criterion and its controls share
CRITERIA = [*PAIRED, "criterion", "seeds", CHANCE, "miou", BEST, "between", "seeds_between"]


def criteria_table(accuracy: Sequence[Path], main: pd.DataFrame) -> pd.DataFrame:
    """Each informed criterion between the random one and the one that knows the ground truth, at the same schedule.

    Returns:
        Columns backbone, recipe, strategy, schedule, criterion, seeds, random, miou (of the criterion), oracle (means
        over seeds, NaN where not run), between (`yes`, `no: below random`, `no: above oracle`), seeds_between (in how
        many seeds it is between). The last two are empty where one bound is missing, or where cost depends on the
        image: there the same schedule costs each criterion something else. In the order of `main`.

    Raises:
        PaumerError: an accuracy file is unusable.
    """
    scores = read_accuracy(accuracy)
    paired = scores[~scores["criterion"].isin(["", *CONTROLS])]
    for name in CONTROLS:
        control = scores.loc[scores["criterion"] == name, [*PAIRED, "seed", "miou"]].rename(columns={"miou": name})
        paired = paired.merge(control, on=[*PAIRED, "seed"], how="left")
    paired = paired[paired[list(CONTROLS)].notna().any(axis=1)]
    paired = paired.assign(inside=paired["miou"].between(paired[CHANCE], paired[BEST]))
    means = {name: (name, "mean") for name in (CHANCE, "miou", BEST)}
    grouped = paired.groupby(POINT).agg(seeds=("seed", "nunique"), **means, seeds_between=("inside", "sum"))
    table = operating_points(main)[[*POINT, "varies"]].merge(grouped.reset_index(), on=POINT)
    table["between"] = [_verdict(row) for row in table.to_dict("records")]
    table["seeds_between"] = table["seeds_between"].astype("Int64").mask(table["between"] == "")
    return table[CRITERIA].round(DECIMALS)


def _verdict(row: Row) -> str:
    """Whether the criterion is between its bounds; empty where they are missing or do not cost the same."""
    if row["varies"] or pd.isna(row[CHANCE]) or pd.isna(row[BEST]):
        return ""
    if row["miou"] < row[CHANCE]:
        return f"no: below {CHANCE}"
    return f"no: above {BEST}" if row["miou"] > row[BEST] else "yes"


def criteria_sheet(criteria: pd.DataFrame) -> Sheet:
    """Each informed criterion between chance and ground truth, and how many are between them."""
    columns: Columns = {
        **named(*PAIRED, "criterion", "seeds"),
        f"{CHANCE}: mIoU (points)": rounded(CHANCE, 2),
        "criterion: mIoU (points)": rounded("miou", 2),
        f"{BEST}: mIoU (points)": rounded(BEST, 2),
        f"between {CHANCE} and {BEST}": _between,
    }
    return sheet_of(criteria, columns, _verdicts(criteria))


def _between(row: Row) -> str:
    """The verdict, with the number of seeds that share it where there are several."""
    several = row["seeds"] > 1 and not pd.isna(row["seeds_between"])
    return row["between"] + (f" ({row['seeds_between']:.0f} of {row['seeds']} seeds between)" if several else "")


def _verdicts(criteria: pd.DataFrame) -> list[str]:
    judged = criteria[criteria["between"] != ""]
    if judged.empty:
        return [f"No criterion ran at the same cost beside both {CHANCE} and {BEST}, so none is judged."]
    outside = judged[judged["between"] != "yes"]
    names = point_names(outside) + " of " + outside["backbone"]
    exceptions = "; not " + ", ".join(names) if len(outside) else ""
    notes = [f"Between {CHANCE} and {BEST}: {len(judged) - len(outside)} of {len(judged)} rows{exceptions}."]
    if len(judged) < len(criteria):
        notes.append(
            "No verdict where one of the two did not run, or where the same schedule costs each something else."
        )
    return notes
