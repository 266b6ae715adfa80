"""The charts of the page, written with Altair and compiled to Vega; scripts of the page fill their data.

A chart names its data sets and the fields that it shows. Numbers are drawn from fields, tooltips show finished text.
"""

from collections.abc import Mapping
from typing import Any

import altair as alt
import vl_convert

from paumer.reporting.figures.styles import COLOURS, GREY, STAR, Marker, Style

Spec = dict[str, Any]

INK, FAINT, GRID, LINE = "#1d1d1f", "#5b6068", "#e8eaed", "#9aa0a8"
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
PALE = 0.3
STROKES = {"-": [1, 0], "--": [7, 4], ":": [2, 3], "-.": [7, 3, 2, 3]}
LOSSES = [digit * 10**power for power in (-3, -2, -1, 0, 1) for digit in (1, 1.5, 2, 3, 5, 7)]
# Of two operating points beside each other: two of the most different colours.
SERIES = (COLOURS[0], COLOURS[3])
# Above and below a text, so that it can be read over points.
HALO: dict[str, Any] = {"stroke": "white", "strokeWidth": 4, "strokeOpacity": 0.85}
EXPLORED = {
    **{"method": "method", "schedule": "schedule", "miou_text": "mIoU", "drop_text": "drop (points)"},
    **{"speedup_text": "speed-up [95%]", "rate_text": "images/s", "latency_text": "latency of a batch (ms)"},
    **{"gmac_text": "GMAC", "floor_text": "time over floor", "seeds": "seeds", "remark": "remark"},
}


def outline(marker: Marker) -> str:
    """The marker as an SVG path around (0, 0), downwards positive."""
    return "M" + "L".join(f"{x:g},{-y:g}" for x, y in marker) + "Z"


def explorer_chart(methods: Mapping[str, Style]) -> Spec:
    """mIoU against what the reader chooses, with bars, fronts, the budget and what it chooses.

    Data sets: `points` (x, x_low, x_high, y, miou_low, miou_high, method, dominated, oracle, and those of `EXPLORED`),
    `lines` (method, x, y: the best of each method), `front` (x, y), `rules` (x or y, dash), and `marks`
    (kind, x, y, label, align).
    """
    x = alt.X("x:Q").scale(zero=False, nice=False, padding=24).title("images/s")
    y = alt.Y("y:Q").scale(zero=False, nice=False, padding=20).title("mIoU (points)")
    colour, shape = _colour(methods), _shape(methods)
    points, lines, front, rules, marks = (_data(name) for name in ("points", "lines", "front", "rules", "marks"))
    opacity = alt.when("datum.dominated && !datum.oracle").then(alt.value(PALE)).otherwise(alt.value(1))
    fill = alt.when("datum.oracle").then(alt.value("white")).otherwise(colour)
    edge = alt.when("datum.oracle").then(colour).otherwise(alt.value("white"))
    text = [alt.Tooltip(f"{name}:N", title=title) for name, title in EXPLORED.items()]
    kinds = {kind: alt.datum.kind == kind for kind in ("dense", "claim", "chosen", "focus")}
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
    named = marks.transform_filter("datum.label").encode(x=x, y=y, text="label:N")
    chart = alt.layer(
        rules.transform_filter("isValid(datum.y)").mark_rule(**_dash()).encode(y=y),
        rules.transform_filter("isValid(datum.x)").mark_rule(**_dash()).encode(x=x),
        lines.mark_line(strokeWidth=1, opacity=0.55).encode(x=x, y=y, color=colour, order="x:Q"),
        points.mark_rule(strokeWidth=1).encode(x="x_low:Q", x2="x_high:Q", y=y, color=colour, opacity=opacity),
        points.mark_rule(strokeWidth=1).encode(x=x, y="miou_low:Q", y2="miou_high:Q", color=colour, opacity=opacity),
        front.mark_line(color="black", strokeWidth=1.6).encode(x=x, y=y, order="x:Q"),
        points.mark_point(filled=True, size=85, strokeWidth=1.1).encode(
            x=x, y=y, shape=shape, fill=fill, stroke=edge, opacity=opacity, tooltip=text
        ),
        marks.transform_filter(kinds["dense"])
        .mark_point(filled=True, size=230, color="black", shape=outline(STAR), opacity=1)
        .encode(x=x, y=y, tooltip=text),
        marks.transform_filter(kinds["claim"])
        .mark_point(filled=False, size=150, color="black", shape="diamond", strokeWidth=1.8, opacity=1)
        .encode(x=x, y=y, tooltip=alt.Tooltip("remark:N", title="published claim")),
        marks.transform_filter(kinds["chosen"]).mark_point(**_ring(480, 2.2)).encode(x=x, y=y),
        marks.transform_filter(kinds["focus"]).mark_point(**_ring(320, 1.6), strokeDash=[3, 2]).encode(x=x, y=y),
        named.mark_text(**label, fontSize=12, **HALO),
        named.mark_text(**label, fontSize=12, color=INK),
    )
    return _finished(chart, 470, "mIoU of every operating point against its speed or cost, with the Pareto front")


