"""Tables for a paper."""

import re
import shutil
import subprocess

import pytest

from paumer.reporting.sheets import Sheet
from paumer.reporting.writing import PAGE, latex, latex_text

NAMES = ["main", "headline", "methods", "classes", "criteria", "bounds"]
DOCUMENT = r"""\documentclass{article}
\usepackage[a4paper,margin=2cm]{geometry}
\usepackage{booktabs,longtable,graphicx}
\begin{document}
%s
\end{document}
"""


@pytest.mark.parametrize(
    ("plain", "escaped"),
    [
        ("merge>pause 5% & a_b", r"merge$>$pause 5\% \& a\_b"),
        ("drop <= 0.65 ± 0.1", r"drop $\le$ 0.65 $\pm$ 0.1"),
        ("-0.28", "$-$0.28"),
        ("1-6:0.08", "1-6:0.08"),  # no minus sign
        ("smaller-backbone", "smaller-backbone"),
    ],
)
def test_special_characters_and_minus_signs_are_written(plain, escaped):
    assert latex_text(plain) == escaped


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_as_many_cells_as_the_table_columns(reported, name):
    content = (reported.tables / f"{name}.tex").read_text()
    tables = re.findall(r"\\begin\{(?:tabular|longtable)\}\{([lr]+)\}(.*?)\\end\{", content, flags=re.DOTALL)
    assert tables
    for columns, body in tables:
        rows = [row for row in body.split("\n") if row.endswith(r"\\")]
        assert len(rows) > 1
        assert all(len(re.split(r"(?<!\\)&", row)) == len(columns) for row in rows)


def test_headings_are_broken_where_their_cells_are_narrow():
    content = latex(Sheet(["method", "drop of mIoU [95%]"], [["x", "0.25"]]))
    assert r"method & \shortstack[r]{drop of\\{}mIoU\\{}[95\%]} \\" in content


def test_a_table_longer_than_a_page_goes_on_on_the_next():
    sheets = [Sheet(["method", "a"], [["x", "1"]] * rows) for rows in (PAGE, PAGE + 1)]
    assert [r"\endhead" in latex(sheet) for sheet in sheets] == [False, True]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_tables_compile_and_fit_the_page(reported, tmp_path):
    tables = [(reported.tables / f"{name}.tex").read_text() for name in NAMES]
    (tmp_path / "paper.tex").write_text(DOCUMENT % "\n\\clearpage\n".join(tables), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert finished.returncode == 0, finished.stdout[-2000:]
    assert not re.findall(r"Overfull \\hbox \((?:[2-9]\d|\d{3,})\.", finished.stdout)
