"""Timings: throughput.csv read and checked, and what its rows say of a batch, a window or an operating point."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from paumer.reporting.frames import INPUT_SHAPE, MEASURES, POINT, SETTING, at_first_size
from paumer.reporting.reading import read_table, require_numbers
from paumer.system.errors import PaumerError

THROUGHPUT = [
    *(*POINT, *SETTING, *INPUT_SHAPE, "windows", *MEASURES),
    *("peak_memory_mb", "compile_s", "other_load", "rounds", "status"),
]
# What rows share that were measured together; a group that was measured again differs in one of the last two.
MEASURED_TOGETHER = ["backbone", "recipe", *SETTING, *INPUT_SHAPE, "other_load", "rounds"]
# A timing that names no recipe and criterion is that of all of them.
SHARED = ["backbone", "strategy", "schedule"]
LACKING = {"oom": "out of memory", "skipped": "skipped"}  # in the place of images/s, by the status of a timing
ALONE = "alone"  # status of a timing without the dense network that it was timed with


def read_throughput(path: Path) -> pd.DataFrame:
    """Read throughput.csv, with whole numbers for batch, height and width.

    A speed-up over a dense that is not in the file cannot be checked, and images/s of another hour do not compare. Such
    rows get the status `ALONE`, and images/s from their speed-up and the dense that is in the file.

    Raises:
        PaumerError: it is unusable or empty.
    """
    timings = read_timings(path, THROUGHPUT)
    dense = timings.loc[timings["strategy"] == "dense", [*MEASURED_TOGETHER, "images_per_s"]]

    def rate(keys: list[str]) -> pd.Series:
        """images/s of the dense with the same `keys`."""
        found = timings[keys].merge(dense.drop_duplicates(keys), how="left", on=keys)
        return found["images_per_s"].set_axis(timings.index)

    alone = timings["speedup"].notna() & rate(MEASURED_TOGETHER).isna()
    placed = timings["images_per_s"].mask(alone, rate(MEASURED_TOGETHER[:-2]) * timings["speedup"])
    return timings.assign(images_per_s=placed, status=timings["status"].mask(alone, ALONE))


def read_timings(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table with a row per timing, with whole numbers for batch, height and width.

    Raises:
        PaumerError: it is unusable or empty.
    """
    table = read_table(path, columns)
    if table.empty:
        raise PaumerError(f"{path}: no rows; run the throughput stage again")
    require_numbers(table, INPUT_SHAPE, path)
    return table.astype(dict.fromkeys(INPUT_SHAPE, int))


def in_first_setting(throughput: pd.DataFrame) -> pd.DataFrame:
    """The rows that the main table shows: device, number type, mode, scope of the first row, and each first size."""
    return at_first_size(throughput[(throughput[SETTING] == throughput[SETTING].iloc[0]).all(axis=1)])


def of_points(points: pd.DataFrame, timed: pd.DataFrame) -> pd.DataFrame:
    """The timing of each operating point: the one that names no recipe where there is one, else its own.

    Args:
        points: operating points, with the columns of `POINT`.
        timed: rows of throughput.csv or of the speed table, of one setting and batch.

    Returns:
        The columns of `timed`, with the `POINT` that each row is for; also the timings of no operating point.
    """
    shared = timed[timed["recipe"] == ""].drop(columns=["recipe", "criterion"])
    return pd.concat([points[POINT].merge(shared, on=SHARED), timed]).drop_duplicates(POINT)


def pixels(row: Mapping[Any, Any] | pd.Series) -> str:
    """The size of a row's input, `512 x 1024`."""
    return f"{row['height']} x {row['width']}"


def latency_ms(timings: pd.DataFrame, images_per_s: str = "images_per_s") -> pd.Series:
    """Milliseconds for one batch, of windows where windows were timed."""
    return 1000 * timings["batch"] / windows_per_s(timings, images_per_s)


def windows_per_s(timings: pd.DataFrame, images_per_s: str = "images_per_s") -> pd.Series:
    """Forward passes a second, batch by batch: of windows, or of images where networks run on those."""
    return timings[images_per_s] * timings["windows"]


def runs_on_windows(timings: pd.DataFrame) -> bool:
    """Whether an image is several forward passes in some of the timings."""
    return bool((timings["windows"] > 1).any())
