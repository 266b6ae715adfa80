"""Methods as families, under names that need no glossary: what a network does, whatever its recipe and schedule."""

import pandas as pd

from paumer.reporting.frames import CHANCE
from paumer.reporting.tables.selection import methods_at_largest_batch
from paumer.strategies.contract import CHAIN
from paumer.strategies.registry import SMALLER_BACKBONE

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
