"""Charts and data of the sections that answer back, as the template takes them."""

from typing import Any

import pandas as pd

from paumer.reporting.interactive.assets import as_json
from paumer.reporting.interactive.charts import SERIES, classes_chart, explorer_chart, methods_chart, training_chart
from paumer.reporting.interactive.exploring import columns, explorer_data
from paumer.reporting.interactive.symbols import symbols
from paumer.reporting.looks import looks
from paumer.reporting.points import DENSE, is_dense, method_names

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
    methods = symbols(looks(main), DENSE)
    charts = {
        "explorer": explorer_chart(methods),
        "methods": methods_chart(methods),
        "classes": classes_chart(),
        "training": training_chart(list(curves["recipe"].unique())),
    }
    drops = classes[~is_dense(classes)]
    drops = drops.assign(point=method_names(drops) + " " + drops["schedule"])
    return {
        "symbols": methods,
        "series": SERIES,
        "charts": {name: as_json(spec) for name, spec in charts.items()},
        "explorer": as_json(explorer_data(main, speed)),
        "class_drops": as_json(columns(drops[DROPS])),
        "curves": as_json(columns(curves)) if len(curves) else None,
    }
