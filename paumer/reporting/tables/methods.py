"""Choose operating points: what each method can do, and one of each near the claimed speed-up.

What PAUMER's abstract claims, and with it the two questions that every method is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from paumer.measurement.budget import Budget, best
from paumer.reporting.frames import (
    BEST,
    CHANCE,
    POINT,
    at_largest_batch,
    read_table,
)
from paumer.reporting.sheets import (
    Sheet,
    notes,
    number,
    tabular,
    with_interval,
    with_seeds,
)
from paumer.reporting.tables.main import LARGEST_BATCH, SPREAD, few_seeds
from paumer.strategies.registry import CHAIN, SMALLER_BACKBONE
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
        points = list(group.itertuples(index=False))
        rows.append(
            {"backbone": backbone, "method": method, "batch": group["batch"].iloc[0], "seeds": group["seeds"].min()}
            | _prefixed(best(points, Budget(max_drop=claim.drop)), "fastest", nothing)
            | _prefixed(best(points, Budget(speedup=claim.speedup, tolerance=0)), "most_accurate", nothing)
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


def _prefixed(point: Any, group: str, nothing: str) -> dict[str, object]:
    """The numbers of a point under names that begin with `group`; the schedule `nothing` where there is no point."""
    if point is None:
        return {f"{group}_schedule": nothing}
    return {f"{group}_{name}": getattr(point, name) for name in SHOWN}


# The published method; pausing by what else a head says is a family of its own.
PAUMER, PUBLISHED_CRITERION = "PAUMER: pause by entropy", "entropy"
WORDS = {
    "pause": "pausing",
    "early-exit": "early exit",
    "adaptive-exit": "early exit",
    "token-exit": "token exits",
    "merge": "merging",
    "local-merge": "merging",
    "resize": "smaller input",
    SMALLER_BACKBONE: "smaller network",
}


def family(strategy: str, criterion: str) -> str:
    """The family of a method: `PAUMER: pause by entropy`, `merging`, `merging + pausing`."""
    if strategy == "pause":
        return PAUMER if criterion == PUBLISHED_CRITERION else "pausing by another criterion"
    return " + ".join(WORDS.get(part, part) for part in strategy.split(CHAIN))


def short(name: str) -> str:
    """A family's name where there is little room: `PAUMER`."""
    return name.partition(":")[0]


def family_points(main: pd.DataFrame) -> pd.DataFrame:
    """The rows of `methods_at_largest_batch` without the control by chance, with columns `family` and `rival`.

    A rival is a family in which no patch pauses.
    """
    points = methods_at_largest_batch(main)
    points = points[points["criterion"] != CHANCE]
    names = [family(strategy, criterion) for strategy, criterion in points[["strategy", "criterion"]].to_numpy()]
    rivals = ["pause" not in strategy.split(CHAIN) for strategy in points["strategy"]]
    return points.assign(
        family=pd.Series(names, index=points.index, dtype=str), rival=pd.Series(rivals, index=points.index, dtype=bool)
    )


def with_claims(methods: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """Put the published claims below what was measured of each method, with a column `remark`."""
    rows = []
    for claim in claims.to_dict("records"):
        chosen = {"schedule": "not stated", "speedup": claim["speedup"], "drop": claim["drop"]}
        groups = {
            "fastest": chosen if claim["drop"] <= CLAIM.drop else {"schedule": "none"},
            "most_accurate": chosen if claim["speedup"] >= CLAIM.speedup else {"schedule": "none"},
        }
        remark = f"{claim['source']}; other data and devices; {claim['timing_note']}".removesuffix("; ")
        numbers = {f"{group}_{name}": value for group, values in groups.items() for name, value in values.items()}
        rows.append({"backbone": claim["dataset"], "method": "published claim", "remark": remark} | numbers)
    published = pd.DataFrame(rows, columns=[*methods.columns, "remark"])
    together = pd.concat([methods.assign(remark=""), published], ignore_index=True)
    return together.astype({"batch": "Int64", "seeds": "Int64"})


def readable_methods(methods: pd.DataFrame, warnings: list[str]) -> Sheet:
    """The two questions of the claim: measured methods, then the published claims with their remarks."""
    groups = {
        "fastest": f"fastest at drop <= {CLAIM.drop:g}",
        "most_accurate": f"smallest drop at speed-up >= {CLAIM.speedup:g}",
    }
    headings = ["backbone", "method", "batch", "seeds"]
    for title in groups.values():
        headings += [f"{title}: schedule", "its speed-up [95%]", "its drop (points) [95%]", "its GMAC ratio"]
    rows = [
        [
            row["backbone"],
            row["method"],
            number(row["batch"], 0),
            number(row["seeds"], 0),
            *(cell for group in groups for cell in _chosen(row, group)),
            row["remark"],
        ]
        for row in methods.to_dict("records")
    ]
    return Sheet([*headings, "remark"], rows, [*methods_notes(methods), *warnings])


def methods_notes(methods: pd.DataFrame) -> list[str]:
    """What explains the table of methods."""
    return [SPREAD, LARGEST_BATCH, *few_seeds(methods)]


def _chosen(row: dict, group: str) -> list[str]:
    def cell(name: str) -> float:
        return row[f"{group}_{name}"]

    return [
        row[f"{group}_schedule"],
        with_interval(cell("speedup"), cell("speedup_low"), cell("speedup_high")),
        with_seeds(cell("drop"), cell("drop_spread"), row["seeds"]),
        number(cell("gmac_ratio"), 2),
    ]


def latex_methods(methods: pd.DataFrame, warnings: Sequence[str]) -> str:
    """The two questions of the claim, a table for each backbone, and the published claims below each."""
    tables = []
    spans = [
        ("", 1),
        (f"fastest at drop <= {CLAIM.drop:g}", 3),
        (f"smallest drop at speed-up >= {CLAIM.speedup:g}", 3),
    ]
    measured = methods["remark"] == ""
    claims = methods[~measured].to_dict("records")
    for backbone, rows in methods[measured].groupby("backbone", sort=False):
        headings = ["method", *(2 * ["schedule", "speed-up [95%]", "drop"])]
        cells = [
            [row["method"], *_answer(row, "fastest"), *_answer(row, "most_accurate")] for row in rows.to_dict("records")
        ]
        cells += [
            [f"claimed for {row['backbone']}", *_answer(row, "fastest"), *_answer(row, "most_accurate")]
            for row in claims
        ]
        title = f"{backbone}, batch {number(rows['batch'].iloc[0], 0)}"
        tables.append(tabular(Sheet(headings, cells, title=title), spans))
    claimed = "Claims are those of PAUMER's abstract, on other data and devices."
    return "\n".join(tables) + notes(Sheet([], [], [*methods_notes(methods), claimed, *warnings]))


def _answer(row: dict, group: str) -> list[str]:
    speedup = with_interval(*(row[f"{group}_{name}"] for name in ("speedup", "speedup_low", "speedup_high")))
    return [row[f"{group}_schedule"], speedup, _dropped(row, group)]


def _dropped(row: dict, group: str) -> str:
    return with_seeds(row[f"{group}_drop"], row[f"{group}_drop_spread"], row["seeds"])
