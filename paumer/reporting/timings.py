"""Read throughput.csv and put its numbers beside operating points.

What the timed rounds of throughput_rounds.csv give: images/s, speed-ups, time over floor, and their intervals.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from paumer.measurement.intervals import ratio
from paumer.reporting.frames import (
    INPUT,
    MEASURES,
    POINT,
    at_first_size,
    join,
    read_table,
    refuse_duplicates,
    require_numbers,
)
from paumer.strategies.registry import DENSE_AGAIN
from paumer.system.errors import PaumerError

SETTING = ["device", "dtype", "mode", "scope"]
WHOLE = [*INPUT, "batch"]
THROUGHPUT = [
    *(*POINT, *SETTING, *WHOLE, "windows", *MEASURES),
    *("peak_memory_mb", "compile_s", "other_load", "rounds", "status"),
]
# What rows share that were measured together; a group that was measured again differs in one of the last two.
MEASURED_TOGETHER = ["backbone", "recipe", *SETTING, *WHOLE, "other_load", "rounds"]
# A row that names no recipe and criterion costs the same with each of them.
SHARED = ["backbone", "strategy", "schedule"]
OUT_OF_MEMORY = "out of memory"
# What stands in place of the numbers that a row lacks.
LACKING = {"oom": OUT_OF_MEMORY, "skipped": "skipped"}
ALONE = "alone"


def read_throughput(path: Path) -> pd.DataFrame:
    """Read throughput.csv, with whole numbers for batch, height and width.

    A speed-up over a dense that is not in the file cannot be checked, and images/s of another hour do not compare. Such
    rows have `ALONE` for their status, and images/s from their speed-up and the dense that is in the file.

    Raises:
        PaumerError: it is unusable or empty.
    """
    return _placed(read_timings(path, THROUGHPUT))


def _placed(throughput: pd.DataFrame) -> pd.DataFrame:
    """Mark rows that were not measured together with a dense of this table, and bring them to the scale of that one."""
    dense = throughput.loc[throughput["strategy"] == "dense", [*MEASURED_TOGETHER, "images_per_s"]]

    def rate(keys: list[str]) -> pd.Series:
        """images/s of the dense with the same `keys`."""
        found = throughput[keys].merge(dense.drop_duplicates(keys), how="left", on=keys)
        return found["images_per_s"].set_axis(throughput.index)

    alone = throughput["speedup"].notna() & rate(MEASURED_TOGETHER).isna()
    placed = rate(MEASURED_TOGETHER[:-2]) * throughput["speedup"]
    return throughput.assign(
        images_per_s=throughput["images_per_s"].mask(alone, placed), status=throughput["status"].mask(alone, ALONE)
    )


def read_timings(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table with a row per timing, with whole numbers for batch, height and width.

    Raises:
        PaumerError: it is unusable or empty.
    """
    table = read_table(path, columns)
    if table.empty:
        raise PaumerError(f"{path}: no rows; run the throughput stage again")
    require_numbers(table, WHOLE, path)
    return table.astype(dict.fromkeys(WHOLE, int))


def in_first_setting(throughput: pd.DataFrame) -> pd.DataFrame:
    """The rows that the main table shows: device, number type, mode, scope of the first row, and each first size."""
    return at_first_size(throughput[(throughput[SETTING] == throughput[SETTING].iloc[0]).all(axis=1)])


def null_rows(throughput: pd.DataFrame) -> pd.DataFrame:
    """The null variants, dense timed again: one for each group of variants that were timed together."""
    return throughput[throughput["strategy"] == DENSE_AGAIN]


def timed_group(row: dict) -> str:
    """What was timed together with a row: all fixed costs, or what one network does with many images."""
    return f"{row['recipe']}, cost by image" if row["recipe"] else "fixed cost"


def pixels(row: dict) -> str:
    """The size of a row's input, `512 x 1024`."""
    return f"{row['height']} x {row['width']}"


def latency_ms(timings: pd.DataFrame, images_per_s: str = "images_per_s") -> pd.Series:
    """Milliseconds for one batch, of windows where those are what is timed."""
    return 1000 * timings["batch"] / windows_per_s(timings, images_per_s)


def windows_per_s(timings: pd.DataFrame, images_per_s: str = "images_per_s") -> pd.Series:
    """Forward passes a second, batch by batch: of windows, or of images where networks run on those."""
    return timings[images_per_s] * timings["windows"]


def runs_on_windows(timings: pd.DataFrame) -> bool:
    """Whether an image is several forward passes in some of the timings."""
    return bool((timings["windows"] > 1).any())


def add_throughput(points: pd.DataFrame, throughput: Path) -> pd.DataFrame:
    """Add `windows`, forward passes for one image, and one set of columns for each batch size.

    Raises:
        PaumerError: an operating point was not timed at one of the batch sizes.
    """
    table = in_first_setting(read_throughput(throughput))
    windows = table.groupby("backbone")["windows"].first()
    points = points.assign(windows=points["backbone"].map(windows))
    for batch, part in table.groupby("batch"):
        origin = f"{throughput}, batch {batch}"
        refuse_duplicates(part, POINT, origin)
        named = part[[*POINT, *MEASURES]].rename(columns={name: f"{name}_b{batch}" for name in MEASURES})
        timed = of_points(points, named)
        points = join(points, timed, POINT, origin, "time it: run the throughput stage again")
    return points


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


TIMED = [*dict.fromkeys(["backbone", "recipe", *SETTING, *WHOLE])]
DENSE, PAUSE, FLOOR = "dense dense", "pause ", "floor "


def measures_of_rounds(path: Path) -> pd.DataFrame:
    """The numbers of throughput.csv, from the rounds.

    Args:
        path: throughput_rounds.csv.

    Returns:
        A row per timed variant: the columns that its group shares, `variant`, `rounds`, and `MEASURES`; ratios are NaN
        where dense (or the floor) was not timed in as many rounds.

    Raises:
        PaumerError: the file is unusable.
    """
    rounds = read_table(path, [*TIMED, "variant", "images", "round", "seconds"]).sort_values("round", kind="stable")
    rows = [
        dict(zip(TIMED, keys, strict=True)) | row
        for keys, group in rounds.groupby(TIMED, sort=False)
        for row in _group(group)
    ]
    return pd.DataFrame(rows, columns=[*TIMED, "variant", "rounds", *MEASURES])


def _group(group: pd.DataFrame) -> Iterator[dict]:
    """The rows of what was timed together."""
    seconds = {str(name): part["seconds"].to_numpy() for name, part in group.groupby("variant", sort=False)}
    images = group.groupby("variant")["images"].first()
    for name, own in seconds.items():
        row = {"variant": name, "rounds": len(own), "images_per_s": float((images[name] / pd.Series(own)).median())}
        dense, floor = seconds.get(DENSE), seconds.get(FLOOR + name.removeprefix(PAUSE))
        if dense is not None and len(dense) == len(own):
            row |= zip(MEASURES[1:4], ratio(dense, own), strict=True)
        if name.startswith(PAUSE) and floor is not None and len(floor) == len(own):
            row |= zip(MEASURES[4:], ratio(own, floor), strict=True)
        yield row
