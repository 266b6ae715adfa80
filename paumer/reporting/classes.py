"""IoU and drop of each class, where averages hide that one class pays for all."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.aggregate import add_drop, over_seeds, read_accuracy
from paumer.reporting.formatting import DECIMALS
from paumer.reporting.points import POINT, is_dense
from paumer.reporting.selection import near_claim, select

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
