"""The table of methods: what each can do at PAUMER's published claim, and the families that methods belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from paumer.measurement.budget import Budget, best
from paumer.reporting.frames import BEST, CHANCE, at_largest_batch, parts_of
from paumer.reporting.reading import read_table
from paumer.reporting.sheets import (
    LARGEST_BATCH,
    NOT_TIMED,
    Columns,
    Sheet,
    beside,
    drop_cell,
    few_seeds,
    named,
    rounded,
    sheet_of,
    speedup_cell,
    spread_note,
)
from paumer.strategies.registry import SMALLER_BACKBONE
from paumer.system.errors import PaumerError


@dataclass(frozen=True)
class Claim:
    """A published pair: mIoU drop in points and speed-up, on a dataset; where it stands, and what is said of timing."""

    dataset: str
    drop: float
    speedup: float
    source: str = ""
    timing_note: str = ""


# The abstract's better claim. Asked of every method: how fast within this drop, and which drop at this speed-up?
CLAIM = Claim("Cityscapes", drop=0.65, speedup=1.5)

ASKED = {
    "fastest": f"fastest at drop <= {CLAIM.drop:g}",
    "most_accurate": f"smallest drop at speed-up >= {CLAIM.speedup:g}",
}
SHOWN = ["schedule", "speedup", "speedup_low", "speedup_high", "drop", "drop_spread", "gmac_ratio"]
COLUMNS = ["backbone", "method", "batch", "seeds", *(f"{question}_{name}" for question in ASKED for name in SHOWN)]
NONE, NOT_STATED = "none", "not stated"  # in the place of a schedule

# The published method; pausing by another score of a head is a family of its own.
PAUMER, SHORT, PUBLISHED_CRITERION = "PAUMER: pause by entropy", "PAUMER", "entropy"
WORDS = {
    "pause": "pausing",
    "early-exit": "early exit",
    "adaptive-exit": "early exit",
    "token-exit": "token exits",
    "merge": "merging",
    "local-merge": "merging",
    "mutual-merge": "merging",
    "shared-patches": "shared tokens",
    "resize": "smaller input",
    SMALLER_BACKBONE: "smaller network",
}


def read_claims(published: Path) -> list[Claim]:
    """Read PAUMER's published claims.

    Raises:
        PaumerError: the file holds none.
    """
    table = read_table(published, ["source", "method", "dataset", "miou_change", "speedup", "timing_note"])
    rows = table[table["method"] == "paumer"].dropna(subset=["miou_change", "speedup"]).to_dict("records")
    if not rows:
        raise PaumerError(f"{published}: no row of method paumer with miou_change and speedup; add the published claim")
    return [
        Claim(row["dataset"], -row["miou_change"], row["speedup"], row["source"], row["timing_note"]) for row in rows
    ]


def methods_at_largest_batch(main: pd.DataFrame) -> pd.DataFrame:
    """The rows of `at_largest_batch` that could be deployed instead of the dense network, which the oracle cannot."""
    return _deployable(at_largest_batch(main))


def _deployable(points: pd.DataFrame) -> pd.DataFrame:
    return points[(points["strategy"] != "dense") & (points["criterion"] != BEST)]


def family(strategy: str, criterion: str) -> str:
    """The family of a method: `PAUMER: pause by entropy`, `merging`, `merging + pausing`."""
    if strategy == "pause":
        return PAUMER if criterion == PUBLISHED_CRITERION else "pausing by another criterion"
    return " + ".join(WORDS.get(part, part) for part in parts_of(strategy))


def short(name: str) -> str:
    """A family's name where there is little room: `PAUMER`."""
    return SHORT if name == PAUMER else name


def family_points(main: pd.DataFrame) -> pd.DataFrame:
    """The rows of `at_largest_batch` that are of a family, see `with_families`."""
    return with_families(at_largest_batch(main))


def with_families(points: pd.DataFrame) -> pd.DataFrame:
    """Operating points with columns `family` and `rival`, without dense and the controls, which are of none.

    A rival is a family in which no patch pauses.
    """
    points = _deployable(points)
    points = points[points["criterion"] != CHANCE]
    names = [family(strategy, criterion) for strategy, criterion in points[["strategy", "criterion"]].to_numpy()]
    rivals = ["pause" not in parts_of(strategy) for strategy in points["strategy"]]
    return points.assign(
        family=pd.Series(names, index=points.index, dtype=str), rival=pd.Series(rivals, index=points.index, dtype=bool)
    )


def nearest_to_claim(main: pd.DataFrame) -> pd.DataFrame:
    """For each backbone and method the operating point whose speed-up is nearest the claimed one.

    Returns:
        Rows of `at_largest_batch`. Where speed does not depend on the criterion, criteria meet at the same schedule.
    """
    points = methods_at_largest_batch(main).dropna(subset="speedup")
    ordered = points.assign(distance=(points["speedup"] - CLAIM.speedup).abs()).sort_values(["distance", "schedule"])
    nearest = ordered.drop_duplicates(["backbone", "method"])
    return points[points.index.isin(nearest.index)].reset_index(drop=True)


