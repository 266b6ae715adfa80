"""What a drop of mIoU is made of: the classes that gain or lose, and the patches, paused or running, that lose."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import (
    NETWORK,
    POINT,
    is_dense,
    method_names,
    operating_points,
    read_table,
    refuse_duplicates,
    refuse_mixed_data,
)
from paumer.reporting.sheets import DECIMALS, Cell, Row, Sheet, drop_cell, latex, number, rounded, sheet_of
from paumer.reporting.tables.main import add_drop, over_seeds, read_accuracy
from paumer.reporting.tables.methods import nearest_to_claim

PREFIX = "iou_"
CLASSES = [*POINT, "class", "seeds", "iou", "iou_spread", "drop", "drop_spread"]
CLASSES_NOTE = "IoU in points; in brackets the drop from the network trained and run without pausing."
CLASSES_LATEX_NOTE = (
    "Drop of the IoU of each class in points, counted from the network trained and run without pausing."
)
CLASS_POINTS = 8  # operating points in a sheet of classes

DROPS = [*POINT, "measure", "seeds", "dense", "drop", "drop_spread"]
MIOU, PIXELS = "mIoU", "pixel accuracy"
WITHOUT = "mIoU without "
DROP_POINTS = 5  # operating points in a sheet of drops
DROPS_NOTES = [
    "Drop in points from the network trained and run without pausing, mean over seeds; in brackets its 95% interval "
    "(Student's t, of pairs of the same seed). Below 0 there is more than that of dense.",
    "mIoU without a class leaves out the one that dense segments worst: where its IoU is small and its pixels are few, "
    "it moves the mean by chance.",
]

PAUSED_AT = ["backbone", "schedule"]
GROUPS = ["none", "paused", "running", "all"]
ATTRIBUTION = [*PAUSED_AT, "seeds", *GROUPS]
ATTRIBUTION_NOTE = (
    "Recipe paumer, pausing by entropy; points of mIoU below the same network unpaused. In the last two columns the "
    "predictions of these patches come from the network that pauses, and all others from the network that does not."
)


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
    for backbone, table in _named(classes).groupby("backbone", sort=False):
        dense, *others = table["point"].unique()
        cells = {
            (row["class"], row["point"]): number(row["iou"], 1)
            + ("" if row["point"] == dense else f" ({number(row['drop'], 1)})")
            for row in table.to_dict("records")
        }
        for points in _groups(others, CLASS_POINTS):
            headings = ["class", "dense: IoU", *(f"{point}: IoU (drop)" for point in points)]
            rows = [
                [name, *(cells.get((name, point), "") for point in (dense, *points))]
                for name in table["class"].unique()
            ]
            sheets.append(Sheet(headings, rows, [CLASSES_NOTE], title=str(backbone)))
    return sheets


def class_latex(classes: pd.DataFrame) -> str:
    """Drop of every class, a column each, below the IoU of the dense network; a table for each backbone."""
    sheets = []
    for backbone, rows in _named(classes).groupby("backbone", sort=False):
        dense = rows[is_dense(rows)].set_index("class")["iou"]
        wide = rows[~is_dense(rows)].pivot_table(index="point", columns="class", values="drop", sort=False)
        cells = [["IoU of dense", *(number(value, 1) for value in dense)]]
        cells += [[str(point), *(number(value, 1) for value in row[dense.index])] for point, row in wide.iterrows()]
        sheets.append(Sheet(["method", *dense.index], cells, [CLASSES_LATEX_NOTE], title=str(backbone)))
    return latex(*sheets, turned=True)


def drops_table(accuracy: Sequence[Path], chosen: pd.DataFrame) -> pd.DataFrame:
    """Drops of mIoU, of mIoU without the class that is hardest for dense, of pixel accuracy, and of every class.

    Args:
        accuracy: accuracy.csv of every run.
        chosen: operating points, with the columns of `POINT`; dense of recipe dense is left out.

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
    return pd.concat(tables, ignore_index=True).round(DECIMALS) if tables else pd.DataFrame(columns=DROPS)


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


def drop_sheets(drops: pd.DataFrame) -> list[Sheet]:
    """A row per measure and a column per operating point; a sheet for every few points of a backbone."""
    sheets = []
    for backbone, table in _named(drops).groupby("backbone", sort=False):
        cells = {(row["measure"], row["point"]): drop_cell(row) for row in table.to_dict("records")}
        dense = table.drop_duplicates("measure").set_index("measure")["dense"]
        for points in _groups(list(table["point"].unique()), DROP_POINTS):
            headings = ["measure", "dense (points)", *(f"{point}: drop [95%]" for point in points)]
            rows = [
                [str(name), number(value, 2), *(cells.get((name, point), "") for point in points)]
                for name, value in dense.items()
            ]
            sheets.append(Sheet(headings, rows, DROPS_NOTES, title=str(backbone)))
    return sheets


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """Add `point`, method and schedule."""
    return table.assign(point=method_names(table) + " " + table["schedule"])


def _groups(points: Sequence[str], size: int) -> list[Sequence[str]]:
    """The points of each sheet; of one sheet where there are none."""
    return [points[start : start + size] for start in range(0, max(1, len(points)), size)]


def attribution_table(paths: Sequence[Path]) -> pd.DataFrame:
    """Stage `semantics`' attribution.csv, mean over the seeds.

    Args:
        paths: attribution.csv of every run.

    Returns:
        Columns backbone, schedule, seeds, and mIoU in points where the predictions of these patches come from the
        network that pauses, and all others from the same network run dense: none, paused, running, all.

    Raises:
        PaumerError: a file is unusable, two hold the same run, or two rest on different data.
    """
    columns = [*PAUSED_AT, "seed", *GROUPS]
    refuse_mixed_data(paths)
    runs = [read_table(path, columns) for path in paths]
    table = pd.concat(runs, ignore_index=True) if runs else pd.DataFrame(columns=columns)
    refuse_duplicates(table, [*PAUSED_AT, "seed"], "attribution")
    return over_seeds(table, GROUPS, PAUSED_AT).sort_values(PAUSED_AT)[ATTRIBUTION].round(DECIMALS)


def reasons(attribution: pd.DataFrame) -> dict[str, str]:
    """For each backbone a sentence on the patches that lose what pausing costs.

    Args:
        attribution: as `attribution_table` gives it.
    """
    return {
        row["backbone"]: (
            f"Of the {_lost(row, 'all')} points that pausing at {row['schedule']} takes from the network itself, "
            f"{_lost(row, 'paused')} are lost in the patches that pause and {_lost(row, 'running')} in those that run "
            "on without seeing them."
        )
        for row in attribution.to_dict("records")
    }


def attribution_sheet(attribution: pd.DataFrame) -> Sheet:
    """The points of mIoU that are lost, and in which patches."""
    columns: dict[str, str | Cell] = {
        **{name: name for name in (*PAUSED_AT, "seeds")},
        "mIoU unpaused": rounded("none", 2),
        "drop": lambda row: _lost(row, "all"),
        "in patches that pause": lambda row: _lost(row, "paused"),
        "in those that run on": lambda row: _lost(row, "running"),
    }
    return sheet_of(attribution, columns, [ATTRIBUTION_NOTE])


def _lost(row: Row, group: str) -> str:
    return number(row["none"] - row[group], 2)
