"""Choose operating points: what each method can do, and one of each near the claimed speed-up.

What PAUMER's abstract claims, and with it the two questions that every method is asked.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from paumer.reporting.frames import BEST, POINT, at_largest_batch, read_table
from paumer.system.errors import PaumerError


@dataclass(frozen=True)
class Claim:
    """A published pair: mIoU drop in points and speed-up, on a dataset."""

    dataset: str
    drop: float
    speedup: float


# The abstract's better claim. Asked of every method: how fast within this drop, and which drop at this speed-up?
CLAIM = Claim("Cityscapes", drop=0.65, speedup=1.5)


def read_claims(published: Path) -> pd.DataFrame:
    """Read PAUMER's published claims.

    Returns:
        Columns source, dataset, drop (points), speedup, timing_note; one row per claim.

    Raises:
        PaumerError: the file holds none.
    """
    columns = ["source", "method", "dataset", "miou_change", "speedup", "timing_note"]
    table = read_table(published, columns)
    claims = table[(table["method"] == "paumer") & table["miou_change"].notna() & table["speedup"].notna()]
    if claims.empty:
        raise PaumerError(f"{published}: no row of method paumer with miou_change and speedup; add the published claim")
    claims = claims.assign(drop=-claims["miou_change"])
    return claims[["source", "dataset", "drop", "speedup", "timing_note"]].reset_index(drop=True)


FASTEST = ["speedup", "drop", "schedule"]
MOST_ACCURATE = ["drop", "speedup", "schedule"]
SHOWN = ["schedule", "speedup", "speedup_low", "speedup_high", "drop", "drop_spread", "gmac_ratio"]


def methods_at_largest_batch(main: pd.DataFrame) -> pd.DataFrame:
    """The rows of `at_largest_batch` that could be deployed instead of the dense network, which the oracle cannot."""
    points = at_largest_batch(main)
    return points[(points["strategy"] != "dense") & (points["criterion"] != BEST)]


def methods_table(main: pd.DataFrame, claim: Claim = CLAIM) -> pd.DataFrame:
    """Put the two questions of a claim to each method, at the largest batch.

    Returns:
        Columns backbone, method, batch, seeds, then fastest_* (the fastest operating point that drops no more than the
        claim) and most_accurate_* (the smallest drop among those at least as fast as the claim) with schedule, speedup,
        speedup_low, speedup_high, drop, drop_spread and gmac_ratio. Schedule `none`: no point qualifies; `not timed`:
        the method has no speed-up at this batch.
    """
    rows = []
    for (backbone, method), group in methods_at_largest_batch(main).groupby(["backbone", "method"], sort=False):
        nothing = "none" if group["speedup"].notna().any() else "not timed"
        within = group[(group["drop"] <= claim.drop) & group["speedup"].notna()]
        fast = group[group["speedup"] >= claim.speedup]
        rows.append(
            {"backbone": backbone, "method": method, "batch": group["batch"].iloc[0], "seeds": group["seeds"].min()}
            | _first(within.sort_values(FASTEST, ascending=[False, True, True]), "fastest", nothing)
            | _first(fast.sort_values(MOST_ACCURATE, ascending=[True, False, True]), "most_accurate", nothing)
        )
    chosen = [f"{group}_{name}" for group in ("fastest", "most_accurate") for name in SHOWN]
    return pd.DataFrame(rows, columns=["backbone", "method", "batch", "seeds", *chosen])


def near_claim(main: pd.DataFrame) -> pd.DataFrame:
    """For each backbone and method the operating point whose speed-up is nearest the claimed one.

    Returns:
        Rows of `at_largest_batch`. Where speed does not depend on the criterion, criteria meet at the same schedule.
    """
    points = methods_at_largest_batch(main).dropna(subset="speedup")
    ordered = points.assign(distance=(points["speedup"] - CLAIM.speedup).abs()).sort_values(["distance", "schedule"])
    nearest = ordered.drop_duplicates(["backbone", "method"])
    return points[points.index.isin(nearest.index)].reset_index(drop=True)


def select(table: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` (per seed, say) that belong to the operating points `points`, in the order of `points`."""
    return points[POINT].merge(table, on=POINT)


def _first(ordered: pd.DataFrame, group: str, nothing: str) -> dict[str, object]:
    """The first row's numbers under names that begin with `group`; the schedule `nothing` where there is no row."""
    if ordered.empty:
        return {f"{group}_schedule": nothing}
    return {f"{group}_{name}": ordered[name].iloc[0] for name in SHOWN}
