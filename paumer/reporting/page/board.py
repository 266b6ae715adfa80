"""The page of a board: methods at equal speed on every machine, accuracy, speeds, and where they come from."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from paumer.reporting.page.rendering import scripts, templates
from paumer.reporting.sheets import (
    Columns,
    Sheet,
    drop_cell,
    few_seeds,
    miou_cell,
    named,
    narrowed,
    rounded,
    sheet_of,
    significant,
    speedup_cell,
    spread_note,
)
from paumer.reporting.timings import LACKING, pixels

KNOWN: Columns = named("data", "settings", "revision")


def board_page(
    equal: pd.DataFrame, pooled: pd.DataFrame, speeds: pd.DataFrame, sources: Sequence[Mapping[str, Any]]
) -> str:
    """The page as HTML that needs no other file.

    Args:
        equal: the best operating points at equal speed, see `paumer.reporting.merge.equal_speed`.
        pooled: accuracy over seeds, see `paumer.reporting.merge.pool`.
        speeds: rows of throughput.csv of every source, with source, machine and revision.
        sources: their descriptions, see `Source.describe`.
    """
    context = {
        "equal": equal_sheets(equal),
        "accuracy": narrowed(_accuracy_sheet(pooled)),
        "speeds": narrowed(_speed_sheet(speeds)),
        "sources": _source_sheet(sources),
        "scripts": scripts("common", "tables", "board"),
    }
    return templates().get_template("board.html.j2").render(context)


def equal_sheets(equal: pd.DataFrame) -> list[Sheet]:
    """A sheet for each machine."""
    columns: Columns = {
        "asked (x)": rounded("asked_speedup", 2),
        **named("backbone", "family", "method", "schedule"),
        "drop (points) [95%]": drop_cell,
        "speed-up [95%]": speedup_cell,
        "seeds": rounded("seeds", 0),
        "tried": rounded("tried", 0),
        "chosen on": "chosen_on",
        **{"type": "dtype", "mode": "mode", "scope": "scope", "input (pixels)": pixels, "batch": rounded("batch", 0)},
        **KNOWN,
        **named("source"),
    }
    return [
        narrowed(sheet_of(rows, columns, [spread_note(rows), *few_seeds(rows)], title=str(machine)))
        for machine, rows in equal.groupby("machine", sort=False)
    ]


def _accuracy_sheet(pooled: pd.DataFrame) -> Sheet:
    columns: Columns = {
        **named("backbone", "decoder", "method", "schedule"),
        "seeds": rounded("seeds", 0),
        "mIoU (points)": miou_cell,
        "drop (points) [95%]": drop_cell,
        **KNOWN,
    }
    return sheet_of(pooled, columns)


def _speed_sheet(speeds: pd.DataFrame) -> Sheet:
    columns: Columns = {
        **named("machine", "backbone", "recipe", "strategy", "criterion", "schedule"),
        **{"type": "dtype", "mode": "mode", "scope": "scope", "input (pixels)": pixels, "batch": rounded("batch", 0)},
        "images/s": lambda row: LACKING.get(row["status"]) or significant(row["images_per_s"]),
        "speed-up [95%]": speedup_cell,
        **named("revision", "source"),
    }
    return sheet_of(speeds, columns)


def _source_sheet(sources: Sequence[Mapping[str, Any]]) -> Sheet:
    """Which folder holds how many runs, and what timed it."""
    rows = []
    for source in sources:
        timed = source["timed"]
        environment, code = timed["environment"] or {}, timed["code"] or {}
        rows.append(
            [
                *(source["source"], source["experiment"], environment.get("device", "not timed")),
                *(environment.get("torch", ""), code.get("revision", ""), str(len(source["runs"]))),
            ]
        )
    return Sheet(["source", "experiment", "device", "torch", "revision", "runs"], rows)
