"""The charts of the page: plots, as figures show them too, written with Altair and compiled to Vega.

Scripts of the page fill the data sets: rows whose columns are those of the plot, intervals in `_low` and `_high`, and
finished texts for tooltips.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import altair as alt
import vl_convert

from paumer.reporting.figures.plots import (
    COSTS,
    LOG_TICKS,
    Axis,
    Plot,
    accuracy_plot,
    class_plot,
    equal_speed_plot,
    training_plot,
)
from paumer.reporting.figures.points import CLAIMED
from paumer.reporting.figures.styles import GREY, STAR, Marker, Style
from paumer.reporting.frames import DENSE
from paumer.reporting.tables.methods import CLAIM

Spec = dict[str, Any]

INK, FAINT, GRID, AXIS, ACCENT = "#1d1d1f", "#5b6068", "#e8eaed", "#9aa0a8", "#0b5cad"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
PALE = 0.3
STROKES = {"-": [1, 0], "--": [7, 4], ":": [2, 3], "-.": [7, 3, 2, 3]}
# Around a text, so that it can be read over points.
HALO: dict[str, Any] = {"stroke": "white", "strokeWidth": 4, "strokeOpacity": 0.85}
# What tooltips say, by the field that has the text.
EXPLORED = {
    **{"method": "method", "schedule": "schedule", "miou_text": "mIoU", "drop_text": "drop (points)"},
    **{"speedup_text": "speed-up [95%]", "rate_text": "images/s", "latency_text": "latency of a batch (ms)"},
    **{"gmac_text": "GMAC", "floor_text": "time over floor", "seeds": "seeds", "remark": "remark"},
}
EQUAL = {
    **{"method": "method", "schedule": "schedule", "asked_speedup": "asked (x)", "drop_text": "drop (points) [95%]"},
    **{"speedup_text": "speed-up [95%]", "seeds": "seeds"},
}
CLASSES = {"class": "class", "point": "of", "drop_text": "drop (points)", "iou_text": "IoU"}
COMPARED = ("first", "second")  # operating points


def outline(marker: Marker) -> str:
    """The marker as an SVG path around (0, 0), downwards positive."""
    return "M" + "L".join(f"{x:g},{-y:g}" for x, y in marker) + "Z"


def explorer_chart(methods: Mapping[str, Style]) -> Spec:
    """mIoU against what the reader chooses, with fronts, the budget and what it chooses.

    Data sets: `points` (x), `lines` (the best of each method), `front`, `rules` (x or miou, dash), and `marks` (kind,
    x, miou, label, align).
    """
    plot = accuracy_plot(Axis("x", COSTS["images_per_s"].title), methods)
    place = _places(plot)
    lines, front, rules, marks = (_data(name) for name in ("lines", "front", "rules", "marks"))
    kinds = {kind: marks.transform_filter(alt.datum.kind == kind) for kind in ("dense", "claim", "chosen", "focus")}
    # What the budget chooses is named above its ring, the claim below its diamond, so that the two can be neighbours.
    label: dict[str, Any] = {
        "align": alt.ExprRef("datum.align"),
        "dx": alt.ExprRef("datum.align == 'left' ? 10 : -10"),
        "dy": alt.ExprRef("datum.kind == 'claim' ? 17 : -18"),
        # Texts end at the frame.
        "limit": alt.ExprRef(
            "max(30, datum.align == 'left' ? width - scale('x', datum.x) - 10 : scale('x', datum.x) - 10)"
        ),
    }
    named = marks.transform_filter("datum.label").encode(**place, text="label:N")
    star: dict[str, Any] = {"filled": True, "size": 230, "color": "black", "shape": outline(STAR)}
    diamond: dict[str, Any] = {"filled": False, "size": 150, "color": "black", "shape": "diamond", "strokeWidth": 1.8}
    layers = [
        *(
            rules.transform_filter(f"isValid(datum['{axis}'])").mark_rule(**_dash()).encode(**{name: place[name]})
            for name, axis in (("y", plot.y.value), ("x", plot.x.value))
        ),
        lines.mark_line(strokeWidth=1, opacity=0.55).encode(**place, color=_colour(plot), order="x:Q"),
        front.mark_line(color="black", strokeWidth=1.6).encode(**place, order="x:Q"),
        *_layers(plot, _data("points"), EXPLORED),
        kinds["dense"].mark_point(**star, opacity=1).encode(**place, tooltip=_tooltip(EXPLORED)),
        kinds["claim"]
        .mark_point(**diamond, opacity=1)
        .encode(**place, tooltip=_tooltip({"remark": "published claim"})),
        kinds["chosen"].mark_point(**_ring(480, 2.2)).encode(**place),
        kinds["focus"].mark_point(**_ring(320, 1.6), strokeDash=[3, 2]).encode(**place),
        named.mark_text(**label, fontSize=12, **HALO),
        named.mark_text(**label, fontSize=12, color=INK),
    ]
    return _finished(layers, 470, "mIoU of every operating point against its speed or cost, with the Pareto front")


def methods_chart(methods: Mapping[str, Style]) -> Spec:
    """What each method can do within the budget; data set `best` (value, schedule, middle of all values, none)."""
    value = Axis("value", COSTS["speedup"].title)
    plot = Plot(value, Axis("method", scale="names"), "method", methods, intervals="x")
    text: dict[str, Any] = {"fontSize": 11, "color": FAINT}
    placed = alt.ExprRef("datum.value > datum.middle ? 'right' : 'left'")
    aside = alt.ExprRef("datum.value > datum.middle ? -12 : 12")
    room = alt.ExprRef("width < 350 ? 0 : 1")
    schedules = _data("best").encode(**_places(plot), text="schedule:N")
    layers = [
        *_layers(plot, _data("best").transform_filter("!datum.none"), EXPLORED),
        schedules.transform_filter("!datum.none").mark_text(align=placed, dx=aside, dy=-8, opacity=room, **text),
        schedules.transform_filter("datum.none")
        .mark_text(align="left", dx=6, fontStyle="italic", **text)
        .encode(x=alt.value(0)),
    ]
    return _finished(layers, alt.Step(27), "The best operating point of every method within the budget")


def equal_speed_chart(methods: Mapping[str, Style]) -> Spec:
    """Drop of methods at equal speed, with lines at dense and at the claim; data set `equal`."""
    values = [{"drop": 0, "of": DENSE}, {"drop": CLAIM.drop, "of": CLAIMED}]
    rules = alt.Chart(alt.InlineData(values=values)).mark_rule(color=FAINT, strokeDash=STROKES["--"])
    lines = rules.encode(y="drop:Q", tooltip=_tooltip({"of": "line", "drop": "drop (points)"}))
    layers = [lines, *_layers(equal_speed_plot(methods), _data("equal"), EQUAL, _legend(240, symbolSize=85))]
    return _finished(layers, 340, "Drop of methods at equal speed against the speed-ups that they reached")


def classes_chart() -> Spec:
    """Drop of every class; data set `classes` (series, class, point, drop)."""
    zero = alt.Chart(alt.InlineData(values=[{"drop": 0}])).mark_rule(color=FAINT).encode(x="drop:Q")
    layers = [zero, *_layers(class_plot("series", COMPARED), _data("classes"), CLASSES)]
    return _finished(layers, alt.Step(13), "Drop of every class at the chosen operating points")


def training_chart(recipes: Iterable[object]) -> Spec:
    """Loss against steps; data set `training` (recipe, seed, step, loss)."""
    legend = _legend(130, symbolStrokeWidth=2.5, symbolSize=500)
    shown = {name: name for name in ("recipe", "seed", "step", "loss")}
    layers = _layers(training_plot(recipes), _data("training"), shown, legend)
    return _finished(layers, 300, "Training loss of every run against steps")


def _layers(plot: Plot, data: alt.Chart, texts: Mapping[str, str], legend: alt.Legend | None = None) -> list[Any]:
    """Lines, intervals and markers of a plot, see `figures.drawing.draw`; tooltips show texts."""
    place, colour, tooltip = _places(plot), _colour(plot, legend), _tooltip(texts)
    pale = alt.when(f"datum['{plot.pale}']").then(alt.value(PALE)).otherwise(alt.value(1))
    layers = []
    if plot.line:
        strokes = _styled(alt.StrokeDash, plot, lambda style: STROKES[style.dash], legend)
        own = place | ({"detail": f"{plot.unit}:N"} if plot.unit else {})
        line = data.mark_line(strokeWidth=4 / 3 * plot.line)
        layers.append(line.encode(**own, color=colour, strokeDash=strokes, tooltip=tooltip))
    for name, axis in (("x", plot.x), ("y", plot.y)):
        if name in plot.intervals:
            ends = {name: f"{axis.value}_low:Q", f"{name}2": f"{axis.value}_high:Q"}
            layers.append(data.mark_rule(strokeWidth=1.2).encode(**place | ends, color=colour, opacity=pale))
    if plot.dots:
        looks = {
            "shape": _styled(alt.Shape, plot, lambda style: outline(style.marker), legend),
            "fill": _styled(alt.Fill, plot, lambda style: "white" if style.hollow else style.colour, legend),
            "stroke": _styled(alt.Stroke, plot, lambda style: style.colour if style.hollow else "white", legend),
        }
        dots = data.mark_point(filled=True, size=85, strokeWidth=1.1)
        layers.append(dots.encode(**place, **looks, opacity=pale, tooltip=tooltip))
    return layers


def _legend(width: int, **look: Any) -> alt.Legend:
    """A legend below the chart, whose entries need so many pixels each."""
    columns = alt.ExprRef(f"max(1, floor(width / {width}))")
    return alt.Legend(
        title=None, orient="bottom", labelFontSize=12, labelLimit=width, columns=columns, columnPadding=24, **look
    )


def _places(plot: Plot) -> dict[str, Any]:
    """The channels that place a row."""
    channels = {"x": _axis(alt.X, plot.x, 24), "y": _axis(alt.Y, plot.y, 20)}
    if plot.dodged:
        channels["yOffset"] = alt.YOffset(f"{plot.by}:N").scale(domain=list(plot.styles))
    return channels


def _axis(channel: Any, axis: Axis, padding: int) -> Any:
    if axis.scale == "names":
        return channel(f"{axis.value}:N").sort(None).title(None).axis(labelLimit=320, labelFontSize=12)
    made = channel(f"{axis.value}:Q").title(axis.title)
    if axis.scale == "log":
        ticks = [digit * 10**power for power in range(-3, 4) for digit in LOG_TICKS]
        return made.scale(type="log", nice=False, padding=8).axis(values=ticks, format="~g")
    return made.scale(zero=False, nice=False, padding=padding)


def _styled(channel: Any, plot: Plot, look: Callable[[Style], Any], legend: alt.Legend | None = None) -> Any:
    """A channel with a value for each series."""
    scale = {"domain": list(plot.styles), "range": [look(style) for style in plot.styles.values()]}
    return channel(f"{plot.by}:N").scale(**scale).legend(legend)


def _colour(plot: Plot, legend: alt.Legend | None = None) -> alt.Color:
    return _styled(alt.Color, plot, lambda style: style.colour, legend)


def _tooltip(texts: Mapping[str, str]) -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{name}:N", title=title) for name, title in texts.items()]


def _data(name: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(name=name))


def _dash() -> dict[str, Any]:
    """Lines through the dense network are dotted, that of the budget is dashed and dark."""
    budget = "datum.dash == 'budget'"
    return {
        "strokeDash": alt.ExprRef(f"{budget} ? [7, 4] : [2, 3]"),
        "stroke": alt.ExprRef(f"{budget} ? '{ACCENT}' : '{GREY}'"),
        "strokeWidth": alt.ExprRef(f"{budget} ? 1.6 : 1"),
    }


def _ring(size: int, width: float) -> dict[str, Any]:
    return {"filled": False, "shape": "circle", "size": size, "color": ACCENT, "strokeWidth": width, "opacity": 1}


def _finished(layers: list[Any], height: Any, description: str) -> Spec:
    """The chart as wide as the page, with its texts and lines as in the figures."""
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    chart = alt.layer(*layers).properties(width="container", height=height, background="white", autosize=fit)
    axes = {"labelColor": INK, "titleColor": INK, "gridColor": GRID, "domainColor": AXIS, "tickColor": AXIS}
    texts = {"titleFontSize": 13, "labelFontSize": 12, "titleFontWeight": "normal", "titlePadding": 8}
    chart = chart.properties(description=description).configure(font=FONT).configure_axisX(tickCount=10)
    chart = chart.configure_view(stroke=None).configure_axis(**axes, **texts, labelOverlap="greedy", labelFlush=False)
    return vl_convert.vegalite_to_vega(chart.to_dict())