def methods_chart(methods: Mapping[str, Style]) -> Spec:
    """What each method can do within the budget; data set `best` (method, value, low, high, schedule, texts)."""
    best = _data("best")
    colour = _colour(methods)
    y = alt.Y("method:N").sort(None).title(None).axis(labelLimit=320, labelFontSize=12)
    x = alt.X("value:Q").scale(zero=False, padding=24).title("speed-up")
    fill = alt.when("datum.oracle").then(alt.value("white")).otherwise(colour)
    edge = alt.when("datum.oracle").then(colour).otherwise(alt.value("white"))
    text = [alt.Tooltip(f"{name}:N", title=title) for name, title in EXPLORED.items()]
    placed = alt.ExprRef("datum.value > datum.middle ? 'right' : 'left'")
    aside = alt.ExprRef("datum.value > datum.middle ? -12 : 12")
    chart = alt.layer(
        best.transform_filter("!datum.none")
        .mark_rule(strokeWidth=1.5)
        .encode(x="low:Q", x2="high:Q", y=y, color=colour),
        best.transform_filter("!datum.none")
        .mark_point(filled=True, size=95, strokeWidth=1.1, opacity=1)
        .encode(x=x, y=y, shape=_shape(methods), fill=fill, stroke=edge, tooltip=text),
        best.transform_filter("!datum.none")
        .mark_text(align=placed, dx=aside, dy=-8, fontSize=11, color=FAINT, opacity=alt.ExprRef("width < 350 ? 0 : 1"))
        .encode(x=x, y=y, text="schedule:N"),
        best.transform_filter("datum.none")
        .mark_text(align="left", dx=6, fontSize=11, color=FAINT, fontStyle="italic")
        .encode(x=alt.value(0), y=y, text="schedule:N"),
    )
    chart = chart.properties(height=alt.Step(27))
    return _finished(chart, None, "The best operating point of every method within the budget")


def classes_chart() -> Spec:
    """Drop of every class; data set `classes` (class, point, series, drop and its interval, texts)."""
    data = _data("classes")
    series = alt.Scale(domain=["first", "second"], range=list(SERIES))
    colour = alt.Color("series:N").scale(series).legend(None)
    y = alt.Y("class:N").sort(None).title(None).axis(labelFontSize=12)
    x = alt.X("drop:Q").title("drop (IoU points)")
    text = [
        alt.Tooltip(f"{name}:N", title=title)
        for name, title in {"class": "class", "point": "of", "drop_text": "drop (points)", "iou_text": "IoU"}.items()
    ]
    offset = alt.YOffset("series:N").scale(domain=["first", "second"])
    zero = alt.Chart(alt.InlineData(values=[{"drop": 0}])).mark_rule(color=FAINT).encode(x="drop:Q")
    bars = data.mark_bar(height={"band": 0.8}, opacity=0.9).encode(x=x, y=y, yOffset=offset, color=colour, tooltip=text)
    spread = data.mark_rule(strokeWidth=1.3, color=INK).encode(x="drop_low:Q", x2="drop_high:Q", y=y, yOffset=offset)
    chart = alt.layer(bars, spread, zero).properties(height=alt.Step(13))
    return _finished(chart, None, "Drop of every class at the chosen operating points")


