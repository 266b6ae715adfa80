"""Numbers and tables as people read them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
from tabulate import tabulate

from paumer.measurement.intervals import mean_interval

DECIMALS = 4
# What Markdown would not show as it is; `_` within words it does, and brackets that are no link.
SPECIAL = re.compile(r"[\\|*$`<~]|(?<!\w)_|_(?!\w)|\[(?=[^\]]*\]\()|&(?=#?\w+;)")
TEXT_HEADINGS = frozenset(
    [
        *("backbone", "decoder", "recipe", "strategy", "criterion", "schedule", "method", "class", "remark"),
        *("fastest", "smallest", "device", "type", "mode", "scope", "data", "environment", "value", "code", "timed"),
        *("source", "dataset", "setting", "timing", "same", "between", "variant", "architecture", "key", "measure"),
    ]
)


@dataclass(frozen=True)
class Sheet:
    """A table of finished text cells, with a heading over each column, a sentence above and notes below."""

    headings: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    title: str = ""
    opening: str = ""

    @property
    def aligned(self) -> list[str]:
        """`left` for columns of words, `right` for columns of numbers."""
        first_words = [heading.split(" ")[0] for heading in self.headings]
        return ["left" if word in TEXT_HEADINGS else "right" for word in first_words]


def joined(sheet: Sheet, heading: str, names: Sequence[str], by: str) -> Sheet:
    """One column in the place of several neighbours: their cells that are not empty, joined; no change without them."""
    if not set(names) <= set(sheet.headings):
        return sheet
    first = sheet.headings.index(names[0])
    rest = first + len(names)
    rows = [[*row[:first], by.join(filter(None, row[first:rest])), *row[rest:]] for row in sheet.rows]
    return replace(sheet, headings=[*sheet.headings[:first], heading, *sheet.headings[rest:]], rows=rows)


def narrowed(sheet: Sheet) -> Sheet:
    """Without the columns that say the same in every row; a note names what they say."""
    if len(sheet.rows) < 2:
        return sheet
    columns = list(zip(*sheet.rows, strict=True))
    same = [len(set(column)) == 1 for column in columns]
    said = [
        f"{heading} {column[0]}"
        for heading, column, left_out in zip(sheet.headings, columns, same, strict=True)
        if left_out and column[0]
    ]
    return replace(
        sheet,
        headings=[heading for heading, left_out in zip(sheet.headings, same, strict=True) if not left_out],
        rows=[[cell for cell, left_out in zip(row, same, strict=True) if not left_out] for row in sheet.rows],
        notes=[*([f"In all rows: {'; '.join(said)}."] if said else []), *sheet.notes],
    )


def number(value: float, decimals: int) -> str:
    """Round; an unknown number (NaN) is empty text."""
    return "" if pd.isna(value) else f"{value:.{decimals}f}"


def significant(value: float) -> str:
    """Three significant digits, or all digits before the point: 0.0123, 3.46, 1045."""
    if pd.isna(value) or value == 0:
        return number(value, 0)
    return number(value, max(0, 2 - math.floor(math.log10(abs(value)))))


def with_spread(mean: float, spread: float, decimals: int = 2) -> str:
    """`70.12 ± 0.30`; only the mean where the spread is unknown."""
    return number(mean, decimals) if pd.isna(spread) else f"{number(mean, decimals)} ± {number(spread, decimals)}"


def with_seeds(mean: float, spread: float, seeds: float, decimals: int = 2) -> str:
    """`0.25 [-0.16, 0.66]`: a mean over seeds with its 95% interval; only the mean of one seed."""
    low, high = (mean, mean) if pd.isna(spread) else mean_interval(mean, spread, int(seeds))
    return with_interval(mean, low, high, decimals)


def with_interval(value: float, low: float, high: float, decimals: int = 2) -> str:
    """`1.47 [1.45, 1.49]`; only the value where the interval is unknown or a point."""
    known = low < high
    return number(value, decimals) + (f" [{number(low, decimals)}, {number(high, decimals)}]" if known else "")


def with_range(value: float, low: float, high: float) -> str:
    """`0.71 (0.45 to 0.98)`; only the value where the range is unknown or a point."""
    return significant(value) + (f" ({significant(low)} to {significant(high)})" if low < high else "")


def csv(table: pd.DataFrame) -> str:
    """CSV text with a fixed number of decimals, so that the same numbers give the same bytes."""
    return table.to_csv(index=False, float_format=f"%.{DECIMALS}f", lineterminator="\n")


def as_text(cell: str) -> str:
    """A cell of a Markdown table that shows just these characters."""
    return SPECIAL.sub(r"\\\g<0>", cell)


def markdown(*sheets: Sheet) -> str:
    """Markdown tables, each under its title and opening sentence and over its notes."""
    parts = []
    for sheet in sheets:
        rows = [[as_text(cell) for cell in row] for row in sheet.rows]
        # Without numparse off, tabulate reads cells as numbers and changes them.
        table = tabulate(rows, sheet.headings, "pipe", disable_numparse=True, colalign=sheet.aligned or None)
        title = f"## {sheet.title}" if sheet.title else ""
        notes = "\n".join(f"- {note}" for note in sheet.notes)
        parts.append("\n\n".join(filter(None, [title, sheet.opening, table, notes])))
    return "\n\n".join(parts) + "\n"
