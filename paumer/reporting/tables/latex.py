"""Tables for a paper in LaTeX. They need the packages booktabs, longtable and graphicx."""

import re
from collections.abc import Sequence

import pandas as pd

from paumer.reporting.frames import at_largest_batch, is_dense, method_names
from paumer.reporting.sheets import Sheet, number, significant, with_interval, with_seeds, with_spread
from paumer.reporting.tables.main import NOT_TIMED, methods_notes, paper_notes, rate_cell
from paumer.reporting.tables.selection import CLAIM

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
    return _titled(sheet) + "{" + SMALL + FITTED.format(table="\n".join(parts)) + "}\n" + _notes(sheet)


def longtable(sheet: Sheet) -> str:
    """A table that may run over several pages, each with the headings."""
    parts = [f"\\begin{{longtable}}{{{_columns(sheet)}}}", "\\toprule", _row(sheet.headings), "\\midrule", "\\endhead"]
    parts += ["\\bottomrule", "\\endfoot", *map(_row, sheet.rows), "\\end{longtable}"]
    return _titled(sheet) + "{" + SMALL + "\n".join(parts) + "}\n" + _notes(sheet)


def latex_main(main: pd.DataFrame, warnings: Sequence[str]) -> str:
    """Every operating point at its backbone's largest batch, a table for each backbone."""
    tables = []
    points = at_largest_batch(main)
    for backbone, rows in points.groupby("backbone", sort=False):
        batch = rows["batch"].iloc[0]
        headings = ["method", "schedule", "mIoU", "drop", "GMAC", f"images/s, batch {batch}", "speed-up [95%]"]
        cells = [
            [
                *(row["method"], row["schedule"]),
                with_spread(row["miou"], row["miou_spread"]),
                with_seeds(row["drop"], row["drop_spread"], row["seeds"]),
                *(significant(row["gmac"]), _rate(row), _speedup(row)),
                number(row["floor_ratio"], 2),
            ]
            for row in rows.assign(method=method_names(rows)).to_dict("records")
        ]
        tables.append(longtable(Sheet([*headings, "time / floor"], cells, title=str(backbone))))
    return "\n".join(tables) + _notes(Sheet([], [], [*paper_notes(main), *warnings]))


def latex_methods(methods: pd.DataFrame, warnings: Sequence[str]) -> str:
    """The two questions of the claim, a table for each backbone, and the published claims below each."""
    tables = []
    spans = [
        ("", 1),
        (f"fastest at drop <= {CLAIM.drop:g}", 3),
        (f"smallest drop at speed-up >= {CLAIM.speedup:g}", 3),
    ]
    measured = methods["remark"] == ""
    claims = methods[~measured].to_dict("records")
    for backbone, rows in methods[measured].groupby("backbone", sort=False):
        headings = ["method", *(2 * ["schedule", "speed-up [95%]", "drop"])]
        cells = [
            [row["method"], *_answer(row, "fastest"), *_answer(row, "most_accurate")] for row in rows.to_dict("records")
        ]
        cells += [
            [f"claimed for {row['backbone']}", *_answer(row, "fastest"), *_answer(row, "most_accurate")]
            for row in claims
        ]
        title = f"{backbone}, batch {number(rows['batch'].iloc[0], 0)}"
        tables.append(tabular(Sheet(headings, cells, title=title), spans))
    claimed = "Claims are those of PAUMER's abstract, on other data and devices."
    return "\n".join(tables) + _notes(Sheet([], [], [*methods_notes(methods), claimed, *warnings]))


def latex_classes(classes: pd.DataFrame) -> str:
    """Drop of every class, a column each, below the IoU of the dense network; a table for each backbone."""
    tables = []
    for backbone, rows in classes.groupby("backbone", sort=False):
        dense = rows[is_dense(rows)].set_index("class")["iou"]
        others = rows[~is_dense(rows)]
        others = others.assign(point=method_names(others) + " " + others["schedule"])
        wide = others.pivot_table(index="point", columns="class", values="drop", sort=False)
        cells = [["IoU of dense", *(number(value, 1) for value in dense)]]
        cells += [[str(point), *(number(value, 1) for value in row[dense.index])] for point, row in wide.iterrows()]
        note = "Drop of the IoU of each class in points, counted from the network trained and run without pausing."
        tables.append(tabular(Sheet(["method", *dense.index], cells, [note], title=str(backbone)), turned=True))
    return "\n".join(tables)


def _answer(row: dict, group: str) -> list[str]:
    speedup = with_interval(*(row[f"{group}_{name}"] for name in ("speedup", "speedup_low", "speedup_high")))
    return [row[f"{group}_schedule"], speedup, _dropped(row, group)]


def _dropped(row: dict, group: str) -> str:
    return with_seeds(row[f"{group}_drop"], row[f"{group}_drop_spread"], row["seeds"])


def _rate(row: dict) -> str:
    return NOT_TIMED if pd.isna(row["images_per_s"]) else rate_cell(row, row["images_per_s"])


def _speedup(row: dict) -> str:
    return with_interval(*(row[name] for name in ("speedup", "speedup_low", "speedup_high")))


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


def _notes(sheet: Sheet) -> str:
    return "".join(f"\\par{{\\footnotesize {text(note)}\\par}}\n" for note in sheet.notes)
