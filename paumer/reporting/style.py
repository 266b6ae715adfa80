"""How all figures look, and how they are saved."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from paumer.files import write_text, writing
from paumer.reporting.formatting import csv

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


@contextmanager
def style() -> Iterator[None]:
    """Colours and sizes for all figures; the same data give the same SVG bytes."""
    settings: Any = {"svg.hashsalt": "paumer", "figure.dpi": 100, "axes.titlesize": 11, "legend.frameon": False}
    with (
        sns.axes_style("whitegrid", {"grid.color": "0.92", "axes.edgecolor": "0.6"}),
        sns.plotting_context("notebook", font_scale=0.85),
        mpl.rc_context(settings),
    ):
        yield


def save(figure: Figure, data: pd.DataFrame, folder: Path, name: str) -> None:
    """Write the figure as `.svg` and `.png`, and `.csv` with exactly what it shows."""
    write_text(folder / f"{name}.csv", csv(data))
    for ending in ("svg", "png"):
        with writing(folder / f"{name}.{ending}") as temporary:
            figure.savefig(temporary, dpi=150, metadata={"Date": None} if ending == "svg" else {})


def panels(
    titles: Iterable[object], columns: int = 1, width: float = 5.5, height: float = 4.2, legend: int = 4
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with one row of `columns` panels per title (it stands over the first), and `legend` lines below.

    It is no pyplot figure: no window system and no global state are involved.
    """
    names = [str(title) for title in titles]
    figure = Figure(figsize=(width * columns, height * len(names) + 0.2 * legend), layout="constrained")
    axes = figure.subplots(len(names), columns, squeeze=False)
    for row, name in zip(axes, names, strict=True):
        row[0].set_title(name, loc="left", fontweight="bold")
    return figure, [list(row) for row in axes]


def legend_below(figure: Figure, axes: Iterable[Axes], columns: int = 3) -> None:
    """One legend for all panels, below them, each entry once."""
    entries: dict[str, Artist] = {}
    for panel in axes:
        handles, labels = panel.get_legend_handles_labels()
        # Error bars only clutter a legend.
        plain = [handle[0] if isinstance(handle, ErrorbarContainer) else handle for handle in handles]
        entries = dict(zip(labels, plain, strict=True)) | entries
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=columns)


def freeze_layout(figure: Figure) -> None:
    """Lay the figure out now and for good, so that what is placed next by hand stays where it is."""
    figure.draw_without_rendering()
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
    figure = Figure(figsize=(5.5, 1.5), layout="constrained")
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def nothing_here(panel: Axes, text: str) -> None:
    """Say in an empty panel why it is empty."""
    panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", va="center")
    panel.set(xticks=[], yticks=[])


def interval(table: pd.DataFrame, value: str, low: str, high: str) -> list[pd.Series]:
    """Lengths of error bars below and above `value`, none where the interval is unknown."""
    return [(table[value] - table[low]).clip(lower=0).fillna(0), (table[high] - table[value]).clip(lower=0).fillna(0)]
