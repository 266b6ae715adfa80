"""Operating points: from their text to registered strategies, and back.

Imports no torch: the workflow plans with it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from typing import NamedTuple

from paumer.strategies.contract import CHAIN, Chain, Dense, Network, Strategy
from paumer.strategies.declared import REGISTRY
from paumer.strategies.families import Family
from paumer.system.errors import PaumerError

SCALES, ON_EACH_SCALE = (0.95, 0.9, 0.85, 0.75), 2  # inputs of a composition with resize, and families on each
NAMED = re.compile(r"(?P<strategy>[a-z-]+(\s*>\s*[a-z-]+)*)\s+(?P<schedule>.+)")  # an operating point of any strategy
# In tables, in the place of a strategy: a control network, dense timed again, and dense in its plain formulation.
SMALLER_BACKBONE, DENSE_AGAIN, EXPLICIT_ATTENTION = "smaller-backbone", "dense-again", "explicit-attention"


class Label(NamedTuple):
    """The columns of tables that name an operating point, or something else that is measured beside them."""

    strategy: str = "dense"
    criterion: str = ""
    schedule: str = "dense"


@dataclass(frozen=True)
class OperatingPoint:
    """One way to run a trained network: one strategy with its parameters, a composition, or none at all for dense.

    Attributes:
        parts: the strategies, in the order in which they act.
    """

    parts: tuple[Strategy, ...] = ()

    def __str__(self) -> str:
        """Strategy and schedule as `read_point` reads them back, `merge>pause 1-4:0.1>6:0.3`."""
        return str(self.built)

    @cached_property
    def built(self) -> Strategy:
        """What runs it; a composition becomes a chain."""
        if not self.parts:
            return Dense()
        return self.parts[0] if len(self.parts) == 1 else Chain(links=self.parts)

    @property
    def strategy(self) -> str:
        """`dense`, a registered name, or names joined by `>`."""
        return self.built.name

    @property
    def criterion(self) -> str:
        """The criterion that the parts share; empty where none takes one."""
        return self.built.criterion_name

    @property
    def schedule(self) -> str:
        """The parameters, joined by `>`."""
        return self.built.schedule_text

    def scored_by(self, criterion: str) -> "OperatingPoint":
        """The same by a criterion that all parts which take any have in common."""
        return OperatingPoint(
            tuple(replace(part, criterion_name=criterion) if part.criteria else part for part in self.parts)
        )

    @property
    def label(self) -> Label:
        """What names it in tables."""
        return Label(self.strategy, self.criterion, self.schedule)

    @property
    def varies(self) -> bool:
        """Whether what an image shows decides how much is computed for it."""
        return self.built.varies

    @property
    def head_blocks(self) -> tuple[int, ...]:
        """The blocks whose auxiliary heads it reads."""
        return self.built.head_blocks

    def check_depth(self, depth: int) -> None:
        """Refuse parameters that do not fit a network of `depth` blocks.

        Raises:
            PaumerError: one lies beyond its last block.
        """
        for part in self.parts:
            part.parameters.check_depth(depth)


def read_point(text: str, strategy: str = "pause", criterion: str = "") -> OperatingPoint:
    """The operating point of `dense`, a schedule, or `STRATEGY SCHEDULE` where the strategy is another one.

    Args:
        text: as people write it, `3:0.4` or `token-exit 3:0.4 keep 10`.
        strategy: what a schedule alone is of.
        criterion: of that strategy; empty: its usual one, as that of every other strategy is.

    Raises:
        PaumerError: it is not possible.
    """
    if text.strip() == "dense":
        return OperatingPoint()
    found = NAMED.fullmatch(text.strip())
    if found is None:
        return operating_point(strategy, criterion, text)
    named = "".join(found["strategy"].split())
    return operating_point(named, criterion if named == strategy else "", found["schedule"])


def operating_point(strategy: str, criterion: str, schedule: str) -> OperatingPoint:
    """Read an operating point.

    Raises:
        PaumerError: the strategy is unknown, or its criterion, parameters or order are not possible.
    """
    kinds, texts = check_strategy(strategy), schedule.split(CHAIN)
    if len(texts) != len(kinds):
        raise PaumerError(f"strategy {strategy}: {schedule!r} has {len(texts)} parts for {len(kinds)} strategies")
    parsed = [kind.parse(text.strip()) for kind, text in zip(kinds, texts, strict=True)]
    chosen = check_criterion(strategy, criterion)
    parts = [kind(parameters, chosen if kind.criteria else "") for kind, parameters in zip(kinds, parsed, strict=True)]
    _check_blocks(parts)
    return OperatingPoint(tuple(parts))


def check_strategy(strategy: str) -> list[type[Strategy]]:
    """The strategies of a composition, one for a single strategy.

    Raises:
        PaumerError: one is unknown, or their order is not possible.
    """
    names = [name.strip() for name in strategy.split(CHAIN)]
    for name in names:
        if name not in REGISTRY:
            raise PaumerError(f"strategy {name!r} is unknown; use {', '.join(REGISTRY)} or a composition a>b")
    kinds = [REGISTRY[name] for name in names]
    _check_order(CHAIN.join(names), kinds)
    return kinds


def families_of(strategy: str, heads: Sequence[int], depth: int) -> tuple[Family, ...]:
    """The families of schedules of a strategy, or of a smaller input and a strategy on it, `resize>pause`.

    Args:
        strategy: one strategy, or a composition.
        heads: the blocks with an auxiliary head that others follow.
        depth: number of blocks.

    Raises:
        PaumerError: it has none: its cost depends on the image, or it is another composition.
    """
    *before, last = check_strategy(strategy)
    families = last.families(heads, depth)
    if [kind.name for kind in before] == ["resize"]:
        families = tuple(family.after(f"scale:{scale:g}") for scale in SCALES for family in families[:ON_EACH_SCALE])
    elif before:
        families = ()
    if not families:
        raise PaumerError(
            f"strategy {strategy}: no parameters to search for a speed; use {', '.join(searchable())}, or one of them "
            "after resize>"
        )
    return families


def searchable() -> list[str]:
    """The strategies whose parameters can be searched for a speed."""
    return [name for name, kind in REGISTRY.items() if kind.families(heads=(1,), depth=2)]


def criteria_of(strategy: str) -> tuple[str, ...]:
    """The criteria that every part of a composition which takes any has in common, the usual one first."""
    taken = [REGISTRY[name.strip()].criteria for name in strategy.split(CHAIN) if REGISTRY[name.strip()].criteria]
    return tuple(name for name in taken[0] if all(name in others for others in taken)) if taken else ()


def recipes_of(strategy: str) -> tuple[str, ...]:
    """The networks that run a strategy unless the configuration names others.

    A composition goes by its last part that reads auxiliary heads, or else by its last part.
    """
    kinds = [REGISTRY[name.strip()] for name in strategy.split(CHAIN)]
    return ([kind for kind in kinds if kind.reads_heads] or kinds)[-1].recipes


def check_criterion(strategy: str, criterion: str) -> str:
    """The criterion, or the usual one where it is empty.

    Raises:
        PaumerError: the strategy does not take it.
    """
    possible = criteria_of(strategy)
    if criterion and criterion not in possible:
        raise PaumerError(f"strategy {strategy}: no criterion {criterion!r}; use {', '.join(possible) or 'none'}")
    return criterion or (possible[0] if possible else "")


def pauses_last(strategy: str) -> bool:
    """Whether a strategy pauses, alone or as the last of a composition."""
    return strategy.split(CHAIN)[-1].strip() == "pause"


def build_strategy(point: OperatingPoint) -> Strategy:
    """What runs an operating point."""
    return point.built


def runnable(network: Network, points: Sequence[OperatingPoint], label: str) -> list[tuple[OperatingPoint, Strategy]]:
    """The operating points that a network can run, with their strategies; the others are named with the reason.

    Args:
        network: what they are to run in.
        points: operating points.
        label: what to call the network.

    Raises:
        PaumerError: the parameters of one do not fit the network's depth.
    """
    chosen = []
    for point in points:
        point.check_depth(len(network.blocks))
        strategy = build_strategy(point)
        if reason := strategy.skip(network):
            print(f"{label}: {point} left out: {reason}")
        else:
            chosen.append((point, strategy))
    return chosen


def _check_order(strategy: str, kinds: Sequence[type[Strategy]]) -> None:
    """Refuse compositions that cannot be undone."""
    if len(set(kinds)) < len(kinds):
        raise PaumerError(f"strategy {strategy}: each may stand once; give one several locations instead")
    for number, kind in enumerate(kinds):
        if kind.needs_full_grid and any(not before.needs_full_grid for before in kinds[:number]):
            raise PaumerError(f"strategy {strategy}: {kind.name} needs the whole grid; put it first")
        if kind.outputs_logits and any(before.defers_tokens for before in kinds[:number]):
            raise PaumerError(
                f"strategy {strategy}: {kind.name} would leave patches that wait without a prediction; put it first"
            )
    if ending := [kind.name for kind in kinds[:-1] if kind.ends_pass]:
        raise PaumerError(f"strategy {strategy}: nothing runs after {ending[0]}; put it last")


def _check_blocks(parts: Sequence[Strategy]) -> None:
    """Refuse compositions whose blocks contradict their order."""
    strategy = CHAIN.join(part.name for part in parts)
    for one, other in permutations(parts, 2):
        first, second = one.parameters, other.parameters
        if not first.blocks or not second.blocks:
            continue
        takes_packed = other.ends_pass or (other.ragged and second.varies)
        from_then_on = second.blocks[-1] + (parts.index(other) > parts.index(one) and not other.within_block)
        if one.ragged and first.varies and not takes_packed and from_then_on > first.blocks[0]:
            raise PaumerError(
                f"strategy {strategy}: after {first} images have different numbers of patches, which {second} cannot "
                f"take; end it before"
            )
        if one.within_block and other.within_block and (shared := set(first.blocks) & set(second.blocks)):
            raise PaumerError(f"strategy {strategy}: {first} and {second} act inside block {min(shared)}; move one")
        if one.needs_full_grid and second.blocks[0] < first.blocks[0]:
            raise PaumerError(f"strategy {strategy}: {first} needs the whole grid; begin before {second}")
        if one.outputs_logits and other.defers_tokens and first.blocks[-1] > second.blocks[0]:
            raise PaumerError(
                f"strategy {strategy}: {first} would leave patches that wait without a prediction; end by "
                f"block {second.blocks[0]}"
            )
