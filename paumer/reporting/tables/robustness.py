"""The table of robustness: what corrupted images cost the dense network, and what each method then loses beside it."""

from pathlib import Path

import pandas as pd

from paumer.reporting.frames import POINT, is_dense, method_names
from paumer.reporting.reading import read_table, refuse_duplicates
from paumer.reporting.sheets import DECIMALS, Columns, Sheet, drop_cell, named, rounded, sheet_of, with_seeds
from paumer.reporting.tables.main import over_seeds
from paumer.system.errors import PaumerError

CORRUPTED = ["corruption", "strength"]
CLEAN = "none"  # the images as they are
VALUES = ["dense_loss", "drop", "certain"]
ROBUSTNESS = [*POINT, *CORRUPTED, "seeds", *(f"{name}{end}" for name in VALUES for end in ("", "_spread"))]
NOTES = [
    "Lost by dense: its points of mIoU on clean images above those on corrupted ones. Drop: points below dense under "
    "the same corruption and with the same seed. Means over seeds; in brackets their 95% interval (Student's t).",
    "Certain: share of the patches whose entropy at the first head is below a tenth of the largest; nothing pauses.",
]


def robustness_table(path: Path) -> pd.DataFrame:
    """What corruptions cost, mean over the seeds.

    Args:
        path: robustness.csv of all runs.

    Returns:
        Columns `ROBUSTNESS`: a row for each corruption, strength and operating point but dense of recipe dense.

    Raises:
        PaumerError: the file is unusable, or dense was not evaluated somewhere.
    """
    keys = [*POINT, *CORRUPTED, "seed"]
    table = read_table(path, [*keys, "miou"])
    refuse_duplicates(table, keys, str(path))
    network, dense = ["backbone", "seed"], is_dense(table)
    corrupted = table.loc[dense, [*network, *CORRUPTED, "miou"]].rename(columns={"miou": "dense"})
    clean = corrupted.loc[corrupted["corruption"] == CLEAN, [*network, "dense"]].rename(columns={"dense": "clean"})
    joined = table[~dense].merge(corrupted, how="left", on=[*network, *CORRUPTED]).merge(clean, how="left", on=network)
    if joined[["dense", "clean"]].isna().any(axis=None):
        raise PaumerError(f"{path}: dense of recipe dense is missing; run stage robustness for it and collect again")
    losses = {"dense_loss": joined["clean"] - joined["dense"], "drop": joined["dense"] - joined["miou"]}
    measured = joined.assign(**losses, certain=_first_head(joined))
    return over_seeds(measured, VALUES, [*POINT, *CORRUPTED])[ROBUSTNESS].round(DECIMALS)


def _first_head(table: pd.DataFrame) -> pd.Series:
    """The share of certain patches at the first head of each network, NaN where it has none."""
    heads = sorted(
        (int(name.removeprefix("certain_")), name) for name in map(str, table) if name.startswith("certain_")
    )
    shares = table[[name for _, name in heads]].bfill(axis=1)
    return shares.iloc[:, 0] if heads else pd.Series(float("nan"), index=table.index)


def robustness_sheets(table: pd.DataFrame) -> list[Sheet]:
    """A sheet for each backbone, clean images first."""
    columns: Columns = {
        **named("corruption"),
        "strength": lambda row: f"{row['strength']:g}",
        "lost by dense (points) [95%]": lambda row: with_seeds(
            row["dense_loss"], row["dense_loss_spread"], row["seeds"]
        ),
        **named("method", "schedule"),
        "drop (points) [95%]": drop_cell,
        "certain": rounded("certain", 2),
    }
    groups = table.assign(method=method_names(table)).groupby("backbone", sort=False)
    order = [*CORRUPTED, "method", "schedule"]
    return [
        sheet_of(rows.sort_values(order, key=_clean_first, kind="stable"), columns, NOTES, title=str(backbone))
        for backbone, rows in groups
    ]


def _clean_first(values: pd.Series) -> pd.Series:
    return values.mask(values == CLEAN, "") if values.name == "corruption" else values
