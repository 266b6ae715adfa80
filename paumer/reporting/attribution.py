"""Who loses what pausing costs: the patches that paused, or those that ran on without them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from paumer.provenance import refuse_mixed_data
from paumer.reporting.aggregate import over_seeds
from paumer.reporting.formatting import DECIMALS, Sheet, number
from paumer.reporting.reading import read_table, refuse_duplicates

SAME = ["backbone", "schedule"]
GROUPS = ["none", "paused", "running", "all"]
COLUMNS = [*SAME, "seeds", *GROUPS]
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
    return over_seeds(table, GROUPS, SAME).sort_values(SAME)[COLUMNS].round(DECIMALS)


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
