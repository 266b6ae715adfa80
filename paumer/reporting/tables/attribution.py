"""The table of attribution: the patches, paused or running, that lose what pausing costs."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.reporting.reading import read_table, refuse_duplicates, refuse_mixed_data
from paumer.reporting.sheets import DECIMALS, Columns, Row, Sheet, named, number, rounded, sheet_of
from paumer.reporting.tables.main import over_seeds

PAUSED_AT = ["backbone", "schedule"]
GROUPS = ["none", "paused", "running", "all"]
ATTRIBUTION = [*PAUSED_AT, "seeds", *GROUPS]
ATTRIBUTION_NOTE = (
    "Recipe paumer, pausing by entropy; points of mIoU below the same network unpaused. In the last two columns the "
    "predictions of these patches come from the network that pauses, and all others from the network that does not."
)


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
    columns: Columns = {
        **named(*PAUSED_AT, "seeds"),
        "mIoU unpaused": rounded("none", 2),
        "drop": lambda row: _lost(row, "all"),
        "in patches that pause": lambda row: _lost(row, "paused"),
        "in those that run on": lambda row: _lost(row, "running"),
    }
    return sheet_of(attribution, columns, [ATTRIBUTION_NOTE])


def _lost(row: Row, group: str) -> str:
    return number(row["none"] - row[group], 2)
