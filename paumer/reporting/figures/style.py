"""How all figures look, and how they are saved.

Fonts for names that matplotlib's usual one cannot write, such as Chinese ones.
"""

import math
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.patheffects import Normal
from matplotlib.text import Text

from paumer.reporting.sheets import csv
from paumer.system.files import write_text, writing

BOXES = "last resort"  # a font of boxes, one for every character


@contextmanager
def all_characters(figure: Figure) -> Iterator[None]:
    """Within the block every text of a figure has the installed fonts that it needs.

    Characters that no installed font has are named on standard error, once.
    """
    texts = figure.findobj(Text)
    lacking = [_lacking(findfont(text.get_fontproperties()), text.get_text()) for text in texts]
    families = _families(frozenset().union(*lacking))
    for text, characters in zip(texts, lacking, strict=True):
        if characters:
            text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), *families])))
            text.set_path_effects([Normal()])  # as outlines: PDF readers show nothing of many such fonts
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # said above
        yield


@cache
def _families(characters: frozenset[str]) -> tuple[str, ...]:
    """The fewest installed fonts that have these characters."""
    chosen: list[str] = []
    left = set(characters)
    while left:
        lacked = ((name, _lacking(path, left)) for path, name in _installed())
        family, lacking = min(lacked, key=lambda one: len(one[1]))
        if len(lacking) == len(left):
            print(
                f"no installed font has {''.join(sorted(left))}: figures show boxes there; install one, such as the "
                "package fonts-noto-cjk for Chinese, Japanese and Korean, and draw them again",
                file=sys.stderr,
            )
            break
        chosen.append(family)
        left = lacking
    return tuple(chosen)


@cache
def _installed() -> tuple[tuple[str, str], ...]:
    """Files and families of all fonts."""
    return tuple(sorted({(font.fname, font.name) for font in fontManager.ttflist if BOXES not in font.name.lower()}))


def _lacking(path: str, characters: str | set[str]) -> set[str]:
    """The characters, but for blanks, that a font lacks."""
    font = _opened(path)
    return {one for one in characters if not one.isspace() and not font.get_char_index(ord(one))}


@cache
def _opened(path: str) -> FT2Font:
    return FT2Font(path)


Marker = str | tuple[int, int, int]
# Told apart with the usual colour-blindness as well (after Okabe and Ito, and Tol).
COLOURS = (
    *("#0173B2", "#DE8F05", "#029E73", "#D55E00", "#CC78BC", "#56B4E9"),
    *("#8C5A2B", "#332288", "#882255", "#999933", "#44AA99"),
)
# Names, and (points, 0: polygon or 1: star, degrees turned), the plainest first.
MARKERS: tuple[Marker, ...] = (
    *("o", "s", "D", "^", "v", "P", "X", "<", ">", "p", "d"),
    *((4, 1, 0), "h", (3, 1, 0), "8", (6, 1, 0), (4, 1, 45), (3, 1, 180), (5, 0, 180), "H", (3, 1, 90), (3, 1, 270)),
)
HATCHES = ("", "///", "...", "xxx", "\\\\\\")
LINES = ("-", "--", ":", "-.")
PALE = 0.4


@dataclass(frozen=True)
class Format:
    """The size of a figure and of what is in it.

    Attributes:
        name: in file names; empty for screens.
        width: of the whole figure in inches; None: as wide as its panels.
        across: most panels beside each other.
        scale: of texts, lines, markers and heights.
    """

    name: str
    width: float | None
    across: int
    scale: float


SCREEN = Format("", None, 9, 1.0)
# For a paper with two columns of 85 mm and 10 mm between them: texts of 6 to 7 points.
PAPER = (Format("one_column", 85 / 25.4, 1, 0.7), Format("two_columns", 180 / 25.4, 2, 0.7))
_format = ContextVar("format", default=SCREEN)


@contextmanager
def style(chosen: Format = SCREEN) -> Iterator[None]:
    """Colours and sizes for all figures; the same data give the same bytes, whose fonts are embedded."""
    import seaborn as sns  # takes a second, which the report, with colours alone, need not wait for

    sizes = {name: chosen.scale * value for name, value in sns.plotting_context("notebook", font_scale=0.85).items()}
    settings: Any = {"svg.hashsalt": "paumer", "svg.fonttype": "path", "pdf.fonttype": 42, "figure.dpi": 100}
    settings |= {"axes.titlesize": 11 * chosen.scale, "legend.frameon": False, "axes.titlepad": 6 * chosen.scale}
    settings |= {"text.parse_math": False}  # names of classes may hold `$`
    token = _format.set(chosen)
    try:
        with (
            sns.axes_style("whitegrid", {"grid.color": "0.92", "axes.edgecolor": "0.6"}),
            mpl.rc_context(sizes | settings),
        ):
            yield
    finally:
        _format.reset(token)


