"""Draw plots with seaborn, lay panels out, and save figures for screens and papers."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from matplotlib.transforms import Affine2D

from paumer.reporting.figures.fonts import all_characters
from paumer.reporting.figures.plots import LOG_TICKS, Plot
from paumer.reporting.figures.styles import AREA, Dash, Style
from paumer.reporting.frames import ends
from paumer.reporting.writing import csv
from paumer.system.files import write_text, writing

PALE = 0.4  # opacity of what another point dominates
SIZE = 7  # points of a marker's diameter
DODGED = 0.8  # of the room of a name, that its series share
RADIUS = math.sqrt(AREA / math.pi)  # of a circle among the markers
# Drawn and left out, in widths of the line, as seaborn takes dashes.
PATTERNS: dict[Dash, Any] = {"-": "", "--": (3.7, 1.6), ":": (1, 1.65), "-.": (6.4, 1.6, 1, 1.6)}


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
    data: pd.DataFrame, columns: int = 1, width: float = 5.5, height: float = 4.2, every: Iterable[str] = ()
) -> tuple[Figure, list[tuple[pd.DataFrame, list[Axes]]]]:
    """A figure with panels for each backbone, as many beside each other as fit.

    Args:
        data: a long frame.
        columns: panels of a backbone; its name stands over the first.
        width: of a panel on a screen, in inches.
        height: of a panel on a screen, in inches.
        every: backbones; without any, those of the frame.

    Returns:
        The figure, and for each backbone its rows of the frame and its panels.
    """
    names = list(every) or list(data["backbone"].unique())
    across = beside(columns)
    lines = math.ceil(columns / across)
    figure = new_figure(figure_width(width * columns), sized(height) * lines * len(names))
    grid = figure.subplots(lines * len(names), across, squeeze=False)
    parts = []
    for name, places in zip(names, np.split(grid, len(names)), strict=True):
        row = list(places.flat)
        row[0].set_title(name, loc="left", fontweight="bold")
        for spare in row[columns:]:
            spare.remove()
        parts.append((data[data["backbone"] == name], row[:columns]))
    return figure, parts


def draw(panel: Axes, plot: Plot, data: pd.DataFrame) -> None:
    """Draw the rows of a long frame as a plot says, label the axes, and put each series into the legend."""
    if not data.empty:
        _draw_data(panel, plot, data)
    panel.set(xlabel=plot.x.title, ylabel=plot.y.title)


def _draw_data(panel: Axes, plot: Plot, data: pd.DataFrame) -> None:
    shown = {name: style for name, style in plot.styles.items() if name in set(data[plot.by])}
    looks = {name: _look(style, plot) for name, style in shown.items()}
    for name, look in looks.items():
        panel.plot([], [], **look, label=name)
    frame = _placed(panel, plot, data, list(shown))
    for pale, rows in sorted(frame.groupby("pale"), key=lambda part: not part[0]):  # the pale below the others
        _draw_rows(panel, plot, rows, looks, alpha=PALE if pale else 1)
    if plot.y.scale == "log":
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=LOG_TICKS))
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())


def _placed(panel: Axes, plot: Plot, data: pd.DataFrame, series: list[str]) -> pd.DataFrame:
    """Where rows are drawn, series by series: columns x and y with their intervals, series, unit and pale."""
    frame = pd.DataFrame(
        {"series": data[plot.by], "order": data[plot.by].map({name: at for at, name in enumerate(series)})}
    )
    frame["pale"], frame["unit"] = data[plot.pale] if plot.pale else False, data[plot.unit] if plot.unit else 0
    for name, axis in (("x", plot.x), ("y", plot.y)):
        if axis.scale == "names":
            offset = DODGED * ((frame["order"] + 0.5) / len(series) - 0.5) if plot.dodged else 0
            frame[name] = _positions(panel, name, data[axis.value]) + offset
        else:
            frame[name] = data[axis.value]
        if name in plot.intervals:
            frame[f"{name}_low"], frame[f"{name}_high"] = ends(data, axis.value)
    return frame.dropna(subset=["order", "x", "y"]).sort_values("order", kind="stable")


def _draw_rows(panel: Axes, plot: Plot, rows: pd.DataFrame, looks: dict[str, dict[str, Any]], alpha: float) -> None:
    """Lines, markers and intervals of rows that are equally pale; the looks are keywords of matplotlib by series."""
    colours, faces, edges, widths, markers, dashes = (
        {name: look[keyword] for name, look in looks.items()}
        for keyword in ("color", "markerfacecolor", "markeredgecolor", "markeredgewidth", "marker", "linestyle")
    )
    named: dict[str, Any] = {"x": "x", "y": "y", "hue": "series", "style": "series", "legend": False, "ax": panel}
    common: dict[str, Any] = {"alpha": alpha, "zorder": 3}
    if plot.line:
        patterns = {name: PATTERNS[dash] for name, dash in dashes.items()}
        lines: dict[str, Any] = {"units": "unit", "estimator": None, "linewidth": sized(plot.line)}
        sns.lineplot(rows, **named, palette=colours, dashes=patterns, **lines, **common)
    if plot.dots:
        rims = {"edgecolor": list(rows["series"].map(edges)), "linewidth": list(rows["series"].map(widths))}
        sns.scatterplot(rows, **named, palette=faces, markers=markers, s=sized(SIZE) ** 2, **rims, **common)
    for name, bars, other in (("y", panel.vlines, "x"), ("x", panel.hlines, "y")):
        if name in plot.intervals:
            known = rows.dropna(subset=[f"{name}_low", f"{name}_high"])
            own: dict[str, Any] = {"colors": known["series"].map(colours), "linewidth": sized(0.9), "zorder": 2.5}
            bars(known[other], known[f"{name}_low"], known[f"{name}_high"], **own, alpha=alpha)


def _positions(panel: Axes, axis: str, names: pd.Series) -> pd.Series:
    """Whole numbers for names, in the order of their first use, which then stand at the axis from left or top on."""
    numbers, different = pd.factorize(names)
    limits = (-0.5, len(different) - 0.5)
    panel.set(**{f"{axis}ticks": range(len(different)), f"{axis}ticklabels": different})
    panel.set(**{f"{axis}lim": limits if axis == "x" else limits[::-1]})
    getattr(panel, f"{axis}axis").grid(False)
    return pd.Series(numbers, index=names.index, dtype=float)


def _look(style: Style, plot: Plot) -> dict[str, Any]:
    """Line and markers of a series, as keywords of matplotlib."""
    return {
        "color": style.colour,
        "linestyle": style.dash if plot.line else "none",
        "linewidth": sized(plot.line),
        "marker": marker_style(style) if plot.dots else "",
        "markersize": sized(SIZE),
        "markerfacecolor": "white" if style.hollow else style.colour,
        "markeredgecolor": style.colour if style.hollow else "white",
        "markeredgewidth": sized(1.2 if style.hollow else 0.4),
    }


def marker_style(style: Style) -> MarkerStyle:
    """The marker for matplotlib, which scales every polygon to the same width."""
    corners = np.array([*style.marker, style.marker[0]])
    return MarkerStyle(Outline(corners, closed=True), transform=Affine2D().scale(abs(corners).max() / RADIUS))


def legend_below(figure: Figure, columns: int = 3) -> None:
    """One legend for all panels, below them, each entry once; the figure grows by its height.

    Args:
        figure: that of the panels.
        columns: entries beside each other; fewer where the figure is too narrow.
    """
    entries: dict[str, Artist] = {}
    for panel in figure.axes:
        handles, labels = panel.get_legend_handles_labels()
        entries = dict(zip(labels, handles, strict=True)) | entries
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


def nothing(text: str) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = new_figure(figure_width(5.5), sized(1.5))
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def nothing_here(panel: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center")
    panel.set(xticks=[], yticks=[])