def training_chart(recipes: Mapping[str, Style]) -> Spec:
    """Loss against steps; data set `training` (recipe, seed, step, loss)."""
    domain = list(recipes)
    range_ = [style.colour for style in recipes.values()]
    strokes = [STROKES[style.dash] for style in recipes.values()]
    legend = alt.Legend(
        title=None,
        orient="bottom",
        labelFontSize=12,
        symbolStrokeWidth=2.5,
        symbolSize=500,
        columnPadding=24,
        columns=alt.ExprRef("max(1, floor(width / 130))"),
    )
    chart = (
        _data("training")
        .mark_line(strokeWidth=1.6)
        .encode(
            x=alt.X("step:Q").title("step"),
            y=alt.Y("loss:Q")
            .scale(type="log", nice=False, padding=8)
            .title("training loss")
            .axis(values=LOSSES, format="~g"),
            color=alt.Color("recipe:N").scale(domain=domain, range=range_).legend(legend),
            strokeDash=alt.StrokeDash("recipe:N").scale(domain=domain, range=strokes).legend(legend),
            detail="seed:N",
            tooltip=[
                *(alt.Tooltip(f"{name}:N") for name in ("recipe", "seed")),
                alt.Tooltip("step:Q"),
                alt.Tooltip("loss:Q", format=".3~r"),
            ],
        )
    )
    return _finished(chart, 300, "Training loss of every run against steps")


def _data(name: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(name=name))


def _colour(methods: Mapping[str, Style]) -> alt.Color:
    colours = [style.colour for style in methods.values()]
    return alt.Color("method:N").scale(domain=list(methods), range=colours).legend(None)


def _shape(methods: Mapping[str, Style]) -> alt.Shape:
    outlines = [outline(style.marker) for style in methods.values()]
    return alt.Shape("method:N").scale(domain=list(methods), range=outlines).legend(None)


def _dash() -> dict[str, Any]:
    """Lines through the dense network are dotted, that of the budget is dashed and dark."""
    budget = "datum.dash == 'budget'"
    return {
        "strokeDash": alt.ExprRef(f"{budget} ? [7, 4] : [2, 3]"),
        "stroke": alt.ExprRef(f"{budget} ? '#0b5cad' : '{GREY}'"),
        "strokeWidth": alt.ExprRef(f"{budget} ? 1.6 : 1"),
    }


def _ring(size: int, width: float) -> dict[str, Any]:
    return {"filled": False, "shape": "circle", "size": size, "color": "#0b5cad", "strokeWidth": width, "opacity": 1}


def _finished(chart: Any, height: int | None, description: str) -> Spec:
    """The chart as wide as the page, with its texts and lines as in the figures."""
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    chart = chart.properties(width="container", background="white", description=description, autosize=fit)
    if height is not None:
        chart = chart.properties(height=height)
    chart = chart.configure(font=FONT)
    axes = {"labelColor": INK, "titleColor": INK, "gridColor": GRID, "domainColor": LINE, "tickColor": LINE}
    texts = {"titleFontSize": 13, "labelFontSize": 12, "titleFontWeight": "normal", "titlePadding": 8}
    chart = chart.configure_axisX(tickCount=10)
    chart = chart.configure_view(stroke=None).configure_axis(**axes, **texts, labelOverlap="greedy", labelFlush=False)
    return vl_convert.vegalite_to_vega(chart.to_dict())
