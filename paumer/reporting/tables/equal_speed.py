"""The table of methods at equal speed: the parameters of each that were chosen for a speed-up, and what they lose."""

from pathlib import Path

import pandas as pd

from paumer.reporting.frames import METHOD, POINT, at_largest_batch, sorted_by
from paumer.reporting.reading import join, read_table
from paumer.reporting.sheets import (
    LARGEST_BATCH,
    Columns,
    Sheet,
    drop_cell,
    few_seeds,
    named,
    rounded,
    sheet_of,
    speedup_cell,
    spread_note,
)

TABLE = [*METHOD, "method", "schedule", "seeds", "asked_speedup", "candidates", "chosen_drop", "drop"]
CHOSEN = ["asked_speedup", "candidates", "select_drop"]
EQUAL = (
    "Of every method the same number of parameters was tried for each speed-up, or as many as it has; the best on a "
    "split of its own is reported on another. Speed-ups were asked of a prediction; those in the table were measured "
    "afterwards, interleaved."
)


def equal_speed_table(main: pd.DataFrame, chosen: Path) -> pd.DataFrame:
    """What was chosen for each speed-up, as measured on the reported split, at the largest batch.

    Args:
        main: the main table.
        chosen: chosen.csv.

    Returns:
        Columns of the main table, `asked_speedup`, `candidates` and `chosen_drop`, the drop where it was chosen; from
        the smallest speed-up on, and for each from the smallest drop on.

    Raises:
        PaumerError: the file is unusable, or an operating point in it was not evaluated.
    """
    points = at_largest_batch(main)
    table = read_table(chosen, [*POINT, *CHOSEN]).rename(columns={"select_drop": "chosen_drop"})
    joined = join(table, points, POINT, "accuracy and throughput", "evaluate and time it: run the workflow again")
    return sorted_by(joined, ["backbone", "asked_speedup", "drop", "recipe", "strategy", "schedule", "criterion"])


def equal_speed_sheets(table: pd.DataFrame) -> list[Sheet]:
    """A sheet for each backbone."""
    columns: Columns = {
        "asked (x)": rounded("asked_speedup", 2),
        **named("method"),
        "drop (points) [95%]": drop_cell,
        "speed-up [95%]": speedup_cell,
        "drop where chosen": rounded("chosen_drop", 2),
        "tried": rounded("candidates", 0),
        **named("schedule"),
    }
    notes = [EQUAL, spread_note(table), LARGEST_BATCH, *few_seeds(table)]
    groups = table.groupby("backbone", sort=False)
    return [sheet_of(rows, columns, notes, title=str(backbone)) for backbone, rows in groups]
