"""The table of drops: of mIoU, of mIoU without the hardest class, of pixel accuracy, and of every class."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.measurement.intervals import mean_interval
from paumer.reporting.frames import MIOU, NETWORK, PIXELS, POINT, is_dense, point_names
from paumer.reporting.reading import read_table
from paumer.reporting.sheets import DECIMALS, Columns, Sheet, crossed, drop_cell, rounded, sheets_of
from paumer.reporting.tables.classes import PREFIX
from paumer.reporting.tables.main import add_drop, over_seeds, read_accuracy

DROPS = [*POINT, "measure", "seeds", "dense", "drop", "drop_spread"]
THIN = "boundary IoU of thin and small things"
WITHOUT = "mIoU without "
DROP_POINTS = 5  # operating points in a sheet of drops
OVER_SEEDS = (
    "Drop in points from the network trained and run without pausing, mean over seeds; in brackets its 95% interval "
    "(Student's t, of pairs of the same seed). Below 0 there is more than that of dense."
)
OVER_IMAGES = (
    "Drop in points from the network trained and run without pausing, mean over seeds; in brackets its 95% interval: "
    "seeds and blocks of images drawn anew, in pairs (mIoU, pixel accuracy, classes), or Student's t over seeds. Below "
    "0 there is more than that of dense."
)
HARDEST = (
    "mIoU without a class leaves out the one that dense segments worst: where its IoU is small and its pixels are few, "
    "it moves the mean by chance."
)


def drops_table(accuracy: Sequence[Path], chosen: pd.DataFrame, intervals: Path | None = None) -> pd.DataFrame:
    """Drops of mIoU, of mIoU without the class that is hardest for dense, of pixel accuracy, and of every class.

    Args:
        accuracy: accuracy.csv of every run.
        chosen: operating points, with the columns of `POINT`; dense of recipe dense is left out.
        intervals: 95% intervals of drops over seeds and images, which add columns drop_low and drop_high.

    Returns:
        Columns `DROPS`: of each operating point a row per measure, classes by rising IoU of dense (its mean over the
        seeds, `dense`); classes that dense has no IoU of are left out.

    Raises:
        PaumerError: an accuracy file is unusable, or a dense row is missing.
    """
    table = read_accuracy(accuracy)
    classes = [name for name in table.columns if name.startswith(PREFIX)]
    tables = []
    for backbone, points in chosen[~is_dense(chosen)].groupby("backbone", sort=False):
        rows = table[table["backbone"] == backbone]
        measures = _measures(rows, classes)
        keys = [*NETWORK, *POINT[1:], "seed"]
        long = rows[keys].join(measures).melt(keys, var_name="measure")
        dropped = over_seeds(add_drop(long, "value", [*NETWORK, "seed", "measure"]), ["drop"], [*POINT, "measure"])
        dense = measures[is_dense(rows)].mean().rename("dense").rename_axis("measure").reset_index()
        order = points[POINT].merge(dense, how="cross")
        tables.append(order.merge(dropped, on=[*POINT, "measure"])[DROPS])
    drops = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=DROPS)
    return (drops if intervals is None else _with_intervals(drops, intervals)).round(DECIMALS)


def _with_intervals(drops: pd.DataFrame, intervals: Path) -> pd.DataFrame:
    """Add drop_low and drop_high; of measures that are not resampled those over seeds alone."""
    table = read_table(intervals, [*POINT, "measure", "low", "high"])[[*POINT, "measure", "low", "high"]]
    joined = drops.merge(table, how="left", on=[*POINT, "measure"])
    seeds = [mean_interval(*row) for row in joined[["drop", "drop_spread", "seeds"]].itertuples(index=False)]
    ends = pd.DataFrame(seeds, columns=["drop_low", "drop_high"], index=joined.index)
    resampled = joined[["low", "high"]].set_axis(ends.columns, axis="columns")
    return drops.join(resampled.combine_first(ends))


def _measures(rows: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """What is compared with dense, a column each, in the order of the table."""
    dense = rows.loc[is_dense(rows), list(classes)].mean().dropna().sort_values()
    ious = rows[dense.index].rename(columns=lambda name: name.removeprefix(PREFIX))
    means = {MIOU: rows["miou"]}
    if len(ious.columns) > 1:
        hardest, *others = ious.columns
        means[f"{WITHOUT}{hardest}"] = ious[others].mean(axis=1)
    if "pixel_accuracy" in rows:
        means[PIXELS] = rows["pixel_accuracy"]
    if "thin_boundary_iou" in rows:
        means[THIN] = rows["thin_boundary_iou"]
    return pd.DataFrame(means, index=rows.index).join(ious)


def drop_sheets(drops: pd.DataFrame) -> list[Sheet]:
    """A row per measure and a column per operating point; a sheet for every few points of a backbone."""
    sheets, notes = [], [OVER_IMAGES if "drop_low" in drops else OVER_SEEDS, HARDEST]
    for backbone, table in drops.assign(point=point_names(drops)).groupby("backbone", sort=False):
        rows = crossed(table.drop_duplicates("measure"), table, "measure", "point", drop_cell)
        first: Columns = {"measure": "measure", "dense (points)": rounded("dense", 2)}
        points: Columns = {f"{point}: drop [95%]": point for point in table["point"].unique()}
        sheets += sheets_of(rows, first, points, DROP_POINTS, notes, str(backbone))
    return sheets
