"""What the explorer of the report shows: every operating point, and its timing in every setting.

Charts and data of the sections that answer back, as the template takes them.

What the page carries so that it needs no network: the library of charts, its own scripts, and data.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert
from markupsafe import Markup

from paumer.reporting.figures.points import beside_dense
from paumer.reporting.figures.styles import method_styles, series_styles
from paumer.reporting.frames import (
    BEST,
    COST,
    DENSE,
    INPUT_SHAPE,
    POINT,
    SETTING,
    is_dense,
    method_names,
    of_points,
    operating_points,
    pixels,
)
from paumer.reporting.page.charts import SERIES, classes_chart, explorer_chart, methods_chart, outline, training_chart
from paumer.reporting.sheets import DECIMALS
from paumer.reporting.tables.methods import CLAIM

POINTS = ["backbone", "method", "schedule", "seeds", "miou", "miou_spread", "drop", "drop_spread", *COST]
MEASURED = [
    *("images_per_s", "images_per_s_low", "images_per_s_high"),
    *("latency_ms", "latency_ms_low", "latency_ms_high", "speedup", "speedup_low", "speedup_high"),
    *("floor_ratio", "peak_memory_mb"),
]

Columns = dict[str, list[Any]]


def explorer_data(main: pd.DataFrame, speed: pd.DataFrame) -> dict[str, Any]:
    """Operating points and their timings as columns, small enough for a page.

    Args:
        main: the main table.
        speed: the speed table, of all settings.

    Returns:
        `points`: columns of `POINTS`, and `oracle`, true for what knows the ground truth. `timings`: `point` (a place
        in `points`), `setting` (a place in `settings`), and columns of `MEASURED`; only what was timed. `settings`:
        backbone, device, dtype, mode, scope, input (pixels) and batch. `claim` and `dense`: the published claim, and
        the name of the method that it is counted from.
    """
    points = operating_points(main)
    keys = ["backbone", *SETTING, *INPUT_SHAPE]
    settings = speed[keys].drop_duplicates().reset_index(drop=True)
    parts = [_timings(points, speed.merge(settings.iloc[[at]], on=keys)).assign(setting=at) for at in settings.index]
    timings = pd.concat(parts, ignore_index=True)
    described = settings.assign(input=[pixels(row) for row in settings.to_dict("records")])
    return {
        "points": columns(points[POINTS].assign(oracle=points["criterion"] == BEST)),
        "timings": columns(timings[["point", "setting", *MEASURED]]),
        "settings": described[["backbone", *SETTING, "input", "batch"]].to_dict("records"),
        "claim": {"dataset": CLAIM.dataset, "drop": CLAIM.drop, "speedup": CLAIM.speedup},
        "dense": DENSE,
    }


def columns(table: pd.DataFrame) -> Columns:
    """The columns of a table by their names, rounded as tables are written; unknown values are None."""
    rounded = table.round(DECIMALS)
    return {str(name): [None if pd.isna(value) else value for value in rounded[name].tolist()] for name in rounded}


def _timings(points: pd.DataFrame, speed: pd.DataFrame) -> pd.DataFrame:
    """The timings of one backbone in one setting at one batch; `point` is the index of the operating point."""
    timed = of_points(points, speed.dropna(subset="images_per_s")).drop(columns=COST, errors="ignore")
    named = points[[*POINT, *COST[1:]]].rename_axis("point").reset_index()
    return beside_dense(named.merge(timed, on=POINT))[["point", *MEASURED]]


TEMPLATES = Path(__file__).parent / "templates"
# In the order in which they use one another.
SCRIPTS = ("common", "points", "explorer", "charts", "viewer", "tables", "start")


@cache
def library() -> Markup:
    """Vega-Embed, with Vega and all else that it needs, as one script; takes a second or two."""
    return _inside_script(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # the snippet may be left out


def scripts() -> Markup:
    """The page's own scripts, in one scope."""
    parts = [(TEMPLATES / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS]
    return _inside_script('(() => {\n"use strict";\n' + "\n".join(parts) + "})();\n")


def stylesheet() -> Markup:
    """The page's style."""
    return Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))


def as_json(content: Any) -> Markup:
    """Data for a script element: JSON that cannot end the element."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


def _inside_script(text: str) -> Markup:
    """A script that does not end its element early."""
    return Markup(text.replace("</script", "<\\/script").replace("<!--", "<\\!--"))


DROPS = ["backbone", "point", "class", "iou", "iou_spread", "drop", "drop_spread"]


def interactive_sections(
    main: pd.DataFrame, speed: pd.DataFrame, classes: pd.DataFrame, curves: pd.DataFrame
) -> dict[str, Any]:
    """What the template needs beside its words.

    Args:
        main: the main table.
        speed: the speed table.
        classes: the table of classes.
        curves: what the figure of training curves shows.
    """
    methods = method_styles(main)
    charts = {
        "explorer": explorer_chart(methods),
        "methods": methods_chart(methods),
        "classes": classes_chart(),
        "training": training_chart(series_styles(curves["recipe"])),
    }
    drops = classes[~is_dense(classes)]
    drops = drops.assign(point=method_names(drops) + " " + drops["schedule"])
    return {
        "symbols": [
            {"name": name, "colour": style.colour, "hollow": style.hollow, "outline": outline(style.marker)}
            for name, style in methods.items()
        ],
        "series": SERIES,
        "charts": {name: as_json(spec) for name, spec in charts.items()},
        "explorer": as_json(explorer_data(main, speed)),
        "class_drops": as_json(columns(drops[DROPS])),
        "curves": as_json(columns(curves)) if len(curves) else None,
    }
