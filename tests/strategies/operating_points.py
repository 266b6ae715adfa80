"""Strategies from their notation, and compositions of every pair that may follow each other."""

from itertools import permutations

from torch import Tensor

from paumer.strategies.contract import CHAIN, Strategy
from paumer.strategies.registry import REGISTRY, OperatingPoint, build_strategy, operating_point
from paumer.strategies.state import State
from paumer.system.errors import PaumerError

# For compositions: thresholds that some images of a tiny network exceed, and parameters that may stand second.
FIRST = {"adaptive-exit": "3@0.19+6@0.25"}
SECOND = FIRST | {"pause": "7:0.3", "merge": "2-4:0.05"}


def strategy(name: str, schedule: str, criterion: str = "") -> Strategy:
    """The strategy of an operating point."""
    return build_strategy(operating_point(name, criterion, schedule))


def examples() -> list[OperatingPoint]:
    """The examples of every registered strategy, with every criterion it takes."""
    return [
        operating_point(name, criterion, text)
        for name, entry in REGISTRY.items()
        for text in entry.examples
        for criterion in entry.criteria or ("",)
    ]


def pairs() -> list[OperatingPoint]:
    """Every pair of strategies whose order is possible."""
    found = []
    for first, second in permutations(REGISTRY, 2):
        texts = (FIRST.get(first, REGISTRY[first].examples[0]), SECOND.get(second, REGISTRY[second].examples[0]))
        try:
            found.append(operating_point(f"{first}{CHAIN}{second}", "", CHAIN.join(texts)))
        except PaumerError:
            continue
    return found


def describe(point: OperatingPoint) -> str:
    """A name for a test."""
    return " ".join(filter(None, (point.strategy, point.criterion, point.schedule)))


def restored(tokens: Tensor, state: State) -> Tensor:
    """All patches (batch, patches, width) from the tokens after the last block, every one at its place."""
    values = state.patches_of(tokens)
    for reduction in reversed(state.reductions):
        values = reduction.restore(values)
    return values
