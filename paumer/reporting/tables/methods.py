"""The table of methods: what each can do at PAUMER's published claim, and the families that methods belong to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from paumer.measurement.budget import Budget, best
from paumer.reporting.frames import BEST, CHANCE, at_largest_batch, parts_of, read_table
from paumer.reporting.sheets import (
    LARGEST_BATCH,
    NOT_TIMED,
    SPREAD,
    Row,
    Sheet,
    drop_cell,
    few_seeds,
    latex,
    latex_notes,
    number,
    speedup_cell,
)
from paumer.strategies.registry import SMALLER_BACKBONE
from paumer.system.errors import PaumerError


@dataclass(frozen=True)
class Claim:
    """A published pair: mIoU drop in points and speed-up, on a dataset."""

    dataset: str
    drop: float
    speedup: float


# The abstract's better claim. Asked of every method: how fast within this drop, and which drop at this speed-up?
CLAIM = Claim("Cityscapes", drop=0.65, speedup=1.5)

QUESTIONS = ("fastest", "most_accurate")
SHOWN = ["schedule", "speedup", "speedup_low", "speedup_high", "drop", "drop_spread", "gmac_ratio"]
COLUMNS = ["backbone", "method", "batch", "seeds", *(f"{question}_{name}" for question in QUESTIONS for name in SHOWN)]
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
    "resize": "smaller input",
    SMALLER_BACKBONE: "smaller network",
}


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


def methods_at_largest_batch(main: pd.DataFrame) -> pd.DataFrame:
    """The rows of `at_largest_batch` that could be deployed instead of the dense network, which the oracle cannot."""
    points = at_largest_batch(main)
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
    """The rows of `methods_at_largest_batch` without the control by chance, with columns `family` and `rival`.

    A rival is a family in which no patch pauses.
    """
    points = methods_at_largest_batch(main)
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
        speedup_low, speedup_high, drop, drop_spread and gmac_ratio. Schedule `none`: no point qualifies; `not timed`:
        the method has no speed-up at this batch.
    """
    rows = []
    for (backbone, method), group in methods_at_largest_batch(main).groupby(["backbone", "method"], sort=False):
        budgets = {
            "fastest": Budget(max_drop=claim.drop),
            "most_accurate": Budget(speedup=claim.speedup, tolerance=0),
        }
        row: dict[Any, Any] = {
            "backbone": backbone,
            "method": method,
            "batch": group["batch"].iloc[0],
            "seeds": group["seeds"].min(),
        }
        for question, budget in budgets.items():
            point = best(group.itertuples(index=False), budget)
            row[f"{question}_schedule"] = NONE if group["speedup"].notna().any() else NOT_TIMED
            if point is not None:
                row |= {f"{question}_{name}": getattr(point, name) for name in SHOWN}
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def with_claims(methods: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """Put the published claims below what was measured of each method, with a column `remark`."""
    rows = []
    for claim in claims.to_dict("records"):
        stated = {"schedule": NOT_STATED, "speedup": claim["speedup"], "drop": claim["drop"]}
        answers = {
            "fastest": stated if claim["drop"] <= CLAIM.drop else {"schedule": NONE},
            "most_accurate": stated if claim["speedup"] >= CLAIM.speedup else {"schedule": NONE},
        }
        remark = f"{claim['source']}; other data and devices; {claim['timing_note']}".removesuffix("; ")
        numbers = {f"{question}_{name}": value for question, one in answers.items() for name, value in one.items()}
        rows.append({"backbone": claim["dataset"], "method": "published claim", "remark": remark} | numbers)
    published = pd.DataFrame(rows, columns=[*methods.columns, "remark"])
    together = pd.concat([methods.assign(remark=""), published], ignore_index=True)
    return together.astype({"batch": "Int64", "seeds": "Int64"})


def methods_sheet(methods: pd.DataFrame, warnings: Sequence[str] = ()) -> Sheet:
    """The two questions of the claim: measured methods, then the published claims with their remarks."""
    headings = ["backbone", "method", "batch", "seeds"]
    for question in _asked():
        headings += [f"{question}: schedule", "its speed-up [95%]", "its drop (points) [95%]", "its GMAC ratio"]
    rows = [
        [
            *(row["backbone"], row["method"], number(row["batch"], 0), number(row["seeds"], 0)),
            *(cell for name in QUESTIONS for cell in (*answer_cells(row, name), number(row[f"{name}_gmac_ratio"], 2))),
            row["remark"],
        ]
        for row in methods.to_dict("records")
    ]
    return Sheet([*headings, "remark"], rows, [*_methods_notes(methods), *warnings])


def methods_latex(methods: pd.DataFrame, warnings: Sequence[str]) -> str:
    """The two questions of the claim, a table for each backbone, and the published claims below each."""
    spans = [("", 1), *((question, 3) for question in _asked())]
    headings = ["method", *(2 * ["schedule", "speed-up [95%]", "drop"])]
    measured = methods["remark"] == ""
    claims = [(f"claimed for {row['backbone']}", row) for row in methods[~measured].to_dict("records")]
    sheets = []
    for backbone, rows in methods[measured].groupby("backbone", sort=False):
        named = [*((row["method"], row) for row in rows.to_dict("records")), *claims]
        cells = [
            [name, *(cell for question in QUESTIONS for cell in answer_cells(row, question))] for name, row in named
        ]
        sheets.append(Sheet(headings, cells, title=f"{backbone}, batch {number(rows['batch'].iloc[0], 0)}"))
    claimed = "Claims are those of PAUMER's abstract, on other data and devices."
    return latex(*sheets, spans=spans) + latex_notes([*_methods_notes(methods), claimed, *warnings])


def answer_cells(row: Row, question: str) -> list[str]:
    """Schedule, speed-up and drop of the operating point that answers one of `QUESTIONS`."""
    return [row[f"{question}_schedule"], speedup_cell(row, f"{question}_"), drop_cell(row, f"{question}_")]


def _asked() -> list[str]:
    """The two questions in words."""
    return [f"fastest at drop <= {CLAIM.drop:g}", f"smallest drop at speed-up >= {CLAIM.speedup:g}"]


def _methods_notes(methods: pd.DataFrame) -> list[str]:
    return [SPREAD, LARGEST_BATCH, *few_seeds(methods)]
