"""Draw series of points with seaborn, lay panels out, and save figures for screens and papers."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
import seaborn.objects as so
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D

from paumer.reporting.figures.fonts import all_characters
from paumer.reporting.figures.styles import AREA, Style
from paumer.reporting.frames import ends
from paumer.reporting.writing import csv
from paumer.system.files import write_text, writing

PALE = 0.4  # opacity of what another point dominates
SIZE = 7  # points of a marker's diameter
RADIUS = math.sqrt(AREA / math.pi)  # of a circle among the markers


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


def draw_series(
    panel: Axes,
    data: pd.DataFrame,
    x: str,
    y: str,
    by: str,
    styles: Mapping[str, Style],
    *,
    orient: Literal["x", "y", "both"] = "x",
    joined: bool = False,
    width: float = 1.2,
    dots: bool = True,
    unit: str | None = None,
    dodged: bool = False,
    pale: str | None = None,
    zorder: float = 3,
) -> None:
    """Draw the points of a long frame with their intervals (see `frames.ends`), and put each series into the legend.

    Args:
        panel: where.
        data: a row for each point; a column of text makes a nominal axis, in its order.
        x: column of the horizontal axis.
        y: column of the vertical axis.
        by: column that names the series, whose style is in `styles`.
        styles: also the order of the legend.
        orient: the axis along which points are arranged; intervals are of the other one, or of both.
        joined: connect the points of a series.
        width: of the line, in points.
        dots: draw markers and intervals.
        unit: column whose values have a line each.
        dodged: set the series of a nominal value apart.
        pale: column of booleans, whose true rows are drawn pale.
        zorder: of the points.
    """
    if data.empty:
        return
    shown = {name: style for name, style in styles.items() if name in set(data[by])}
    frame = pd.DataFrame({"x": data[x], "y": data[y], "series": data[by]})
    frame["pale"], frame["unit"] = data[pale] if pale else False, data[unit] if unit else 0
    frame["face"] = ["white" if shown[name].hollow else name for name in frame["series"]]
    order = list(shown)
    scales = {
        "color": so.Nominal(
            {name: style.colour for name, style in shown.items()} | {"white": "white"}, [*order, "white"]
        ),
        "edgecolor": so.Nominal({name: style.colour if style.hollow else "white" for name, style in shown.items()}),
        "edgewidth": so.Nominal({name: sized(1.2 if style.hollow else 0.4) for name, style in shown.items()}),
        "marker": so.Nominal({name: marker_style(style) for name, style in shown.items()}),
        "linestyle": so.Nominal({name: style.dash for name, style in shown.items()}),
        "alpha": so.Nominal({True: PALE, False: 1.0}),
    }
    plot = so.Plot(frame, "x", "y", color="series", alpha="pale").scale(**scales)
    plot = plot.theme(sns.axes_style() | sns.plotting_context())
    moves = [so.Dodge(by=["color"])] if dodged else []
    along: Any = "y" if orient == "y" else "x"
    if joined:
        line = so.Line({"zorder": zorder - 1}, linewidth=sized(width), marker="")
        plot = plot.add(line, orient=along, legend=False, linestyle="series", group="unit")
    if dots:
        bar = so.Range({"zorder": zorder - 0.5}, linewidth=sized(0.9), linestyle="-")
        for axis, other, value in (("x", "y", y), ("y", "x", x)):
            if orient in (axis, "both"):
                low, high = ends(data, value)
                # Seaborn joins the intervals of a series that are at the same place, unless they are of two groups.
                twins = frame.groupby(["series", axis]).cumcount()
                ranges = frame.assign(**{f"{other}min": low, f"{other}max": high, "twin": twins})
                bounds = {f"{other}min": f"{other}min", f"{other}max": f"{other}max"}
                plot = plot.add(bar, *moves, orient=axis, legend=False, data=ranges, group="twin", **bounds)
        looks = {"color": "face", "edgecolor": "series", "edgewidth": "series", "marker": "series"}
        dot = so.Dot({"zorder": zorder}, pointsize=sized(SIZE))
        plot = plot.add(dot, *moves, orient=along, legend=False, **looks)
    plot.on(panel).plot()
    for name, style in shown.items():
        in_legend(panel, name, style, width if joined else 0, dots)


def in_legend(panel: Axes, label: str, style: Style, width: float, dots: bool = True) -> None:
    """Put a series into the legend, with a line where its width is not 0."""
    panel.add_line(
        Line2D(
            *([], []),
            color=style.colour,
            linestyle=style.dash if width else "none",
            linewidth=sized(width),
            marker=marker_style(style) if dots else "",
            markersize=sized(SIZE),
            markerfacecolor="white" if style.hollow else style.colour,
            markeredgecolor=style.colour if style.hollow else "white",
            markeredgewidth=sized(1.2 if style.hollow else 0.4),
            label=label,
        )
    )


def marker_style(style: Style) -> MarkerStyle:
    """The marker for matplotlib, which scales every polygon to the same width."""
    corners = np.array([*style.marker, style.marker[0]])
    return MarkerStyle(Outline(corners, closed=True), transform=Affine2D().scale(abs(corners).max() / RADIUS))


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
