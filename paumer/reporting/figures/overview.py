"""The whole story in one picture: mIoU against images/s, a line for each family of methods, and what was claimed."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from paumer.reporting.figures.drawing import (
    beside,
    draw,
    figure_width,
    freeze_layout,
    legend_below,
    new_figure,
    sized,
)
from paumer.reporting.figures.labels import Labels, along
from paumer.reporting.figures.plots import COSTS, LINE, accuracy_plot
from paumer.reporting.figures.points import CLAIMED, overview_points
from paumer.reporting.figures.styles import Style, series_styles
from paumer.reporting.sheets import number
from paumer.reporting.tables.methods import CLAIM, PAUMER, short

DENSE = "dense"
WIDTH, HEIGHT, ACROSS = 8.0, 4.4, 2  # inches, and panels beside each other
ROOMY = 6.0  # inches of a panel that has room for names beside its lines; narrower ones share a legend
DEPTH = 5.0  # points of mIoU below dense that are shown; what loses more is named in words
TIMES = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10)
INK, SOFT, TARGET, TARGET_TEXT = "#1d1d1f", "#5b6068", "#e3f1e3", "#2f6b35"
PLACE = ["images_per_s", "miou"]
AWAY = (1, 3, 6, 10)


def overview(main: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """mIoU against images/s at the largest batch, a panel for each backbone: the figure, and its points."""
    data = overview_points(main)
    families = sorted(set(data["family"]) - {DENSE, CLAIMED}, key=lambda name: (name != PAUMER, name))
    styles = {name: replace(style, dash="-") for name, style in series_styles(map(short, families)).items()}
    backbones = list(data["backbone"].unique())
    across = beside(min(ACROSS, len(backbones)))
    lines = math.ceil(len(backbones) / across)
    figure = new_figure(figure_width(WIDTH), sized(HEIGHT) * lines / across**0.5)
    panels = figure.subplots(lines, across, squeeze=False).flat
    for backbone, panel in zip(backbones, panels, strict=False):
        points = data[data["backbone"] == backbone]
        _lines(panel, _methods(points), styles)
        _frame(panel, points)
        _references(panel, points)
        named = f" of {backbone}" if len(backbones) > 1 else ""
        panel.set_xlabel(f"{COSTS['images_per_s'].title}{named}, batch {points['batch'].iloc[0]}")
    for spare in panels:
        spare.remove()
    roomy = figure_width(WIDTH) / across >= sized(ROOMY)
    if not roomy:
        legend_below(figure, columns=5)
    freeze_layout(figure)
    for backbone, panel in zip(backbones, figure.axes, strict=False):
        _name(panel, data[data["backbone"] == backbone], styles, roomy)
    return figure, data


def _frame(panel: Axes, points: pd.DataFrame) -> None:
    """Limits that show what loses no more than `DEPTH`, a scale of multiples of dense, and the region of the claim."""
    dense = points[points["family"] == DENSE].iloc[0]
    rate, low = dense["images_per_s"], dense["miou"] - DEPTH
    shown = points[points["miou"] >= low]
    high = max(shown["miou"].max() + 0.12 * DEPTH, dense["miou"] + 0.2 * DEPTH)
    left, right = min(0.95, shown["speedup"].min() - 0.05) * rate, max(1.75, 1.12 * shown["speedup"].max()) * rate
    panel.set(xlim=(left, right), ylim=(low, high))
    panel.grid(False, axis="x")
    scale = panel.secondary_xaxis("top", functions=(lambda speed: speed / rate, lambda times: times * rate))
    times = [value for value in TIMES if left <= value * rate <= right]
    scale.set_xlim(left / rate, right / rate)
    scale.set_xticks(times, [f"{value:g}x" for value in times])
    scale.set_xlabel("times the images/s of dense", color=SOFT, fontsize=sized(9))
    scale.tick_params(colors=SOFT)
    for value in times:
        panel.axvline(value * rate, color="0.92", linewidth=sized(0.8), zorder=0.5)
    corner = (CLAIM.speedup * rate, dense["miou"] - CLAIM.drop)
    panel.add_patch(Rectangle(corner, right - corner[0], high - corner[1], color=TARGET, linewidth=0, zorder=0))


def _methods(points: pd.DataFrame) -> pd.DataFrame:
    methods = points[~points["family"].isin([DENSE, CLAIMED])]
    return methods.assign(name=methods["family"].map(short))


def _lines(panel: Axes, methods: pd.DataFrame, styles: dict[str, Style]) -> None:
    """A line for each family, that of PAUMER the thickest, with the interval of the speed-up and the spread of mIoU."""
    plot = replace(accuracy_plot(COSTS["images_per_s"], styles), by="name", pale=None)
    first = methods["family"] == PAUMER
    for part, line in ((methods[first], 2.8), (methods[~first], LINE)):
        draw(panel, replace(plot, line=line), part)


def _references(panel: Axes, points: pd.DataFrame) -> None:
    """A star for dense with a line at its mIoU, and an open diamond for the claim, the corner of its region."""
    dense, claim = (points.loc[points["family"] == name, PLACE].iloc[0] for name in (DENSE, CLAIMED))
    panel.axhline(dense["miou"], color=INK, linewidth=sized(0.9), linestyle=":", zorder=1)
    panel.plot(*dense, marker="*", markersize=sized(16), color=INK, linestyle="none", zorder=5)
    look: dict[str, Any] = {"color": TARGET_TEXT, "markerfacecolor": "white", "markeredgewidth": sized(1.5)}
    panel.plot(*claim, marker="D", markersize=sized(7), linestyle="none", **look, zorder=4)


def _name(panel: Axes, points: pd.DataFrame, styles: dict[str, Style], roomy: bool) -> None:
    """Names of dense, PAUMER and, where there is room, the other lines, beside them; others in the corners."""
    methods, first = _methods(points), short(PAUMER)
    seen = {str(name): group for name, group in methods[methods["miou"] >= panel.get_ylim()[0]].groupby("name")}
    lines = [group[PLACE].to_numpy(float) for _, group in methods.groupby("name")]
    places = [tuple(place) for place in points[PLACE].to_numpy(float)]
    labels = Labels(panel, [*places, *(place for line in lines for place in along(line))])
    hidden = methods[~methods["name"].isin(seen)]
    labels.taken += [text.get_window_extent() for text in _corners(panel, hidden, roomy)]
    labels.add(DENSE, places[0], {"fontsize": 10, "color": INK, "fontweight": "bold"})
    for name in sorted(seen if roomy else set(seen) & {first}, key=lambda name: name != first):
        look = {"fontsize": 10.5 if name == first else 9.5, "color": styles[name].colour}
        look |= {"fontweight": "bold"} if name == first else {}
        best = seen[name].sort_values("speedup", ascending=False)[PLACE].to_numpy(float)
        any(labels.add(name, tuple(place), look, away) for away in AWAY for place in best)


def _corners(panel: Axes, hidden: pd.DataFrame, roomy: bool) -> list[Text]:
    """Above, what the region is; below, the families that are out of sight."""
    target = f"target: {CLAIM.speedup:g}x at a drop of {CLAIM.drop:g}\n(claimed for {CLAIM.dataset})"
    look: dict[str, Any] = {"transform": panel.transAxes, "fontsize": sized(9)}
    texts = [panel.text(0.99, 0.97, target, ha="right", va="top", color=TARGET_TEXT, **look)]
    below = [_hidden(group) if roomy else str(name) for name, group in hidden.groupby("name")]
    if below:
        texts.append(panel.text(0.01, 0.02, f"further below: {', '.join(below)}", color=SOFT, **look))
    return texts


def _hidden(group: pd.DataFrame) -> str:
    """`early exit (9.4 points at 1.59x)`, the most accurate that is fast enough."""
    fast = group[group["speedup"] >= CLAIM.speedup]
    best = (fast if len(fast) else group).sort_values("drop").iloc[0]
    return f"{best['name']} ({number(best['drop'], 1)} points at {number(best['speedup'], 2)}x)"
