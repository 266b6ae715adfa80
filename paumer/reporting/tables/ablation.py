"""What each part of the method is worth: recipe `paumer` beside its variants, at the same schedules."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import NETWORK, is_dense
from paumer.reporting.reading import read_table, refuse_mixed_data
from paumer.reporting.sheets import (
    DECIMALS,
    Columns,
    Row,
    Sheet,
    crossed,
    drop_cell,
    named,
    number,
    sheet_of,
    with_seeds,
)
from paumer.reporting.tables.main import ACCURACY, add_drop, over_seeds, read_accuracy
from paumer.reporting.writing import files_of
from paumer.strategies.criteria import CONTROLS
from paumer.strategies.registry import pauses_last
from paumer.system.errors import PaumerError
from paumer.system.files import write_text

UNCHANGED = "paumer"  # the row of the recipe itself
KEYS = [*NETWORK, "variant", "strategy", "criterion", "schedule"]
POINT_KEYS = [key for key in KEYS if key != "variant"]
CHANGE = ["change", "change_spread", "change_seeds"]
NOTES = [
    "Drop of mIoU in points from recipe dense, mean over seeds with its 95% interval (Student's t).",
    "In brackets, of a schedule: how many times fewer GMAC the recipe takes; ablation.csv has each variant's.",
    "In brackets, of a variant: what that adds to the recipe's drop with the same seeds, likewise.",
]
COLUMNS = [*KEYS, "seeds", "miou", "miou_spread", "drop", "drop_spread", *CHANGE, "gmac", "gmac_ratio"]


def write_ablation(accuracy: Path, variants: Sequence[Path], output: Path) -> None:
    """Write ablation.{csv,md,tex}.

    Args:
        accuracy: accuracy.csv of all recipes.
        variants: accuracy.csv of every run of an ablation.
        output: folder for the tables.

    Raises:
        PaumerError: a file is unusable, recipe dense is missing, or two files rest on different data.
    """
    refuse_mixed_data([accuracy, *variants])
    table = ablation_table(accuracy, variants)
    sheets = ablation_sheets(table)
    for name, text in files_of("ablation", table, sheets, sheets).items():
        write_text(output / name, text)


def ablation_table(accuracy: Path, variants: Sequence[Path]) -> pd.DataFrame:
    """One row per variant and schedule, the recipe itself first.

    Returns:
        Columns backbone, decoder, variant (`paumer`: the recipe itself), strategy (`dense`: nothing pauses), criterion,
        schedule, seeds, miou, miou_spread, drop (from recipe dense), drop_spread, change (of the drop against the
        recipe with the same seeds, mean), change_spread (its standard deviation; NaN for one seed), change_seeds (those
        that both have), gmac, gmac_ratio (dense / row).

    Raises:
        PaumerError: a file is unusable, or recipe dense is missing.
    """
    whole = read_accuracy([accuracy]).assign(variant=UNCHANGED)
    changed = [read_table(path, [*ACCURACY, "variant"]) for path in variants]
    rows = pd.concat([whole, *changed], ignore_index=True)
    rows = add_drop(rows, "miou", [*NETWORK, "seed"])
    dense = rows.loc[is_dense(rows), [*NETWORK, "seed", "gmac"]].rename(columns={"gmac": "gmac_dense"})
    kept = (rows["recipe"] == "paumer") & ((rows["strategy"] == "dense") | rows["strategy"].map(pauses_last))
    kept &= ~rows["criterion"].isin(CONTROLS)
    rows = rows[kept].merge(dense, on=[*NETWORK, "seed"])
    if rows.empty:
        raise PaumerError(f"{accuracy}: holds no run of recipe paumer; ablations are variants of it")
    rows = rows.assign(gmac_ratio=rows["gmac_dense"] / rows["gmac"])
    table = over_seeds(rows, ["miou", "drop", "gmac", "gmac_ratio"], KEYS)
    return table.merge(_changes(rows), on=KEYS, how="left")[COLUMNS].round(DECIMALS)


def _changes(rows: pd.DataFrame) -> pd.DataFrame:
    """How much more every variant drops than the recipe, over the seeds that both have: mean and spread."""
    own = rows.loc[rows["variant"] == UNCHANGED, [*POINT_KEYS, "seed", "drop"]].rename(columns={"drop": "own"})
    pairs = rows[rows["variant"] != UNCHANGED].merge(own, on=[*POINT_KEYS, "seed"])
    changes = over_seeds(pairs.assign(change=pairs["drop"] - pairs["own"]), ["change"], KEYS)
    return changes.rename(columns={"seeds": "change_seeds"})


def ablation_sheets(table: pd.DataFrame) -> list[Sheet]:
    """A sheet per backbone and criterion: the drop of every variant without pausing and at each schedule."""
    sheets = []
    unpaused, paused = table[table["strategy"] == "dense"], table[table["strategy"] != "dense"]
    for (backbone, criterion), group in paused.groupby(["backbone", "criterion"], sort=False):
        rows = unpaused[(unpaused["backbone"] == backbone) & unpaused["variant"].isin(group["variant"])]
        if list(rows["variant"]) == [UNCHANGED]:  # a criterion by which no variant was paused
            continue
        columns: Columns = {**named("variant", "seeds"), "unpaused": _drop}
        for row in group.drop_duplicates("schedule").to_dict("records"):
            columns[f"{row['schedule']} ({number(row['gmac_ratio'], 2)})"] = row["schedule"]
        cells = crossed(rows, group, "variant", "schedule", _drop)
        sheets.append(sheet_of(cells, columns, NOTES, title=f"{backbone}, {criterion}"))
    return sheets


def _drop(row: Row) -> str:
    """`0.12 [0.02, 0.22] (-0.30 [-0.50, -0.10])`."""
    if pd.isna(row["change"]):
        return drop_cell(row)
    return f"{drop_cell(row)} ({with_seeds(row['change'], row['change_spread'], row['change_seeds'])})"
