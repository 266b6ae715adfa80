"""The table of classes: which gain and which lose at each method's operating point near the claimed speed-up."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import POINT, is_dense, operating_points, point_names
from paumer.reporting.sheets import DECIMALS, Columns, Row, Sheet, crossed, number, rounded, sheets_of
from paumer.reporting.tables.main import add_drop, over_seeds, read_accuracy
from paumer.reporting.tables.methods import nearest_to_claim

PREFIX = "iou_"
CLASSES = [*POINT, "class", "seeds", "iou", "iou_spread", "drop", "drop_spread"]
NOTE = "IoU in points; in brackets the drop from the network trained and run without pausing."
CLASS_POINTS = 8  # operating points in a sheet of classes


def class_table(accuracy: Sequence[Path], main: pd.DataFrame) -> pd.DataFrame:
    """IoU of each class for the dense network and each method's operating point near the claimed speed-up.

    Returns:
        Columns `CLASSES`, IoU and drop in points; one row per operating point and class, classes absent from the split
        left out.

    Raises:
        PaumerError: an accuracy file is unusable, or a dense row is missing.
    """
    table = read_accuracy(accuracy)
    classes = [name for name in table.columns if name.startswith(PREFIX)]
    long = table.melt([*POINT, "seed"], classes, "class", "iou").dropna(subset="iou")
    long["class"] = long["class"].str.removeprefix(PREFIX)
    keys = ["backbone", "seed", "class"]
    long = long.merge(long.loc[is_dense(long), keys])  # a class that only some other row predicts has no drop
    scored = over_seeds(add_drop(long, "iou", keys), ["iou", "drop"], [*POINT, "class"])
    points = operating_points(main)[POINT]
    chosen = pd.concat([points[is_dense(points)], nearest_to_claim(main)[POINT]])
    return points.merge(chosen, on=POINT).merge(scored, on=POINT)[CLASSES].round(DECIMALS)


def class_sheets(classes: pd.DataFrame) -> list[Sheet]:
    """A row per class and a column per operating point, dense first; a sheet for every few points of a backbone."""
    sheets = []
    for backbone, table in classes.assign(point=point_names(classes)).groupby("backbone", sort=False):
        dense, others = table[is_dense(table)], table[~is_dense(table)]
        rows = crossed(dense, others, "class", "point", _iou_and_drop)
        first: Columns = {"class": "class", "dense: IoU": rounded("iou", 1)}
        points: Columns = {f"{point}: IoU (drop)": point for point in others["point"].unique()}
        sheets += sheets_of(rows, first, points, CLASS_POINTS, [NOTE], str(backbone))
    return sheets


def _iou_and_drop(row: Row) -> str:
    return f"{number(row['iou'], 1)} ({number(row['drop'], 1)})"
