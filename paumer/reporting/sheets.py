"""Sheets: tables of finished text cells, made from frames; and how numbers are written in them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from paumer.measurement.intervals import mean_interval

DECIMALS = 4
# Columns that hold text, and first words of headings of columns that do; all others hold numbers.
TEXT = frozenset(
    [
        *("experiment", "backbone", "architecture", "decoder", "recipe", "strategy", "criterion", "schedule", "method"),
        *("device", "dtype", "type", "mode", "scope", "status", "bound", "class", "variant", "measure", "timed"),
        *("source", "dataset", "setting", "timing_note", "timing", "same", "between", "remark", "key", "value"),
        *("fastest_schedule", "fastest", "most_accurate_schedule", "smallest", "data", "environment", "code"),
        *("group", "bin", "target", "corruption", "family", "machine", "revision", "revisions", "settings", "chosen"),
    ]
)
# Cells and notes that several tables have.
NOT_TIMED = "not timed"
SPREAD = (
    "Drop is counted in mIoU points from the network trained and run without pausing. ± is the standard deviation over "
    "seeds; brackets hold 95% intervals: of a drop that of its mean over seeds (Student's t, which knows of training "
    "again and not of other images), of a speed-up that over rounds."
)
RESAMPLED = (
    "Drop is counted in mIoU points from the network trained and run without pausing. ± is the standard deviation over "
    "seeds; brackets hold 95% intervals: of a drop over seeds and blocks of images that are drawn anew (paired "
    "bootstrap), of a speed-up over rounds."
)
FEW_SEEDS = "Fewer than three seeds: differences between methods may be chance."
LARGEST_BATCH = "Speed-ups are those at the backbone's largest batch."
Row = Mapping[Any, Any] | pd.Series
Cell = Callable[[Row], str]
Columns = dict[str, str | Cell]  # for each heading the name of the column whose text is shown, or a function to cells


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
        """`left` for columns of text, whose headings begin with the name of such a column; `right` for numbers."""
        return ["left" if heading.split(" ")[0] in TEXT else "right" for heading in self.headings]


def sheet_of(table: pd.DataFrame, columns: Columns, notes: Sequence[str] = (), **words: str) -> Sheet:
    """A sheet with a row for each row of a table, with notes below; `words` are its title and opening."""
    rows = [
        [cell(row) if callable(cell) else str(row[cell]) for cell in columns.values()]
        for row in table.to_dict("records")
    ]
    return Sheet(list(columns), rows, list(notes), **words)


def beside(first: Sheet, *others: Sheet) -> Sheet:
    """Sheets with the same rows side by side, with the words and notes of the first."""
    sheets = (first, *others)
    rows = [[cell for cells in row for cell in cells] for row in zip(*(sheet.rows for sheet in sheets), strict=True)]
    return replace(first, headings=[heading for sheet in sheets for heading in sheet.headings], rows=rows)


def crossed(rows: pd.DataFrame, table: pd.DataFrame, on: str | list[str], column: str, cell: Cell) -> pd.DataFrame:
    """Put cells of a long table beside rows: a further column for each value of `column`, empty where it has none.

    Args:
        rows: a row for each value of `on`.
        table: the long table, a row for each value of `on` and `column`.
        on: columns of both.
        column: of the long table; its values become names of columns.
        cell: from a row of the long table to text.
    """
    cells = table.assign(cell=[cell(row) for row in table.to_dict("records")])
    wide = cells.pivot(index=on, columns=column, values="cell")
    return rows.merge(wide, how="left", on=on).fillna(dict.fromkeys(wide.columns, ""))


def sheets_of(
    table: pd.DataFrame, columns: Columns, others: Columns, most: int, notes: Sequence[str], title: str
) -> list[Sheet]:
    """Sheets with `columns` and at most so many `others` each; one sheet where there are no others."""
    parts = [list(others)[start : start + most] for start in range(0, max(1, len(others)), most)]
    return [
        sheet_of(table, columns | {heading: others[heading] for heading in part}, notes, title=title) for part in parts
    ]


def named(*names: str) -> Columns:
    """Columns with their names as headings."""
    return {name: name for name in names}


def rounded(name: str, decimals: int) -> Cell:
    """Cells with the numbers of a column, see `number`."""
    return lambda row: number(row[name], decimals)


def digits(name: str) -> Cell:
    """Cells with the numbers of a column, see `significant`."""
    return lambda row: significant(row[name])


def joined(sheet: Sheet, heading: str, names: Sequence[str], by: str) -> Sheet:
    """Replace neighbouring columns by one with their non-empty cells, joined; no change where one is missing."""
    if not set(names) <= set(sheet.headings):
        return sheet
    first = sheet.headings.index(names[0])
    rest = first + len(names)
    rows = [[*row[:first], by.join(filter(None, row[first:rest])), *row[rest:]] for row in sheet.rows]
    return replace(sheet, headings=[*sheet.headings[:first], heading, *sheet.headings[rest:]], rows=rows)


def narrowed(sheet: Sheet) -> Sheet:
    """Drop the columns with one value in all rows; a note names these values."""
    if len(sheet.rows) < 2:
        return sheet
    columns = list(zip(*sheet.rows, strict=True))
    kept = [place for place, cells in enumerate(columns) if len(set(cells)) > 1]
    same = [
        f"{sheet.headings[place]} {cells[0]}" for place, cells in enumerate(columns) if place not in kept and cells[0]
    ]
    return replace(
        sheet,
        headings=[sheet.headings[place] for place in kept],
        rows=[[row[place] for place in kept] for row in sheet.rows],
        notes=[*([f"In all rows: {'; '.join(same)}."] if same else []), *sheet.notes],
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


def miou_cell(row: Row) -> str:
    """The mIoU of a row with its standard deviation over the seeds."""
    return with_spread(row["miou"], row["miou_spread"])


def speedup_cell(row: Row, prefix: str = "", decimals: int = 2) -> str:
    """The speed-up of a row with its 95% interval, from the columns speedup, speedup_low and speedup_high."""
    value, low, high = (row[f"{prefix}speedup{end}"] for end in ("", "_low", "_high"))
    return with_interval(value, low, high, decimals)


def drop_cell(row: Row, prefix: str = "") -> str:
    """The drop of a row with its 95% interval: from drop_low and drop_high, or else from drop_spread and seeds."""
    if f"{prefix}drop_low" in row:
        return with_interval(*(row[f"{prefix}drop{end}"] for end in ("", "_low", "_high")))
    return with_seeds(row[f"{prefix}drop"], row[f"{prefix}drop_spread"], row["seeds"])


def spread_note(table: pd.DataFrame) -> str:
    """The note on what the intervals of a table say."""
    return RESAMPLED if any(name.endswith("drop_low") for name in table.columns) else SPREAD


def few_seeds(table: pd.DataFrame) -> list[str]:
    """The note on too few seeds, where a row has fewer than three."""
    return [FEW_SEEDS] if (table["seeds"] < 3).any() else []
