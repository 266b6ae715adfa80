"""The table of bounds: what the patch size and raw patches allow, beside the dense network."""

from pathlib import Path

import pandas as pd

from paumer.reporting.frames import is_dense, operating_points
from paumer.reporting.reading import read_table
from paumer.reporting.sheets import DECIMALS, Columns, Sheet, named, rounded, sheet_of


def bounds_table(bounds: Path, main: pd.DataFrame) -> pd.DataFrame:
    """One row per backbone.

    Returns:
        Columns backbone, dense (mean mIoU of the network trained and run without pausing), and one per bound.

    Raises:
        PaumerError: bounds.csv is unusable.
    """
    table = read_table(bounds, ["backbone", "bound", "miou"])
    wide = table.pivot_table(index="backbone", columns="bound", values="miou", aggfunc="mean", sort=False)
    points = operating_points(main)
    dense = points[is_dense(points)].set_index("backbone")["miou"]
    wide.insert(0, "dense", dense)
    return wide.reset_index().rename_axis(columns=None).round(DECIMALS)


def bounds_sheet(bounds: pd.DataFrame) -> Sheet:
    """Each bound beside the dense network it bounds."""
    names = {"dense": "dense network", **{name: name for name in bounds.columns if name not in ("backbone", "dense")}}
    columns: Columns = {f"{shown}: mIoU (points)": rounded(name, 2) for name, shown in names.items()}
    notes = [
        "Patch ceiling: ground truth pooled to the prediction grid, what a perfect network of this patch size reaches.",
        "Linear on raw patches: what a linear classifier reaches that sees one patch at a time.",
    ]
    return sheet_of(bounds, named("backbone") | columns, notes)
