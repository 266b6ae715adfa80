"""How a method looks in every figure: its colour says what runs, its marker which method it is."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.markers import MarkerStyle

from paumer.registry import CONTROLS
from paumer.reporting.order import BEST, CHANCE, criterion_key, in_order, recipe_key, strategy_key
from paumer.reporting.points import method_names
from paumer.reporting.style import Marker, markers, palette, sized

GREY = "#5a5a5a"
SIZE = 7
TINT = 0.6
THIN = ("P", "X", "d")


@dataclass(frozen=True)
class Look:
    """How the points of a method are drawn; those chosen by the ground truth are hollow."""

    colour: str
    marker: Marker
    hollow: bool = False

    @property
    def symbol(self) -> dict[str, Any]:
        """Keywords of a plotted line that concern its markers."""
        face = "white" if self.hollow else self.colour
        edge = self.colour if self.hollow else "white"
        return {
            "marker": MarkerStyle(self.marker),
            "markersize": sized(SIZE) * (1.25 if self.marker in THIN or isinstance(self.marker, tuple) else 1),
            "markerfacecolor": face,
            "markeredgecolor": edge,
            "markeredgewidth": sized(1.2 if self.hollow else 0.4),
        }


def looks(main: pd.DataFrame) -> dict[str, Look]:
    """The look of every method of a table, in the order of legends: by strategy, criterion and recipe."""
    named = main.assign(method=method_names(main)).drop_duplicates("method")
    rows = {row["method"]: row for row in named.to_dict("records")}
    ordered = sorted(rows, key=lambda method: _key(rows[method]))
    # The plainest markers for what is compared; controls take what is left.
    informed = [
        name for name in ordered if rows[name]["strategy"] != "dense" and rows[name]["criterion"] not in CONTROLS
    ]
    colours, shapes = strategy_colours(main["strategy"]), markers([*informed, *ordered])
    return {
        method: _look(rows[method]["criterion"], colours[rows[method]["strategy"]], shapes[method])
        for method in ordered
    }


def strategy_colours(strategies: Iterable[str]) -> dict[str, str]:
    """A colour for each strategy, whatever the recipe and criterion; dense is grey."""
    ordered = [name for name in in_order(strategies, strategy_key) if name != "dense"]
    return {"dense": GREY} | palette(ordered)


def in_legend(panel: Axes, label: str, look: Look) -> None:
    """Put a method into the legend, whatever is drawn of it."""
    panel.plot([], [], linestyle="none", label=label, **look.symbol)


def _key(row: dict) -> tuple:
    return strategy_key(row["strategy"]), criterion_key(row["criterion"]), recipe_key(row["recipe"])


def _look(criterion: str, colour: str, marker: Marker) -> Look:
    """The control by chance is a lighter tint of its strategy's colour."""
    red, green, blue = (1 - (1 - part) * TINT for part in to_rgb(colour))
    return Look(to_hex((red, green, blue)) if criterion == CHANCE else colour, marker, hollow=criterion == BEST)