def methods_table(main: pd.DataFrame, claim: Claim = CLAIM) -> pd.DataFrame:
    """Put the two questions of a claim to each method, at the largest batch.

    Returns:
        Columns backbone, method, batch, seeds, then fastest_* (the fastest operating point that drops no more than the
        claim) and most_accurate_* (the smallest drop among those at least as fast as the claim) with schedule, speedup,
        speedup_low, speedup_high, drop, drop_spread and gmac_ratio, and drop_low and drop_high where they are known.
        Schedule `none`: no point qualifies; `not timed`:
        the method has no speed-up at this batch.
    """
    budgets = {"fastest": Budget(max_drop=claim.drop), "most_accurate": Budget(speedup=claim.speedup, tolerance=0)}
    rows, shown = [], [*SHOWN, *(name for name in ("drop_low", "drop_high") if name in main)]
    for (backbone, method), group in methods_at_largest_batch(main).groupby(["backbone", "method"], sort=False):
        row: dict[str, Any] = {"backbone": backbone, "method": method}
        row |= {"batch": group["batch"].iloc[0], "seeds": group["seeds"].min()}
        for question, budget in budgets.items():
            point = best(group.itertuples(index=False), budget)
            row[f"{question}_schedule"] = NONE if group["speedup"].notna().any() else NOT_TIMED
            if point is not None:
                row |= {f"{question}_{name}": getattr(point, name) for name in shown}
        rows.append(row)
    more = [f"{question}_{name}" for question in ASKED for name in shown[len(SHOWN) :]]
    return pd.DataFrame(rows, columns=[*COLUMNS, *more])


def stated(claim: Claim, asked: Claim) -> dict[str, Any]:
    """A published claim in columns of `methods_table`: how it answers the two questions of another, or of itself."""
    qualifies = {"fastest": claim.drop <= asked.drop, "most_accurate": claim.speedup >= asked.speedup}
    known = {"schedule": NOT_STATED, "speedup": claim.speedup, "drop": claim.drop}
    return {
        f"{question}_{name}": value
        for question, qualified in qualifies.items()
        for name, value in (known if qualified else {"schedule": NONE}).items()
    }


def with_claims(methods: pd.DataFrame, claims: Sequence[Claim]) -> pd.DataFrame:
    """Put the published claims below what was measured of each method, with a column `remark`."""
    rows = [
        {
            **{"backbone": claim.dataset, "method": "published claim"},
            "remark": f"{claim.source}; other data and devices; {claim.timing_note}".removesuffix("; "),
            **stated(claim, CLAIM),
        }
        for claim in claims
    ]
    published = pd.DataFrame(rows, columns=[*methods.columns, "remark"])
    together = pd.concat([methods.assign(remark=""), published], ignore_index=True)
    return together.astype({"batch": "Int64", "seeds": "Int64"})


def methods_sheet(methods: pd.DataFrame, warnings: Sequence[str] = ()) -> Sheet:
    """The two questions of the claim: measured methods, then the published claims with their remarks."""
    names: Columns = {**named("backbone", "method"), "batch": rounded("batch", 0), "seeds": rounded("seeds", 0)}
    notes = [spread_note(methods), LARGEST_BATCH, *few_seeds(methods), *warnings]
    return beside(sheet_of(methods, names, notes), *answers(methods, ASKED), sheet_of(methods, named("remark")))


def methods_by_backbone(methods: pd.DataFrame, warnings: Sequence[str]) -> list[Sheet]:
    """The two questions of the claim, a sheet for each backbone, and the published claims below each."""
    measured = methods["remark"] == ""
    claims = methods[~measured].assign(method="claimed for " + methods["backbone"])
    claimed = "Claims are those of PAUMER's abstract, on other data and devices."
    notes = [spread_note(methods), LARGEST_BATCH, *few_seeds(methods), claimed, *warnings]
    sheets = []
    for (backbone, batch), group in methods[measured].groupby(["backbone", "batch"], sort=False):
        rows = pd.concat([group, claims])
        names = sheet_of(rows, named("method"), notes, title=f"{backbone}, batch {batch}")
        sheets.append(beside(names, *answers(rows, ASKED)))
    return sheets


def answers(methods: pd.DataFrame, asked: Mapping[str, str]) -> list[Sheet]:
    """Columns with the operating points that answer the questions; `asked` has the words of each, in their order."""
    return [sheet_of(methods, _answer(question, words)) for question, words in asked.items()]


def _answer(question: str, words: str) -> Columns:
    return {
        f"{words}: schedule": f"{question}_schedule",
        "its speed-up [95%]": lambda row: speedup_cell(row, f"{question}_"),
        "its drop (points) [95%]": lambda row: drop_cell(row, f"{question}_"),
        "its GMAC ratio": rounded(f"{question}_gmac_ratio", 2),
    }
