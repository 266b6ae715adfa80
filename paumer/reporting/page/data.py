"""What the page carries: operating points, timings and classes for its charts, its scripts, and the chart library."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pandas as pd
import vl_convert
from markupsafe import Markup

from paumer.reporting.figures.plots import COSTS, class_plot
from paumer.reporting.figures.points import GMAC, LATENCY, RATE, SPEEDUP, beside_dense, best_of_method, class_points
from paumer.reporting.figures.styles import Style, method_styles
from paumer.reporting.frames import (
    BEST,
    COST,
    DENSE,
    INPUT_SHAPE,
    POINT,
    SETTING,
    ends,
    is_dense,
    method_names,
    operating_points,
)
from paumer.reporting.page.charts import (
    COMPARED,
    EXPLORED,
    classes_chart,
    equal_speed_chart,
    explorer_chart,
    methods_chart,
    outline,
    training_chart,
)
from paumer.reporting.page.rendering import inside_script
from paumer.reporting.sheets import DECIMALS, number, with_interval, with_range, with_spread
from paumer.reporting.tables.methods import CLAIM
from paumer.reporting.timings import of_points, pixels

POINTS = [
    *("backbone", "method", "schedule", "seeds", "oracle", "miou", "miou_low", "miou_high", "miou_text"),
    *("drop", "drop_low", "drop_high", "drop_text", *GMAC, "gmac_text", "best_of_method_gmac"),
]
TIMINGS = [
    *("point", "setting", *RATE, *LATENCY, *SPEEDUP, "rate_text", "latency_text", "speedup_text", "floor_text"),
    "best_of_method_timed",
]
CLASSES = ["backbone", "point", "class", "drop", "drop_low", "drop_high", "drop_text", "iou_text"]

Columns = dict[str, list[Any]]


def explorer_data(main: pd.DataFrame, speed: pd.DataFrame) -> dict[str, Any]:
    """Operating points and their timings as columns, small enough for a page.

    Args:
        main: the main table.
        speed: the speed table, of all settings.

    Returns:
        `points`: columns `POINTS`; `oracle` is true for what knows the ground truth. `timings`: columns `TIMINGS`, only
        what was timed; `point` and `setting` are positions in `points` and `settings`. `settings`: backbone, device,
        dtype, mode, scope, input (pixels) and batch. `claim` and `dense`: the published claim, and the name of the
        method that it is counted from. `axes`: titles of what mIoU is shown against. `texts`: what tooltips say, by
        the field that has the text. Texts are finished; `best_of_method_*` is true where no other point of the
        method is at least as accurate and as fast (as cheap).
    """
    points = operating_points(main)
    keys = ["backbone", *SETTING, *INPUT_SHAPE]
    settings = speed[keys].drop_duplicates().reset_index(drop=True)
    parts = [_timings(points, speed.merge(settings.iloc[[at]], on=keys)).assign(setting=at) for at in settings.index]
    described = settings.assign(input=[pixels(row) for row in settings.to_dict("records")])
    cost = _texts(with_range, points[GMAC])
    explored = _with_spread(_with_spread(points, "miou"), "drop").assign(
        oracle=points["criterion"] == BEST, gmac_text=cost, best_of_method_gmac=best_of_method(-points["gmac"], points)
    )
    return {
        "points": columns(explored[POINTS]),
        "timings": columns(pd.concat(parts, ignore_index=True)[TIMINGS]),
        "settings": described[["backbone", *SETTING, "input", "batch"]].to_dict("records"),
        "claim": {"dataset": CLAIM.dataset, "drop": CLAIM.drop, "speedup": CLAIM.speedup},
        "dense": DENSE,
        "axes": {name: axis.title for name, axis in COSTS.items()},
        "texts": EXPLORED,
    }


def equal_speed_data(points: pd.DataFrame) -> Columns:
    """The points of figure `drop_speedup` as columns, with texts for tooltips."""
    drop, speedup = (
        _texts(with_interval, points[[name, f"{name}_low", f"{name}_high"]]) for name in ("drop", "speedup")
    )
    return columns(points.assign(drop_text=drop, speedup_text=speedup))


def columns(table: pd.DataFrame) -> Columns:
    """The columns of a table by their names, rounded as tables are written; unknown values are None."""
    rounded = table.round(DECIMALS)
    return {str(name): [None if pd.isna(value) else value for value in rounded[name].tolist()] for name in rounded}


def _timings(points: pd.DataFrame, speed: pd.DataFrame) -> pd.DataFrame:
    """The timings of one backbone in one setting at one batch; `point` is the index of the operating point."""
    timed = of_points(points, speed.dropna(subset="images_per_s")).drop(columns=COST, errors="ignore")
    named = points[[*POINT, "method", "miou", *COST[1:]]].rename_axis("point").reset_index()
    found = beside_dense(named.merge(timed, on=POINT))
    return found.assign(
        rate_text=_texts(with_range, found[RATE]),
        latency_text=_texts(with_range, found[LATENCY]),
        speedup_text=_texts(with_interval, found[SPEEDUP]),
        floor_text=[number(value, 2) or "not measured" for value in found["floor_ratio"]],
        best_of_method_timed=best_of_method(found["images_per_s"], found),
    )


def _with_spread(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """Add the ends of the interval of a column, and its text."""
    low, high = ends(table, value)
    texts = pd.Series(_texts(with_spread, table[[value, f"{value}_spread"]]), index=table.index, dtype=str)
    return table.assign(**{f"{value}_low": low, f"{value}_high": high, f"{value}_text": texts})


def _texts(write: Callable[..., str], values: pd.DataFrame) -> list[str]:
    return [write(*row) for row in values.itertuples(index=False)]


def class_data(classes: pd.DataFrame) -> tuple[Columns, dict[str, list[str]]]:
    """Drops of each class, as columns `CLASSES`, and the operating points of each backbone that the figure shows."""
    drops = classes[~is_dense(classes)]
    drops = drops.assign(point=method_names(drops) + " " + drops["schedule"])
    drawn = class_points(drops).groupby("backbone")["point"].unique()
    return columns(_with_spread(_with_spread(drops, "iou"), "drop")[CLASSES]), {
        str(name): list(points) for name, points in drawn.items()
    }


@cache
def library() -> Markup:
    """Vega-Embed, with Vega and all else that it needs, as one script; takes a second or two."""
    return inside_script(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # the snippet may be left out


def as_json(content: Any) -> Markup:
    """Data for a script element: JSON that cannot end the element."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def interactive_sections(
    main: pd.DataFrame,
    speed: pd.DataFrame,
    classes: pd.DataFrame,
    curves: pd.DataFrame,
    equal: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """What the templates of the charts take.

    Args:
        main: the main table.
        speed: the speed table.
        classes: the table of classes.
        curves: what the figure of training curves shows.
        equal: what the figure of methods at equal speed shows, where there is one.
    """
    methods = method_styles(main)
    compared = {name: style for name, style in methods.items() if equal is not None and name in set(equal["method"])}
    charts = {
        "explorer": explorer_chart(methods),
        "methods": methods_chart(methods),
        "equal": equal_speed_chart(compared),
        "classes": classes_chart(),
        "training": training_chart(curves["recipe"]),
    }
    drops, drawn = class_data(classes)
    return {
        "symbols": _symbols(methods),
        "compared_symbols": _symbols(class_plot("series", COMPARED).styles),
        "axes": {name: axis.title for name, axis in COSTS.items()},
        "charts": {name: as_json(spec) for name, spec in charts.items()},
        "explorer": as_json(explorer_data(main, speed)),
        "class_drops": as_json(drops),
        "classes_drawn": as_json(drawn),
        "equal_points": as_json(equal_speed_data(equal)) if equal is not None else None,
        "curves": as_json(columns(curves)) if len(curves) else None,
    }


def _symbols(styles: Mapping[str, Style]) -> list[dict[str, Any]]:
    """The markers of a plot for a legend on the page."""
    return [
        {"name": name, "colour": style.colour, "hollow": style.hollow, "outline": outline(style.marker)}
        for name, style in styles.items()
    ]
