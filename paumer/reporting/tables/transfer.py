"""The table of transfer: parameters chosen on another dataset, beside those chosen here for the same speed-up."""

import pandas as pd

from paumer.reporting.frames import METHOD
from paumer.reporting.sheets import (
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

ASKED = [*METHOD, "asked_speedup"]
SHOWN = ["schedule", "drop", "drop_spread", "drop_low", "drop_high", "speedup", "speedup_low", "speedup_high"]
NOTE = (
    "What was chosen in another experiment, applied unchanged, beside what was chosen here; both are measured on the "
    "reported split of this one. A cost above 0: choosing here is that much better."
)


def transfer_table(here: pd.DataFrame, there: pd.DataFrame) -> pd.DataFrame:
    """Put both choices of every method and speed-up beside each other.

    Args:
        here: the table at equal speed of what was chosen here.
        there: that of what was chosen in another experiment.

    Returns:
        Columns `ASKED`, method, seeds, those of `SHOWN` for what was chosen here, the same with the prefix `other_`,
        and `cost`: how much more the other choice drops, in points. Speed-ups that one of them lacks are left out.
    """
    shown = [name for name in SHOWN if name in here]
    others = there[[*ASKED, *shown]].rename(columns={name: f"other_{name}" for name in shown})
    joined = here[[*ASKED, "method", "seeds", *shown]].merge(others, on=ASKED)
    return joined.assign(cost=joined["other_drop"] - joined["drop"])


def transfer_sheets(table: pd.DataFrame) -> list[Sheet]:
    """A sheet for each backbone."""
    columns: Columns = {
        "asked (x)": rounded("asked_speedup", 2),
        **named("method"),
        "drop [95%]": drop_cell,
        "speed-up [95%]": speedup_cell,
        **named("schedule"),
        "drop of the other [95%]": lambda row: drop_cell(row, "other_"),
        "its speed-up [95%]": lambda row: speedup_cell(row, "other_"),
        "schedule of the other": "other_schedule",
        "cost (points)": rounded("cost", 2),
    }
    notes = [NOTE, spread_note(table), *few_seeds(table)]
    return [sheet_of(rows, columns, notes, title=str(name)) for name, rows in table.groupby("backbone", sort=False)]
