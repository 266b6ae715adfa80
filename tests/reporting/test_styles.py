"""Order and looks of methods."""

import pandas as pd
import pytest
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from paumer.reporting.figures.drawing import PALE, draw
from paumer.reporting.figures.plots import Axis, Plot, accuracy_plot
from paumer.reporting.figures.styles import COLOURS, MARKERS, Style, method_styles
from paumer.reporting.frames import descriptions, in_order, recipe_key, strategy_key
from paumer.strategies.declared import RECIPES
from paumer.strategies.registry import REGISTRY


def methods(*rows):
    return pd.DataFrame(rows, columns=["recipe", "strategy", "criterion"])


@pytest.fixture
def many():
    """Thirty methods, among them dense."""
    rows = [("dense", "dense", ""), *((recipe, name, "") for name in REGISTRY for recipe in ("dense", "paumer"))]
    rows += [
        ("dense", "smaller-backbone", ""),
        ("paumer", "merge>pause", "entropy"),
        ("paumer", "resize>pause", "entropy"),
    ]
    rows += [(recipe, "pause", score) for recipe in RECIPES for score in ("entropy", "random", "oracle")]
    table = methods(*rows)
    assert len(table.drop_duplicates()) >= 30
    return table


def test_no_two_methods_look_alike(many):
    found = method_styles(many)
    assert len(found) == len(many)
    assert len({(look.colour, look.marker, look.hollow) for look in found.values()}) == len(found)


def test_twenty_methods_differ_without_colour(many):
    found = method_styles(many.head(20))
    assert len({look.marker for look in found.values()}) == 20


def test_colour_is_that_of_the_strategy(many):
    found = method_styles(many)
    assert found["paumer/pause/entropy"].colour == found["dense/pause/entropy"].colour == found["dense/pause"].colour
    assert found["paumer/pause/oracle"].colour == found["paumer/pause/entropy"].colour
    singles = [found[f"dense/{name}"].colour for name in (*REGISTRY, "smaller-backbone")]
    assert len(set(singles)) == len(singles)


def test_chance_is_lighter_and_ground_truth_hollow(many):
    found = method_styles(many)
    chance, informed, best = (found[f"paumer/pause/{name}"] for name in ("random", "entropy", "oracle"))
    assert sum(to_rgb(chance.colour)) > sum(to_rgb(informed.colour))
    assert [look.hollow for look in (chance, informed, best)] == [False, False, True]


def test_every_look_can_be_drawn(many):
    figure = Figure()
    panel, styles = figure.subplots(), method_styles(many)
    rows = pd.DataFrame({"x": range(len(styles)), "miou": 1.0, "method": list(styles), "pale": False})
    draw(panel, accuracy_plot(Axis("x"), styles), rows)
    figure.draw_without_rendering()
    assert panel.get_legend_handles_labels()[1] == list(styles)


def test_palette_and_markers_hold_no_double():
    assert len(set(COLOURS)) == len(COLOURS)
    assert len(set(MARKERS)) == len(MARKERS) >= 20


def test_strategies_stand_as_registered_and_compositions_last():
    shuffled = ["merge>pause", "unknown", *reversed(REGISTRY), "resize>merge>pause", "dense", "resize>pause"]
    first = ["dense", *REGISTRY, "unknown"]
    assert in_order(shuffled, strategy_key) == [*first, "merge>pause", "resize>pause", "resize>merge>pause"]


def test_recipes_stand_as_registered():
    assert in_order(["zeta", *reversed(RECIPES)], recipe_key) == [*RECIPES, "zeta"]


def test_strategies_are_described_once_whether_alone_or_composed():
    names = [name for name, _ in descriptions(["merge>pause", "dense", "merge", "smaller-backbone", "unknown"])]
    assert names == ["dense", "pause", "merge", "smaller-backbone"]
    assert dict(descriptions(["pause"])) == {"pause": REGISTRY["pause"].description}


def test_series_are_drawn_in_the_looks_of_the_table():
    """A dashed line per unit, a marker per row, hollow where the style is, pale below the others."""
    styles = {"first": Style(COLOURS[0], MARKERS[1], "--"), "second": Style(COLOURS[1], MARKERS[2], hollow=True)}
    rows = pd.DataFrame({"x": [2, 1, 1, 2, 1], "y": 1.0, "seed": [0, 0, 1, 1, 0], "y_spread": 0.1})
    rows = rows.assign(by=["first"] * 4 + ["second"], pale=[False] * 4 + [True])
    panel = Figure().subplots()
    draw(panel, Plot(Axis("x", "time"), Axis("y"), "by", styles, line=1, unit="seed", pale="pale"), rows)
    lines = [line for line in panel.lines if len(line.get_xdata())]
    assert [(to_rgb(line.get_color()), list(line.get_xdata()), line.is_dashed()) for line in lines] == [
        (to_rgb(COLOURS[1]), [1], False),
        (to_rgb(COLOURS[0]), [1, 2], True),
        (to_rgb(COLOURS[0]), [1, 2], True),
    ]
    pale, full = (dots for dots in panel.collections if isinstance(dots, PathCollection))
    assert pale.get_facecolor().tolist() == [[1, 1, 1, PALE]]
    assert pale.get_edgecolor().tolist() == [[*to_rgb(COLOURS[1]), PALE]]
    assert full.get_offsets()[:, 0].tolist() == [2, 1, 1, 2]
    assert full.get_facecolor().tolist() == [[*to_rgb(COLOURS[0]), 1]] * 4
    bars = [bar for bar in panel.collections if isinstance(bar, LineCollection)]
    assert [bar.get_segments()[0][:, 1].tolist() for bar in bars] == [[0.9, 1.1]] * 2
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("time", "")
    assert panel.get_legend_handles_labels()[1] == ["first", "second"]
    assert panel.get_legend() is None
