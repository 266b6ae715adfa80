"""What the explorer of the report shows: every operating point, and its timing in every setting."""

from typing import Any

import pandas as pd

from paumer.reporting.claims import CLAIM
from paumer.reporting.formatting import DECIMALS
from paumer.reporting.order import BEST
from paumer.reporting.pareto import beside_dense
from paumer.reporting.points import COST, DENSE, POINT, method_names
from paumer.reporting.timings import SETTING, WHOLE, latency_ms, of_points, pixels

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
    points = main.assign(method=method_names(main)).reset_index(drop=True)
    keys = ["backbone", *SETTING, *WHOLE]
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
    found = beside_dense(named.merge(timed, on=POINT))
    found = found.assign(latency_ms=latency_ms(found))
    for side, other in (("low", "high"), ("high", "low")):
        found[f"latency_ms_{other}"] = latency_ms(found, f"images_per_s_{side}")
    return found[["point", *MEASURED]]
