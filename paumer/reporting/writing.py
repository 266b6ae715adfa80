"""Frames as CSV, and sheets as Markdown and as LaTeX, which needs the packages booktabs, longtable and graphicx."""

import re
import textwrap
from collections.abc import Iterable, Sequence

import pandas as pd
from tabulate import tabulate

from paumer.reporting.sheets import DECIMALS, Sheet
from paumer.system.errors import as_text

LATEX_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"}
LATEX_SPECIAL |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX_SPECIAL |= {"<": "$<$", ">": "$>$", "±": r"$\pm$", "<=": r"$\le$", ">=": r"$\ge$"}
PAGE = 45  # rows; a longer table runs over several pages in LaTeX
NARROWEST = 8  # characters of a line of a heading in LaTeX
TITLE = "\\par\\noindent\\textbf{%s}\\par\\nopagebreak\\smallskip\\noindent\n"
SMALL = "\\scriptsize\n\\setlength{\\tabcolsep}{3pt}\n"
# A table that is too wide for its column becomes smaller.
FITTED = "\\sbox0{%s}%%\n\\ifdim\\wd0>\\linewidth\\resizebox{\\linewidth}{!}{\\usebox0}\\else\\usebox0\\fi%%\n"


def files_of(
    name: str, table: pd.DataFrame, sheets: Sequence[Sheet], printed: Sequence[Sheet] | None = None
) -> dict[str, str]:
    """The text of NAME.csv, NAME.md, and of NAME.tex unless `printed` is None; without sheets it is an empty file."""
    files = {f"{name}.csv": csv(table), f"{name}.md": markdown(*sheets)}
    return files | ({} if printed is None else {f"{name}.tex": latex(*printed)})


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


def latex(*sheets: Sheet) -> str:
    """LaTeX tables, each under its title and over its notes; a long one is a longtable, a wide one becomes smaller."""
    return "\n".join(map(_latex, sheets))


def _latex(sheet: Sheet) -> str:
    columns = "".join(aligned[0] for aligned in sheet.aligned)  # `l` or `r`
    below = zip(*sheet.rows, strict=True) if sheet.rows else [()] * len(columns)
    top = ["\\toprule", _latex_row(map(_latex_heading, sheet.headings, below, columns)), "\\midrule"]
    rows = [_latex_row(map(latex_text, row)) for row in sheet.rows]
    if len(rows) > PAGE:
        end = ["\\endhead", "\\bottomrule", "\\endfoot", *rows, "\\end{longtable}"]
        table = "\n".join([f"\\begin{{longtable}}{{{columns}}}", *top, *end])
    else:
        end = [*rows, "\\bottomrule", "\\end{tabular}"]
        table = FITTED % "\n".join([f"\\begin{{tabular}}{{{columns}}}", *top, *end])
    title = TITLE % latex_text(sheet.title) if sheet.title else ""
    notes = "".join(f"\\par{{\\footnotesize {latex_text(note)}\\par}}\n" for note in sheet.notes)
    return f"{title}{{{SMALL}{table}}}\n{notes}"


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_heading(heading: str, below: Sequence[str], aligned: str) -> str:
    """A heading in lines that are hardly wider than the cells below it."""
    lines = textwrap.wrap(heading, max(NARROWEST, *map(len, below), 0), break_long_words=False)
    text = r"\\{}".join(map(latex_text, lines))  # without {}, brackets that follow would be an option of \\
    return f"\\shortstack[{aligned}]{{{text}}}" if len(lines) > 1 else text


def latex_text(cell: str) -> str:
    """Plain text as LaTeX; the hyphen before a number becomes a minus sign."""
    escaped = re.sub(r"[<>]=|.", lambda found: LATEX_SPECIAL.get(found[0], found[0]), cell, flags=re.DOTALL)
    return re.sub(r"(?<![\w.:@)])-(?=\d)", "$-$", escaped)
