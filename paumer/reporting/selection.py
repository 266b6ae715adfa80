"""Choose operating points: for the headline, and one of each method near the claimed speed-up."""

import pandas as pd

from paumer.reporting.aggregate import POINT, at_largest_batch
from paumer.reporting.claims import CLAIM

# Chosen with the ground truth: a bound for analysis, nothing that could be run.
ORACLE = "oracle"
SHOWN = ["schedule", "speedup", "speedup_low", "speedup_high", "drop", "drop_spread", "gmac_ratio"]


def methods_at_largest_batch(main: pd.DataFrame) -> pd.DataFrame:
    """The rows of `at_largest_batch` that could be deployed instead of the dense network, and were timed."""
    points = at_largest_batch(main)
    return points[(points["strategy"] != "dense") & (points["criterion"] != ORACLE) & points["speedup"].notna()]


def headline(main: pd.DataFrame) -> pd.DataFrame:
    """Put the two questions of the claim to each method, at the largest batch.

    Returns:
        Columns backbone, method, batch, seeds, then fastest_* (the fastest operating point that drops no more than the
        claim) and most_accurate_* (the smallest drop among those at least as fast as the claim) with schedule, speedup,
        speedup_low, speedup_high, drop, drop_spread and gmac_ratio. Schedule `none`: no point qualifies.
    """
    rows = []
    for (backbone, method), group in methods_at_largest_batch(main).groupby(["backbone", "method"], sort=False):
        within = group[group["drop"] <= CLAIM.drop]
        fast = group[group["speedup"] >= CLAIM.speedup]
        rows.append(
            {"backbone": backbone, "method": method, "batch": group["batch"].iloc[0], "seeds": group["seeds"].min()}
            | _first(within.sort_values(["speedup", "drop", "schedule"], ascending=[False, True, True]), "fastest")
            | _first(fast.sort_values(["drop", "speedup", "schedule"], ascending=[True, False, True]), "most_accurate")
        )
    chosen = [f"{group}_{name}" for group in ("fastest", "most_accurate") for name in SHOWN]
    return pd.DataFrame(rows, columns=["backbone", "method", "batch", "seeds", *chosen])


def near_claim(main: pd.DataFrame) -> pd.DataFrame:
    """For each backbone and method the operating point whose speed-up is nearest the claimed one.

    Returns:
        Rows of `at_largest_batch`. Speed does not depend on the criterion, so criteria meet at the same schedule.
    """
    points = methods_at_largest_batch(main)
    ordered = points.assign(distance=(points["speedup"] - CLAIM.speedup).abs()).sort_values(["distance", "schedule"])
    nearest = ordered.drop_duplicates(["backbone", "method"])
    return points[points.index.isin(nearest.index)].reset_index(drop=True)


def select(table: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` (per seed, say) that belong to the operating points `points`, in the order of `points`."""
    return points[POINT].merge(table, on=POINT)


def _first(ordered: pd.DataFrame, group: str) -> dict[str, object]:
    """The first row's numbers under names that begin with `group`; the schedule `none` where there is no row."""
    if ordered.empty:
        return {f"{group}_schedule": "none"}
    return {f"{group}_{name}": ordered[name].iloc[0] for name in SHOWN}
