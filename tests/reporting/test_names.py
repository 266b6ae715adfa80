"""Names of classes may hold any printable character: tables stay tables, figures show what is meant."""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image

from paumer.reporting.figures import fonts
from paumer.reporting.figures.drawing import panels, save_as, style
from paumer.reporting.sheets import Sheet
from paumer.reporting.writing import markdown

# Of an area that no font of the machine has: in the font of these tests, and in none.
OWN, NONE = "\U0010fffc", "\U0010fffd"
FAMILY = "Font of a test"


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1))
@example("a|b")
@example("cost $x^2$")
@example("\\|*`<b>`*|\\")
@example("_a_b_")
@example("[a](b)")
@example("&copy;&#9;")
@example("~~a~~")
@example("0__")
def test_a_cell_of_markdown_shows_its_text(name: str) -> None:
    *_, row = markdown(Sheet(["class", "drop"], [[name, "1.00"]])).strip("\n").split("\n")
    cells = re.findall(r"\|((?:\\.|[^|\\])*)", row.rstrip()[:-1])  # as GitHub's Markdown splits them
    assert [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in cells] == [name, "1.00"]
    assert not re.search(r"(?<!\\)([$`*<~]|\[.*\]\(|&#?\w+;|\b_|_\b)", re.sub(r"\\\\", "", cells[0]))


def test_dollars_are_no_formula() -> None:
    def width(text: str) -> float:
        figure = Figure()
        figure.text(0, 0, text, fontsize=10)
        return figure.texts[0].get_window_extent().width

    with style():
        drawn = width("cost $x^2$")
    with mpl.rc_context({"text.parse_math": True}):
        assert drawn == pytest.approx(width(r"cost \$x^2\$"))
        assert drawn != pytest.approx(width("cost $x^2$"))


@pytest.fixture
def own_font(tmp_path: Path) -> Iterator[str]:
    """The family of an installed font that has a character which no other has."""
    builder = FontBuilder(1000, isTTF=True)
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for point in ((0, 900), (900, 900), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    builder.setupGlyphOrder([".notdef", "own"])
    builder.setupCharacterMap({ord(OWN): "own"})
    square = pen.glyph()
    builder.setupGlyf({".notdef": square, "own": square})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "own": (1000, 0)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": FAMILY, "styleName": "Regular", "psName": "FontOfATest"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "own.ttf")
    before = list(fontManager.ttflist)
    fontManager.addfont(tmp_path / "own.ttf")
    forget()
    yield FAMILY
    fontManager.ttflist[:] = before
    forget()


def forget() -> None:
    for function in (fonts._families, fonts._installed):
        function.cache_clear()


def ink(folder: Path) -> int:
    """How many dark pixels a figure has."""
    return int((np.asarray(Image.open(folder / "figure.png").convert("L")) < 100).sum())


def figure_of(name: str, folder: Path) -> Figure:
    """A figure whose axis names a class, saved in every format."""
    with style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, [(_, [panel])] = panels(pd.DataFrame({"backbone": ["network"]}))
        panel.set_yticks([0, 1], [name, "road"])
        save_as(figure, [folder / f"figure.{ending}" for ending in ("png", "svg", "pdf")])
    return figure


def test_a_font_that_has_the_characters_is_used(
    own_font: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    figure = figure_of(f"a {OWN}", tmp_path)
    named, plain = figure.axes[0].get_yticklabels()
    assert named.get_fontfamily() == ["sans-serif", own_font]
    assert own_font not in plain.get_fontfamily()
    assert capfd.readouterr().err == ""
    shown = ink(tmp_path)
    assert b"FontOfATest" not in (tmp_path / "figure.pdf").read_bytes()  # but outlines, which every reader shows
    figure_of("a", tmp_path)
    assert shown > ink(tmp_path) + 100  # a square


def test_characters_that_no_font_has_are_named_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    forget()
    for name in (f"a {NONE}", f"{NONE} b"):
        figure_of(name, tmp_path)
    [line] = capfd.readouterr().err.splitlines()
    assert f"no installed font has {NONE}" in line
    assert "install one" in line
