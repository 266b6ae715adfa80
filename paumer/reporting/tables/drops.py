"""What a drop of mIoU is made of: a mean over classes may hide that one gains what the others lose.

Who loses what pausing costs: the patches that paused, or those that ran on without them.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import (
    NETWORK,
    POINT,
    is_dense,
    method_names,
    read_table,
    refuse_duplicates,
    refuse_mixed_data,
)
from paumer.reporting.sheets import DECIMALS, Sheet, number, tabular, with_seeds
from paumer.reporting.tables.headline import SPEEDUPS, best_points
from paumer.reporting.tables.main import add_drop, over_seeds, read_accuracy
from paumer.reporting.tables.methods import family_points, near_claim, select

PREFIX = "iou_"


def class_table(accuracy: Sequence[Path], main: pd.DataFrame) -> pd.DataFrame:
    """IoU of each class for the dense network and each method's operating point near the claimed speed-up.

    Returns:
        Columns backbone, recipe, strategy, criterion, schedule, class, seeds, iou, iou_spread, drop, drop_spread
        (points); one row per operating point and class, classes absent from the split left out.

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
    chosen = pd.concat([main.loc[is_dense(main), POINT], near_claim(main)[POINT]])
    return select(scored, main[POINT].merge(chosen, on=POINT)).round(DECIMALS)


POINTS_BESIDE = 8  # in a table of classes


def readable_classes(classes: pd.DataFrame) -> list[Sheet]:
    """A row per class and a column per operating point, dense first; a sheet for every few points of a backbone."""
    sheets = []
    for backbone, table in classes.groupby("backbone", sort=False):
        labelled = table.assign(point=method_names(table) + " " + table["schedule"])
        dense, *others = labelled["point"].unique()
        names = labelled["class"].unique()
        cells = {
            (row["class"], row["point"]): _iou(row, dense=row["recipe"] == row["strategy"] == "dense")
            for row in labelled.to_dict("records")
        }
        note = "IoU in points; in brackets the drop from the network trained and run without pausing."
        for start in range(0, max(1, len(others)), POINTS_BESIDE):
            points = others[start : start + POINTS_BESIDE]
            headings = ["class", "dense: IoU", *(f"{point}: IoU (drop)" for point in points)]
            rows = [[name, *(cells.get((name, point), "") for point in (dense, *points))] for name in names]
            sheets.append(Sheet(headings, rows, [note], title=str(backbone)))
    return sheets


def _iou(row: dict, dense: bool) -> str:
    return number(row["iou"], 1) if dense else f"{number(row['iou'], 1)} ({number(row['drop'], 1)})"


def latex_classes(classes: pd.DataFrame) -> str:
    """Drop of every class, a column each, below the IoU of the dense network; a table for each backbone."""
    tables = []
    for backbone, rows in classes.groupby("backbone", sort=False):
        dense = rows[is_dense(rows)].set_index("class")["iou"]
        others = rows[~is_dense(rows)]
        others = others.assign(point=method_names(others) + " " + others["schedule"])
        wide = others.pivot_table(index="point", columns="class", values="drop", sort=False)
        cells = [["IoU of dense", *(number(value, 1) for value in dense)]]
        cells += [[str(point), *(number(value, 1) for value in row[dense.index])] for point, row in wide.iterrows()]
        note = "Drop of the IoU of each class in points, counted from the network trained and run without pausing."
        tables.append(tabular(Sheet(["method", *dense.index], cells, [note], title=str(backbone)), turned=True))
    return "\n".join(tables)


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


SAME = ["backbone", "schedule"]
GROUPS = ["none", "paused", "running", "all"]
ATTRIBUTION_COLUMNS = [*SAME, "seeds", *GROUPS]
NOTE = (
    "Recipe paumer, pausing by entropy; points of mIoU below the same network unpaused. In the last two columns the "
    "predictions of these patches come from the network that pauses, and all others from the network that does not."
)


def attribution_table(paths: Sequence[Path]) -> pd.DataFrame:
    """What stage `semantics` wrote to attribution.csv, mean over the seeds.

    Args:
        paths: attribution.csv of every run.

    Returns:
        Columns backbone, schedule, seeds, and mIoU in points where the predictions of these patches come from the
        network that pauses, and all others from the same network run dense: none, paused, running, all.

    Raises:
        PaumerError: a file is unusable, two hold the same run, or two rest on different data.
    """
    columns = [*SAME, "seed", *GROUPS]
    refuse_mixed_data(paths)
    runs = [read_table(path, columns) for path in paths]
    table = pd.concat(runs, ignore_index=True) if runs else pd.DataFrame(columns=columns)
    refuse_duplicates(table, [*SAME, "seed"], "attribution")
    return over_seeds(table, GROUPS, SAME).sort_values(SAME)[ATTRIBUTION_COLUMNS].round(DECIMALS)


def reasons(table: pd.DataFrame) -> dict[str, str]:
    """For each backbone a sentence: which patches lose what pausing costs.

    Args:
        table: as `attribution_table` gives it.
    """
    return {
        row["backbone"]: (
            f"Of the {_lost(row, 'all')} points that pausing at {row['schedule']} takes from the network itself, "
            f"{_lost(row, 'paused')} are lost in the patches that pause and {_lost(row, 'running')} in those that run "
            "on without seeing them."
        )
        for row in table.to_dict("records")
    }


def readable_attribution(table: pd.DataFrame) -> Sheet:
    """The table as people read it: what is lost, in points."""
    headings = [*SAME, "seeds", "mIoU unpaused", "drop", "in patches that pause", "in those that run on"]
    rows = [
        [row["backbone"], row["schedule"], str(row["seeds"]), number(row["none"], 2)]
        + [_lost(row, group) for group in ("all", "paused", "running")]
        for row in table.to_dict("records")
    ]
    return Sheet(headings, rows, [NOTE])


def _lost(row: dict, group: str) -> str:
    return number(row["none"] - row[group], 2)
