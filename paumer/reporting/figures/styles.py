"""Colours, markers and dashes: one table for the figures and for the charts of the page."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from paumer.reporting.frames import BEST, CHANCE, DENSE, criterion_key, in_order, method_names, recipe_key, strategy_key
from paumer.strategies.criteria import CONTROLS

Marker = tuple[tuple[float, float], ...]  # corners of a polygon around (0, 0), upwards positive
AREA = 2.25  # of every marker, so that none looks larger


def _marker(corners: int, turn: float = 0, inner: float = 1, narrow: float = 1) -> Marker:
    """A regular polygon, or a star where the corners between the points have the share `inner` of their radius.

    Args:
        corners: of the polygon, or points of the star; the first is at the top.
        turn: degrees, against the clock.
        inner: share of the radius.
        narrow: factor of the width.
    """
    outline = Path.unit_regular_polygon(corners) if inner == 1 else Path.unit_regular_star(corners, inner)
    return _scaled(outline, Affine2D().rotate_deg(turn).scale(narrow, 1))


def _scaled(outline: Path, change: Affine2D) -> Marker:
    """The changed polygon with area `AREA` around (0, 0)."""
    corners = np.asarray(outline.transformed(change).vertices, float)[:-1]
    x, y = (corners - corners.mean(axis=0)).T
    factor = math.sqrt(2 * AREA / abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))))
    return tuple((round(float(u), 4), round(float(v), 4)) for u, v in zip(factor * x, factor * y, strict=True))


# Told apart with the usual colour-blindness as well (after Okabe and Ito, and Tol).
COLOURS = (
    *("#0173B2", "#DE8F05", "#029E73", "#D55E00", "#CC78BC", "#56B4E9"),
    *("#8C5A2B", "#332288", "#882255", "#999933", "#44AA99", "#661100"),
)
GREY = "#5a5a5a"
TINT = 0.6  # how much of its colour the control by chance keeps
STAR = _marker(5, inner=0.42)  # the dense network
PLUS = MarkerStyle("P").get_path()
# The plainest first.
MARKERS = (
    *(_marker(40), _marker(4, 45), _marker(4), _marker(3), _marker(3, 180)),
    *(_scaled(PLUS, Affine2D()), _scaled(PLUS, Affine2D().rotate_deg(45))),
    *(_marker(3, 90), _marker(3, -90), _marker(5), _marker(4, narrow=0.55), _marker(4, inner=0.4)),
    *(_marker(6), _marker(3, inner=0.3), _marker(8, 22.5), _marker(6, inner=0.45), _marker(4, 45, inner=0.4)),
    *(_marker(3, 180, inner=0.3), _marker(5, 180, inner=0.42), _marker(6, 30), _marker(5, 180)),
    *(_marker(3, -90, inner=0.3), _marker(3, 90, inner=0.3)),
)
Dash = Literal["-", "--", ":", "-."]
DASHES: tuple[Dash, ...] = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class Style:
    """How a series is drawn; a hollow one chooses by the ground truth."""

    colour: str
    marker: Marker
    dash: Dash = "-"
    hollow: bool = False


def series_styles(names: Iterable[object]) -> dict[str, Style]:
    """A colour, marker and dash for each name, in the order of their first use."""
    return {
        name: Style(COLOURS[at % len(COLOURS)], MARKERS[at % len(MARKERS)], DASHES[at % len(DASHES)])
        for at, name in enumerate(dict.fromkeys(map(str, names)))
    }


def strategy_colours(strategies: Iterable[str]) -> dict[str, str]:
    """A colour for each strategy, independent of recipe and criterion; dense is grey."""
    ordered = [name for name in in_order(strategies, strategy_key) if name != "dense"]
    return {"dense": GREY} | {name: style.colour for name, style in series_styles(ordered).items()}


def method_styles(main: pd.DataFrame) -> dict[str, Style]:
    """The style of each method of a table, in the order of legends: by strategy, criterion and recipe.

    The colour is that of the strategy, the marker that of the method. Random choice has a lighter tint.
    """
    rows = {
        row["method"]: row
        for row in main.assign(method=method_names(main)).drop_duplicates("method").to_dict("records")
    }
    keys = {
        name: (strategy_key(row["strategy"]), criterion_key(row["criterion"]), recipe_key(row["recipe"]))
        for name, row in rows.items()
    }
    ordered = sorted(rows, key=keys.__getitem__)
    # The plainest markers for what is compared; controls take what is left.
    compared = [
        name for name in ordered if rows[name]["strategy"] != "dense" and rows[name]["criterion"] not in CONTROLS
    ]
    markers = {name: style.marker for name, style in series_styles([*compared, *ordered]).items()} | {DENSE: STAR}
    colours = strategy_colours(main["strategy"])
    return {name: _method_style(rows[name], colours, markers[name]) for name in ordered}


def _method_style(row: dict, colours: dict[str, str], marker: Marker) -> Style:
    colour = colours[row["strategy"]]
    return Style(tinted(colour) if row["criterion"] == CHANCE else colour, marker, hollow=row["criterion"] == BEST)


def tinted(colour: str) -> str:
    """A colour mixed with white."""
    channels = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - value) * TINT):02x}" for value in channels)
