"""Merge result folders of several machines, seeds or people into one board: long tables and a page.

Accuracy is pooled over seeds where data, settings and code are equal, and told apart elsewhere. Speeds are compared
within a folder alone, by the speed-up over the dense network that was timed beside them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import INPUT_SHAPE, MEASURES, POINT, SETTING, method_names
from paumer.reporting.page.board import board_page
from paumer.reporting.sources import KNOWN, SELECTED, Source, read_sources
from paumer.reporting.tables.headline import best_points
from paumer.reporting.tables.main import KEYS, over_seeds
from paumer.reporting.tables.methods import with_families
from paumer.reporting.timings import of_points
from paumer.reporting.writing import csv
from paumer.system.files import require_folder, write_json, write_text

SPEEDUPS = (1.25, 1.5, 1.75, 2.0, 2.5)
POOLED = [*KEYS, *KNOWN]
TIMED = ["machine", "source", "revision", *SETTING, "backbone", *INPUT_SHAPE]
EQUAL = [
    *("machine", "source", "experiment", *SETTING, *INPUT_SHAPE, "asked_speedup", "family", *KEYS, "method"),
    *("seeds", "drop", "drop_spread", *MEASURES[:4], "chosen_on", "tried"),
    *(*KNOWN, "timed_revision"),
]


def merge(folders: Sequence[Path], output: Path) -> None:
    """Write accuracy.csv, speeds.csv, equal_speed.csv, sources.json and index.html of several result folders.

    Args:
        folders: `results/EXPERIMENT` of each.
        output: folder of the board.

    Raises:
        PaumerError: a folder is unusable, or named twice.
    """
    require_folder(output)
    sources = read_sources(folders)
    accuracy = _together([source.accuracy for source in sources])
    speeds = _together([source.speeds for source in sources])
    pooled = pool(accuracy)
    equal = equal_speed(sources, pooled)
    described = {"sources": [source.describe() for source in sources]}
    page = board_page(equal, pooled, speeds, described["sources"])
    tables = {"accuracy": accuracy, "speeds": speeds, "equal_speed": equal}
    for name, table in tables.items():
        write_text(output / f"{name}.csv", csv(table))
    write_json(output / "sources.json", described)
    write_text(output / "index.html", page)


def _together(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all tables; the columns of the first where none has rows."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def pool(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Mean and spread over the seeds of every operating point with the same data, settings and code.

    A seed that several folders hold, as where one experiment ran on two machines, counts once, by the mean of its rows.

    Args:
        accuracy: rows of `Source.accuracy`.

    Returns:
        Columns `POOLED`, seeds, miou, drop and their spreads (standard deviations in points, NaN for one seed), method,
        and `SELECTED` where it is known.
    """
    if accuracy.empty:
        return pd.DataFrame(columns=[*POOLED, "seeds", "miou", "drop", "drop_spread", "method"])
    values = ["miou", "drop", *(name for name in SELECTED if name in accuracy)]
    seeds = accuracy.groupby([*POOLED, "seed"], sort=False, as_index=False)[values].mean()
    points = over_seeds(seeds, values, POOLED)
    return points.drop(columns=[f"{name}_spread" for name in SELECTED], errors="ignore").assign(
        method=method_names(points)
    )


def equal_speed(sources: Sequence[Source], pooled: pd.DataFrame) -> pd.DataFrame:
    """The best operating point of each family at each of `SPEEDUPS`, in every setting that a source timed.

    Fast enough is what that source measured to be so; the smallest drop of these is best, on the split that points are
    chosen on where the source has one.

    Args:
        sources: the folders; those without accuracy or without timings have no rows.
        pooled: see `pool`.

    Returns:
        Columns `EQUAL`; `tried` counts the operating points of the family that were timed.
    """
    parts = [part for source in sources for part in _of_source(source, pooled)]
    return pd.concat(parts, ignore_index=True)[EQUAL] if parts else pd.DataFrame(columns=EQUAL)


def _of_source(source: Source, pooled: pd.DataFrame) -> Iterator[pd.DataFrame]:
    accuracy, speeds = source.accuracy, source.speeds
    if accuracy.empty or speeds.empty:
        return
    own = accuracy[POOLED].drop_duplicates().merge(pooled, on=POOLED)
    selected = SELECTED[0] in accuracy
    points = own if selected else own.drop(columns=SELECTED, errors="ignore")
    for _, timed in speeds.groupby(TIMED, sort=False):
        measured = of_points(points, timed.rename(columns={"revision": "timed_revision"})).dropna(subset="speedup")
        found = with_families(points.merge(measured, on=POINT))
        tried = found.groupby(["backbone", "family"])["schedule"].transform("size")
        found = found.assign(tried=tried, chosen_on="select" if selected else "reported")
        yield from (best_points(found, asked).assign(asked_speedup=asked) for asked in SPEEDUPS if len(found))
