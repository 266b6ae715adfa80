"""Numbers and tables as people read them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
from tabulate import tabulate

from paumer.measurement.intervals import mean_interval
from paumer.system.files import as_text

DECIMALS = 4
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


LATEX_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"}
LATEX_SPECIAL |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX_SPECIAL |= {"<": "$<$", ">": "$>$", "±": r"$\pm$"}
SMALL = "\\scriptsize\n\\setlength{\\tabcolsep}{3pt}\n"
# A table that is too wide for its column becomes smaller.
FITTED = (
    "\\sbox0{{{table}}}%\n\\ifdim\\wd0>\\linewidth\\resizebox{{\\linewidth}}{{!}}{{\\usebox0}}\\else\\usebox0\\fi%\n"
)
# Rows of several columns' headings: text, columns.
Spans = Sequence[tuple[str, int]]


def text(cell: str) -> str:
    """Plain text as LaTeX; minus signs before numbers are as long as they should be."""
    compared = re.split("(<=|>=)", cell)
    escaped = [
        {"<=": r"$\le$", ">=": r"$\ge$"}.get(part)
        or "".join(LATEX_SPECIAL.get(character, character) for character in part)
        for part in compared
    ]
    return re.sub(r"(?<![\w.:@)])-(?=\d)", "$-$", "".join(escaped))


def tabular(sheet: Sheet, spans: Spans = (), turned: bool = False) -> str:
    """A tabular with its notes below.

    Args:
        sheet: its texts.
        spans: headings over several columns each.
        turned: write the headings from below upwards, but for the first.
    """
    heading = _turned(sheet.headings) if turned else _row(sheet.headings)
    parts = [f"\\begin{{tabular}}{{{_columns(sheet)}}}", "\\toprule", *_spanning(spans), heading, "\\midrule"]
    parts += [*map(_row, sheet.rows), "\\bottomrule", "\\end{tabular}"]
    return _titled(sheet) + "{" + SMALL + FITTED.format(table="\n".join(parts)) + "}\n" + notes(sheet)


def longtable(sheet: Sheet) -> str:
    """A table that may run over several pages, each with the headings."""
    parts = [f"\\begin{{longtable}}{{{_columns(sheet)}}}", "\\toprule", _row(sheet.headings), "\\midrule", "\\endhead"]
    parts += ["\\bottomrule", "\\endfoot", *map(_row, sheet.rows), "\\end{longtable}"]
    return _titled(sheet) + "{" + SMALL + "\n".join(parts) + "}\n" + notes(sheet)


def _columns(sheet: Sheet) -> str:
    return "".join("l" if aligned == "left" else "r" for aligned in sheet.aligned)


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(text, cells)) + r" \\"


def _turned(headings: Sequence[str]) -> str:
    first, *others = map(text, headings)
    return " & ".join([first, *(f"\\rotatebox{{90}}{{{heading}}}" for heading in others)]) + r" \\"


def _spanning(spans: Spans) -> list[str]:
    if not spans:
        return []
    cells, rules, at = [], [], 1
    for heading, columns in spans:
        cells.append(f"\\multicolumn{{{columns}}}{{c}}{{{text(heading)}}}" if heading else "")
        rules += [f"\\cmidrule(lr){{{at}-{at + columns - 1}}}"] if heading else []
        at += columns
    return [" & ".join(cells) + r" \\", "".join(rules)]


def _titled(sheet: Sheet) -> str:
    title = f"\\par\\noindent\\textbf{{{text(sheet.title)}}}\\par\\nopagebreak\\smallskip\\noindent\n"
    return title if sheet.title else ""


def notes(sheet: Sheet) -> str:
    """The notes of a sheet in LaTeX, a small paragraph each."""
    return "".join(f"\\par{{\\footnotesize {text(note)}\\par}}\n" for note in sheet.notes)
