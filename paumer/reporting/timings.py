"""Read throughput.csv and put its numbers beside operating points."""

from pathlib import Path

import pandas as pd

from paumer.errors import PaumerError
from paumer.reporting.points import MEASURES, POINT
from paumer.reporting.reading import join, read_table, refuse_duplicates

SETTING = ["device", "dtype", "mode", "scope"]
THROUGHPUT = [*POINT, *SETTING, "batch", *MEASURES, "status"]
# A row that names no recipe and criterion costs the same with each of them.
SHARED = ["backbone", "strategy", "schedule"]
OUT_OF_MEMORY = "out of memory"
# What stands in place of the numbers that a row lacks.
LACKING = {"oom": OUT_OF_MEMORY, "skipped": "skipped"}


def read_throughput(path: Path) -> pd.DataFrame:
    """Read throughput.csv with whole batch sizes.

    Raises:
        PaumerError: it is unusable or empty.
    """
    table = read_table(path, THROUGHPUT)
    if table.empty:
        raise PaumerError(f"{path}: no rows; run the throughput stage again")
    return table.astype({"batch": int})


def in_first_setting(throughput: pd.DataFrame) -> pd.DataFrame:
    """The rows with device, number type, mode and scope of the first row: what the main table shows."""
    return throughput[(throughput[SETTING] == throughput[SETTING].iloc[0]).all(axis=1)]


def null_rows(throughput: pd.DataFrame) -> pd.DataFrame:
    """The null variants, dense timed again: one for each group of variants that were timed together."""
    return throughput[throughput["strategy"] == "dense-again"]


def timed_group(row: dict) -> str:
    """What was timed together with a row: all fixed costs, or what one network does with many images."""
    return f"{row['recipe']}, cost by image" if row["recipe"] else "fixed cost"


def add_throughput(points: pd.DataFrame, throughput: Path) -> pd.DataFrame:
    """Add one set of columns for each batch size.

    Raises:
        PaumerError: an operating point was not timed at one of the batch sizes.
    """
    table = in_first_setting(read_throughput(throughput))
    for batch, part in table.groupby("batch"):
        origin = f"{throughput}, batch {batch}"
        refuse_duplicates(part, POINT, origin)
        named = part[[*POINT, *MEASURES]].rename(columns={name: f"{name}_b{batch}" for name in MEASURES})
        timed = _of_points(points, named)
        points = join(points, timed, POINT, origin, "time it: run the throughput stage again")
    return points


def _of_points(points: pd.DataFrame, timed: pd.DataFrame) -> pd.DataFrame:
    """The timing of each operating point: the one that names no recipe where there is one, else its own."""
    shared = timed[timed["recipe"] == ""].drop(columns=["recipe", "criterion"])
    return pd.concat([points[POINT].merge(shared, on=SHARED), timed]).drop_duplicates(POINT)
