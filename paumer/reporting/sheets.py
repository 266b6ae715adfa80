"""Sheets: tables of finished text cells, and how they become Markdown and LaTeX; how numbers are written.

The LaTeX needs the packages booktabs, longtable and graphicx.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
from tabulate import tabulate

from paumer.measurement.intervals import mean_interval
from paumer.system.errors import as_text

DECIMALS = 4
# Columns that hold text, and first words of headings of columns that do; all others hold numbers.
TEXT = frozenset(
    [
        *("experiment", "backbone", "architecture", "decoder", "recipe", "strategy", "criterion", "schedule", "method"),
        *("device", "dtype", "type", "mode", "scope", "status", "bound", "class", "variant", "measure", "timed"),
        *("source", "dataset", "setting", "timing_note", "timing", "same", "between", "remark", "key", "value"),
        *("fastest_schedule", "fastest", "most_accurate_schedule", "smallest", "data", "environment", "code"),
        *("group", "bin", "target"),
    ]
)
# Cells and notes that several tables have.
NOT_TIMED = "not timed"
SPREAD = (
    "Drop is counted in mIoU points from the network trained and run without pausing. ± is the standard deviation over "
    "seeds; brackets hold 95% intervals: of a drop that of its mean over seeds (Student's t, which knows of training "
    "again and not of other images), of a speed-up that over rounds."
)
FEW_SEEDS = "Fewer than three seeds: differences between methods may be chance."
LARGEST_BATCH = "Speed-ups are those at the backbone's largest batch."
LATEX_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"}
LATEX_SPECIAL |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX_SPECIAL |= {"<": "$<$", ">": "$>$", "±": r"$\pm$", "<=": r"$\le$", ">=": r"$\ge$"}
SMALL = "\\scriptsize\n\\setlength{\\tabcolsep}{3pt}\n"
# A table that is too wide for its column becomes smaller.
FITTED = (
    "\\sbox0{{{table}}}%\n\\ifdim\\wd0>\\linewidth\\resizebox{{\\linewidth}}{{!}}{{\\usebox0}}\\else\\usebox0\\fi%\n"
)
Row = Mapping[Any, Any] | pd.Series
Cell = Callable[[Row], str]
# Headings over several columns: text, number of columns.
Spans = Sequence[tuple[str, int]]


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


def sheet_of(table: pd.DataFrame, columns: Mapping[str, str | Cell], notes: Sequence[str] = (), **words: str) -> Sheet:
    """A sheet with a row for each row of a table.

    Args:
        table: the table.
        columns: for each heading the name of the column whose text is shown, or a function from row to cell.
        notes: below the table.
        words: title and opening of the sheet.
    """
    rows = [
        [cell(row) if callable(cell) else str(row[cell]) for cell in columns.values()]
        for row in table.to_dict("records")
    ]
    return Sheet(list(columns), rows, list(notes), **words)


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


def speedup_cell(row: Row, prefix: str = "", decimals: int = 2) -> str:
    """The speed-up of a row with its 95% interval, from the columns speedup, speedup_low and speedup_high."""
    value, low, high = (row[f"{prefix}speedup{end}"] for end in ("", "_low", "_high"))
    return with_interval(value, low, high, decimals)


def drop_cell(row: Row, prefix: str = "") -> str:
    """The drop of a row with its 95% interval, from the columns drop and drop_spread, and seeds."""
    return with_seeds(row[f"{prefix}drop"], row[f"{prefix}drop_spread"], row["seeds"])


def few_seeds(table: pd.DataFrame) -> list[str]:
    """The note on too few seeds, where a row has fewer than three."""
    return [FEW_SEEDS] if (table["seeds"] < 3).any() else []


def csv(table: pd.DataFrame) -> str:
    """CSV text with a fixed number of decimals, so that the same numbers give the same bytes."""
    return table.to_csv(index=False, float_format=f"%.{DECIMALS}f", lineterminator="\n")


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


def latex_text(cell: str) -> str:
    """Plain text as LaTeX; the hyphen before a number becomes a minus sign."""
    escaped = re.sub(r"[<>]=|.", lambda found: LATEX_SPECIAL.get(found[0], found[0]), cell, flags=re.DOTALL)
    return re.sub(r"(?<![\w.:@)])-(?=\d)", "$-$", escaped)


def latex(*sheets: Sheet, spans: Spans = (), turned: bool = False, paged: bool = False) -> str:
    """LaTeX tables, each under its title and over its notes.

    Args:
        sheets: the tables.
        spans: headings over several columns each, in a line of their own above the others.
        turned: write the headings from below upwards, but for the first.
        paged: a longtable, which may run over several pages, each with the headings; otherwise a tabular.
    """
    return "\n".join(_latex(sheet, spans, turned, paged) for sheet in sheets)


def _latex(sheet: Sheet, spans: Spans, turned: bool, paged: bool) -> str:
    first, *others = map(latex_text, sheet.headings)
    headings = [first, *(f"\\rotatebox{{90}}{{{heading}}}" if turned else heading for heading in others)]
    columns = "".join(aligned[0] for aligned in sheet.aligned)  # `l` or `r`
    top = ["\\toprule", *_spanning(spans), _latex_row(headings), "\\midrule"]
    rows = [_latex_row(map(latex_text, row)) for row in sheet.rows]
    if paged:
        end = ["\\endhead", "\\bottomrule", "\\endfoot", *rows, "\\end{longtable}"]
        table = "\n".join([f"\\begin{{longtable}}{{{columns}}}", *top, *end])
    else:
        end = [*rows, "\\bottomrule", "\\end{tabular}"]
        table = FITTED.format(table="\n".join([f"\\begin{{tabular}}{{{columns}}}", *top, *end]))
    title = f"\\par\\noindent\\textbf{{{latex_text(sheet.title)}}}\\par\\nopagebreak\\smallskip\\noindent\n"
    return f"{title if sheet.title else ''}{{{SMALL}{table}}}\n{latex_notes(sheet.notes)}"


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def latex_notes(notes: Sequence[str]) -> str:
    """Notes in LaTeX, a small paragraph each."""
    return "".join(f"\\par{{\\footnotesize {latex_text(note)}\\par}}\n" for note in notes)


def _spanning(spans: Spans) -> list[str]:
    """The line of headings over several columns, and the rules below them."""
    cells, rules, at = [], [], 1
    for heading, columns in spans:
        cells.append(f"\\multicolumn{{{columns}}}{{c}}{{{latex_text(heading)}}}" if heading else "")
        rules += [f"\\cmidrule(lr){{{at}-{at + columns - 1}}}"] if heading else []
        at += columns
    return [_latex_row(cells), "".join(rules)] if spans else []
