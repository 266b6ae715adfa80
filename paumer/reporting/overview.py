"""What the overview shows: dense, the published claim, and the best operating points of every family of methods."""

from typing import Any

import pandas as pd

from paumer.reporting.claims import CLAIM
from paumer.reporting.families import family_points
from paumer.reporting.pareto import dominated
from paumer.reporting.points import at_largest_batch, is_dense, on_one_scale, with_speed_intervals

DENSE, CLAIMED = "dense", f"claim ({CLAIM.dataset})"
SPEED = ["images_per_s", "images_per_s_low", "images_per_s_high"]
COLUMNS = [
    *("backbone", "family", "method", "schedule", "seeds", "batch", "miou", "miou_spread", "drop", "drop_spread"),
    *("speedup", "speedup_low", "speedup_high", *SPEED),
]


def overview_points(main: pd.DataFrame) -> pd.DataFrame:
    """Operating points at the largest batch, all on the scale of one dense network.

    Returns:
        Columns `COLUMNS`; the first row of each backbone is dense and the second the claim, counted from it; then, of
        each family, what none of its other points beats, by rising speed. images_per_s is that of dense times the
        speed-up.
    """
    timed = family_points(main).dropna(subset="speedup")
    fronts = [group[~dominated(group["speedup"], group["miou"])] for _, group in timed.groupby(["backbone", "family"])]
    dense = at_largest_batch(main[is_dense(main)]).assign(family=DENSE)
    stated: dict[str, Any] = {"speedup": CLAIM.speedup, "drop": CLAIM.drop}
    claim = dense.assign(
        **{"family": CLAIMED, "method": "", "schedule": "not stated"},
        **stated,
        **dict.fromkeys(["seeds", "miou_spread", "drop_spread", "speedup_low", "speedup_high"], float("nan")),
        miou=dense["miou"] - CLAIM.drop,
    )
    points = pd.concat([dense, claim, *(front.sort_values("speedup") for front in fronts)], ignore_index=True)
    ordered = with_speed_intervals(points.assign(images_per_s=on_one_scale(points)))[COLUMNS].astype({"seeds": "Int64"})
    order = {name: place for place, name in enumerate(main["backbone"].unique())}
    return ordered.sort_values("backbone", key=lambda names: names.map(order), kind="stable", ignore_index=True)