def sized(points: float) -> float:
    """A length in points, such as a line's width, as long as the format wants it."""
    return points * _format.get().scale


def figure_width(inches: float) -> float:
    """The width of a whole figure, or on a screen the one that it wants."""
    return _format.get().width or inches


def beside(panels: int) -> int:
    """How many of so many panels fit beside each other."""
    return min(panels, _format.get().across)


def save(figure: Figure, data: pd.DataFrame, folder: Path, name: str, endings: Iterable[str] = ("png",)) -> None:
    """Write the figure in the formats that the endings name, and `.csv` with exactly what it shows."""
    write_text(folder / f"{name}.csv", csv(data))
    save_as(figure, [folder / f"{name}.{ending}" for ending in endings])


def save_as(figure: Figure, paths: Iterable[Path]) -> None:
    """Write the figure in the formats that the endings name, without the date."""
    for path in paths:
        undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
        with writing(path) as temporary, all_characters(figure):
            figure.savefig(temporary, dpi=150, metadata=undated)


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, whose texts can be measured at little cost.

    It is no pyplot figure: no window system and no global state are involved.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # with any other canvas, a renderer is made anew for every text that is measured
    return figure


def panels(
    titles: Iterable[object], columns: int = 1, width: float = 5.5, height: float = 4.2
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with `columns` panels per title (it stands over the first), as many beside each other as fit."""
    names, chosen = [str(title) for title in titles], _format.get()
    across = beside(columns)
    lines = math.ceil(columns / across)
    figure = new_figure(figure_width(width * columns), height * chosen.scale * lines * len(names))
    grid = figure.subplots(lines * len(names), across, squeeze=False)
    rows = [list(part.flat) for part in np.split(grid, len(names))]
    for row, name in zip(rows, names, strict=True):
        row[0].set_title(name, loc="left", fontweight="bold")
        for spare in row[columns:]:
            spare.remove()
    return figure, [row[:columns] for row in rows]


def legend_below(figure: Figure, axes: Iterable[Axes], columns: int = 3) -> None:
    """One legend for all panels, below them, each entry once; the figure grows by its height.

    Args:
        figure: that of the panels.
        axes: the panels.
        columns: entries beside each other; fewer where the figure is too narrow.
    """
    entries: dict[str, Artist] = {}
    for panel in axes:
        handles, labels = panel.get_legend_handles_labels()
        # Error bars only clutter a legend.
        plain = [handle[0] if isinstance(handle, ErrorbarContainer) else handle for handle in handles]
        entries = dict(zip(labels, plain, strict=True)) | entries
    for across in range(columns if entries else 0, 0, -1):
        legend = figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=across)
        box = legend.get_window_extent()
        if across == 1 or box.width <= figure.get_figwidth() * figure.dpi:
            figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)
            break
        legend.remove()


def freeze_layout(figure: Figure) -> None:
    """Lay the figure out now and for good, so that what is placed next by hand stays where it is."""
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.execute(figure)
    figure.set_layout_engine("none")


def palette(names: Iterable[str]) -> dict[str, str]:
    """A colour-blind-safe colour for each name."""
    ordered = list(dict.fromkeys(names))
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(ordered)}


def markers(names: Iterable[str]) -> dict[str, Marker]:
    """A marker for each name; with `palette`, names that share a colour differ in their marker."""
    return {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(dict.fromkeys(names))}


def nothing(text: str) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = new_figure(figure_width(5.5), sized(1.5))
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def nothing_here(panel: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center")
    panel.set(xticks=[], yticks=[])


def interval(table: pd.DataFrame, value: str, low: str, high: str) -> list[pd.Series]:
    """Lengths of error bars below and above `value`, none where the interval is unknown."""
    return [(table[value] - table[low]).clip(lower=0).fillna(0), (table[high] - table[value]).clip(lower=0).fillna(0)]
