"""The table of calibration: how far the confidence of each head is from the share of the pixels that it gets right."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.reading import read_table, refuse_duplicates, refuse_mixed_data
from paumer.reporting.sheets import DECIMALS, Columns, Sheet, named, sheet_of, with_spread
from paumer.reporting.tables.main import over_seeds

HEAD = ["backbone", "block"]
CALIBRATION = [*HEAD, "seeds", "ece", "ece_spread"]
NOTE = (
    "Expected calibration error: over ten bins of confidence, the mean distance between confidence and the share of "
    "the labelled pixels that is right, weighted by pixels; nothing pauses. ± is the standard deviation over seeds."
)


def calibration_table(paths: Sequence[Path]) -> pd.DataFrame:
    """The expected calibration error of every head and of the final prediction (block 0), mean over the seeds.

    Args:
        paths: calibration.csv of every run, as stage `semantics` writes it.

    Returns:
        Columns `CALIBRATION`.

    Raises:
        PaumerError: a file is unusable, two hold the same run, or two rest on different data.
    """
    refuse_mixed_data(paths)
    rows = pd.concat([read_table(path, [*HEAD, "seed", "bin", "ece"]) for path in paths], ignore_index=True)
    refuse_duplicates(rows, [*HEAD, "seed", "bin"], "calibration")
    return over_seeds(rows.drop_duplicates([*HEAD, "seed"]), ["ece"], HEAD)[CALIBRATION].round(DECIMALS)


def calibration_sheet(calibration: pd.DataFrame) -> Sheet:
    """The error of each head, those of a backbone in the order of their blocks, and the final prediction last."""
    columns: Columns = {
        **named("backbone"),
        "prediction after block": lambda row: f"{row['block']:.0f}" if row["block"] else "last (final)",
        **named("seeds"),
        "calibration error": lambda row: with_spread(row["ece"], row["ece_spread"], 3),
    }
    return sheet_of(calibration, columns, [NOTE])
