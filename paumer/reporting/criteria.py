"""Does a criterion choose better than chance, and how far is it from the best choice there is?"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.registry import CONTROLS
from paumer.reporting.aggregate import read_accuracy
from paumer.reporting.formatting import DECIMALS
from paumer.reporting.order import BEST, CHANCE
from paumer.reporting.points import POINT, depends_on_image

SAME = ["backbone", "recipe", "strategy", "schedule"]
COLUMNS = [*SAME, "criterion", "seeds", CHANCE, "miou", BEST, "between", "seeds_between"]


def criteria_table(accuracy: Sequence[Path], main: pd.DataFrame) -> pd.DataFrame:
    """Each informed criterion between the random one and the one that knows the ground truth, at the same schedule.

    Returns:
        Columns backbone, recipe, strategy, schedule, criterion, seeds, random, miou (of the criterion), oracle (means
        over seeds, NaN where not run), between (`yes`, `no: below random`, `no: above oracle`), seeds_between (in how
        many seeds it lies between). The last two are empty where one bound is missing, or where cost depends on the
        image: there the same schedule costs each criterion something else. In the order of `main`.

    Raises:
        PaumerError: an accuracy file is unusable.
    """
    scores = read_accuracy(accuracy)
    paired = scores[~scores["criterion"].isin(["", *CONTROLS])]
    for name in CONTROLS:
        control = scores.loc[scores["criterion"] == name, [*SAME, "seed", "miou"]].rename(columns={"miou": name})
        paired = paired.merge(control, on=[*SAME, "seed"], how="left")
    paired = paired[paired[list(CONTROLS)].notna().any(axis=1)]
    paired = paired.assign(inside=paired["miou"].between(paired[CHANCE], paired[BEST]))
    means = {name: (name, "mean") for name in (CHANCE, "miou", BEST)}
    grouped = paired.groupby(POINT).agg(seeds=("seed", "nunique"), **means, seeds_between=("inside", "sum"))
    table = main.assign(fixed=~depends_on_image(main))[[*POINT, "fixed"]].merge(grouped.reset_index(), on=POINT)
    table["between"] = [_verdict(row) for row in table.to_dict("records")]
    table["seeds_between"] = table["seeds_between"].astype("Int64").mask(table["between"] == "")
    return table[COLUMNS].round(DECIMALS)


def _verdict(row: dict) -> str:
    """Whether the criterion lies between its bounds; empty where that cannot be said."""
    if not row["fixed"] or pd.isna(row[CHANCE]) or pd.isna(row[BEST]):
        return ""
    if row["miou"] < row[CHANCE]:
        return f"no: below {CHANCE}"
    return f"no: above {BEST}" if row["miou"] > row[BEST] else "yes"
