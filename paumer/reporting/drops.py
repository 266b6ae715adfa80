"""What a drop of mIoU is made of: a mean over classes may hide that one gains what the others lose."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.aggregate import add_drop, over_seeds, read_accuracy
from paumer.reporting.classes import PREFIX
from paumer.reporting.families import family_points
from paumer.reporting.formatting import DECIMALS, Sheet, number, with_seeds
from paumer.reporting.headline import SPEEDUPS, best_points
from paumer.reporting.points import NETWORK, POINT, is_dense, method_names

COLUMNS = [*POINT, "measure", "seeds", "dense", "drop", "drop_spread"]
MIOU, PIXELS = "mIoU", "pixel accuracy"
WITHOUT = "mIoU without "
BESIDE = 5  # operating points in a sheet
NOTES = (
    "Drop in points from the network trained and run without pausing, mean over seeds; in brackets its 95% interval "
    "(Student's t, of pairs of the same seed). Below 0 there is more than that of dense.",
    "mIoU without a class leaves out the one that dense segments worst: where its IoU is small and its pixels are few, "
    "it moves the mean by chance.",
)


def headline_choices(main: pd.DataFrame) -> pd.DataFrame:
    """The operating points that the headline table shows, and every recipe's network run dense; columns of `POINT`."""
    points = family_points(main)
    best = [best_points(points, asked)[POINT] for asked in SPEEDUPS]
    chosen = pd.concat([main.loc[main["strategy"] == "dense", POINT], *best]).drop_duplicates()
    return main[POINT].merge(chosen)


def drops_table(accuracy: Sequence[Path], chosen: pd.DataFrame) -> pd.DataFrame:
    """Drops of mIoU, of mIoU without the class that is hardest for dense, of pixel accuracy, and of every class.

    Args:
        accuracy: accuracy.csv of every run.
        chosen: operating points, with the columns of `POINT`; dense of recipe dense is left out.

    Returns:
        Columns `COLUMNS`: of each operating point a row per measure, classes by rising IoU of dense (its mean over the
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
        tables.append(order.merge(dropped, on=[*POINT, "measure"])[COLUMNS])
    return pd.concat(tables, ignore_index=True).round(DECIMALS) if tables else pd.DataFrame(columns=COLUMNS)


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
    return pd.DataFrame(means, index=rows.index).join(ious)


def readable_drops(drops: pd.DataFrame) -> list[Sheet]:
    """A row per measure and a column per operating point; a sheet for every few points of a backbone."""
    sheets = []
    labelled = drops.assign(point=method_names(drops) + " " + drops["schedule"])
    for backbone, table in labelled.groupby("backbone", sort=False):
        points = table["point"].unique()
        cells = {
            (row["measure"], row["point"]): with_seeds(row["drop"], row["drop_spread"], row["seeds"])
            for row in table.to_dict("records")
        }
        dense = table.drop_duplicates("measure").set_index("measure")["dense"]
        for start in range(0, len(points), BESIDE):
            shown = points[start : start + BESIDE]
            rows = [
                [str(name), number(value, 2), *(cells.get((name, point), "") for point in shown)]
                for name, value in dense.items()
            ]
            headings = ["measure", "dense (points)", *(f"{point}: drop [95%]" for point in shown)]
            sheets.append(Sheet(headings, rows, list(NOTES), title=str(backbone)))
    return sheets
