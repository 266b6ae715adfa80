"""The registry of strategies and recipes: what the configuration may ask for, and which class does it.

To add a strategy, write its class under `paumer/strategies` and register it here. Imports no torch: the workflow plans
with it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from paumer.strategies.notation import Thresholds
from paumer.strategies.parameters import (
    Parameters,
    parse_exit,
    parse_local_merging,
    parse_merging,
    parse_pause,
    parse_scale,
    parse_token_exit,
)
from paumer.system.errors import PaumerError

CHAIN = ">"
NAMED = re.compile(r"(?P<strategy>[a-z-]+(\s*>\s*[a-z-]+)*)\s+(?P<schedule>.+)")  # an operating point of any strategy
SCORES = ("entropy", "confidence", "margin")
BALANCED = ("balanced", "smoothed")
INFORMED = (*SCORES, *BALANCED, "spaced")
CONTROLS = CHANCE, ORACLE = ("random", "oracle")

RecipeName = Literal["dense", "multi-exit", "paumer", "merge", "resize"]
RECIPES: dict[RecipeName, str] = {
    "dense": "plain Segmenter",
    "multi-exit": "auxiliary losses, no pausing",
    "paumer": "auxiliary losses and random pausing",
    "merge": "alike neighbours merge while it trains",
    "resize": "trained on inputs of several sizes",
}
WITH_HEADS: tuple[RecipeName, ...] = ("multi-exit", "paumer")
# In tables, in the place of a strategy: a control network, dense timed again, and dense in its plain formulation.
SMALLER_BACKBONE, DENSE_AGAIN, EXPLICIT_ATTENTION = "smaller-backbone", "dense-again", "explicit-attention"


@dataclass(frozen=True)
class Entry:
    """A registered strategy.

    Attributes:
        implementation: its class, `module:Class`; called with its parameters, and with a criterion if it takes one.
        description: what it does, in a line.
        example: its parameters in their notation, one way a line.
        parse: reads its parameters from their notation; raises PaumerError.
        recipes: the networks that run it unless the configuration names others.
        criteria: those it takes, the first one unless the configuration names others; none at all for most.
        reads_heads: whether it needs an auxiliary head at each of its blocks.
        first: whether it must be the first of a composition.
        inside: whether it acts inside its blocks, between attention and feed-forward network, instead of after them.
        waits: whether patches wait unfinished while others run.
        final: whether it gives predictions instead of tokens; patches that wait would be left without one.
        packs: whether it leaves images with different numbers of patches, packed into one sequence, where its
            parameters depend on the image.
    """

    implementation: str
    description: str
    example: tuple[str, ...]
    parse: Callable[[str], Parameters]
    recipes: tuple[RecipeName, ...]
    criteria: tuple[str, ...] = ()
    reads_heads: bool = False
    first: bool = False
    inside: bool = False
    waits: bool = False
    final: bool = False
    packs: bool = False


REGISTRY: dict[str, Entry] = {
    "pause": Entry(
        "paumer.strategies.pause:Pause",
        "patches whose auxiliary prediction is certain skip all remaining blocks and rejoin before the decoder",
        ("3:0.4", "3:0.2+6:0.2", "3:0.4 over batch", "3@0.9+6@0.9"),
        parse_pause,
        recipes=("paumer",),
        criteria=(*INFORMED, *CONTROLS),
        reads_heads=True,
        waits=True,
        packs=True,
    ),
    "early-exit": Entry(
        "paumer.strategies.early_exit:EarlyExit",
        "the whole image leaves after a fixed block; the auxiliary head there is final",
        ("exit:6",),
        parse_exit,
        recipes=("multi-exit", "paumer"),
        reads_heads=True,
        final=True,
    ),
    "adaptive-exit": Entry(
        "paumer.strategies.early_exit:AdaptiveExit",
        "each image leaves after the first block where the auxiliary head is certain enough on average",
        ("3@0.9+6@0.9",),
        Thresholds.parse,
        recipes=("multi-exit", "paumer"),
        criteria=SCORES,
        reads_heads=True,
        final=True,
    ),
    "token-exit": Entry(
        "paumer.strategies.token_exit:TokenExit",
        "certain patches take the auxiliary head's prediction as final; the best of every class keep running",
        ("3:0.4", "3@0.95+6@0.95", "3:0.4 keep 10"),
        parse_token_exit,
        recipes=("multi-exit",),
        criteria=("confidence", "entropy", "margin"),
        reads_heads=True,
        final=True,
        packs=True,
    ),
    "merge": Entry(
        "paumer.strategies.merge:Merge",
        "similar patches merge by bipartite matching and are copied back before the decoder (after ToMe)",
        ("1-8:0.05",),
        parse_merging,
        recipes=("dense",),
        inside=True,
    ),
    "local-merge": Entry(
        "paumer.strategies.merge:LocalMerge",
        "alike 2 x 2 neighbours merge early, pairs anywhere later; copied back before the decoder (after ALGM)",
        ("1:0.3+6:0.2", "1@0.9+6@0.9"),
        parse_local_merging,
        recipes=("dense", "merge"),
        first=True,
        inside=True,
    ),
    "resize": Entry(
        "paumer.strategies.resize:Resize",
        "the network sees a smaller image: the plainest way to use less",
        ("scale:0.75",),
        parse_scale,
        recipes=("dense", "resize"),
        first=True,
    ),
}


@dataclass(frozen=True)
class Point:
    """An operating point as text: the columns of the tables. A composition joins its parts by `>`.

    Attributes:
        strategy: `dense`, a registered name, or `merge>pause`.
        criterion: empty where the strategy takes none.
        schedule: the parameters.
    """

    strategy: str = "dense"
    criterion: str = ""
    schedule: str = "dense"

    @property
    def links(self) -> list[tuple[Entry, Parameters]]:
        """The parts of the composition, in the order in which they act; none for dense."""
        if self.strategy == "dense":
            return []
        names, texts = self.strategy.split(CHAIN), self.schedule.split(CHAIN)
        return [(REGISTRY[name], REGISTRY[name].parse(text)) for name, text in zip(names, texts, strict=True)]

    @property
    def depends_on_image(self) -> bool:
        """Whether what the image shows decides how much is computed."""
        return any(parameters.depends_on_image for _, parameters in self.links)

    @property
    def head_blocks(self) -> list[int]:
        """The blocks whose auxiliary heads it reads."""
        reading = [(entry, parameters) for entry, parameters in self.links if entry.reads_heads]
        return [
            block
            for entry, parameters in reading
            for block in head_blocks(self.criterion if entry.criteria else "", parameters.blocks)
        ]

    def check_depth(self, depth: int) -> None:
        """Refuse parameters that do not fit a network of `depth` blocks.

        Raises:
            PaumerError: one lies beyond its last block.
        """
        for _, parameters in self.links:
            parameters.check_depth(depth)


def head_blocks(criterion: str, blocks: tuple[int, ...]) -> tuple[int, ...]:
    """Of the blocks of a strategy that reads heads those whose heads it reads; criterion `random` needs none."""
    return () if criterion == CHANCE else blocks


def read_point(text: str, strategy: str = "pause", criterion: str = "") -> Point:
    """The operating point of `dense`, a schedule, or `STRATEGY SCHEDULE` where the strategy is another one.

    Args:
        text: as people write it, `3:0.4` or `token-exit 3:0.4 keep 10`.
        strategy: what a schedule alone is of.
        criterion: of that strategy; empty: its usual one, as that of every other strategy is.

    Raises:
        PaumerError: it is not possible.
    """
    if text.strip() == Point.strategy:
        return Point()
    found = NAMED.fullmatch(text.strip())
    if found is None:
        return operating_point(strategy, criterion, text)
    named = "".join(found["strategy"].split())
    return operating_point(named, criterion if named == strategy else "", found["schedule"])


def operating_point(strategy: str, criterion: str, schedule: str) -> Point:
    """Check an operating point and write it the one way it is written.

    Raises:
        PaumerError: the strategy is unknown, or its criterion, parameters or order are not possible.
    """
    names = check_strategy(strategy)
    entries = [REGISTRY[name] for name in names]
    texts = schedule.split(CHAIN)
    if len(texts) != len(names):
        raise PaumerError(f"strategy {strategy}: {schedule!r} has {len(texts)} parts for {len(names)} strategies")
    parsed = [entry.parse(text.strip()) for entry, text in zip(entries, texts, strict=True)]
    _check_blocks(CHAIN.join(names), entries, parsed)
    return Point(CHAIN.join(names), check_criterion(strategy, criterion), CHAIN.join(map(str, parsed)))


def check_strategy(strategy: str) -> list[str]:
    """The names in a composition, one for a single strategy.

    Raises:
        PaumerError: one is unknown, or their order is not possible.
    """
    names = [name.strip() for name in strategy.split(CHAIN)]
    for name in names:
        if name not in REGISTRY:
            raise PaumerError(f"strategy {name!r} is unknown; use {', '.join(REGISTRY)} or a composition a>b")
    _check_order(names, [REGISTRY[name] for name in names])
    return names


def criteria_of(strategy: str) -> tuple[str, ...]:
    """The criteria that every part of a composition which takes any has in common, the usual one first."""
    taken = [REGISTRY[name.strip()].criteria for name in strategy.split(CHAIN) if REGISTRY[name.strip()].criteria]
    return tuple(name for name in taken[0] if all(name in others for others in taken)) if taken else ()


def recipes_of(strategy: str) -> tuple[RecipeName, ...]:
    """The networks that run a strategy unless the configuration names others.

    A composition goes by its last part that reads auxiliary heads, or else by its last part.
    """
    entries = [REGISTRY[name.strip()] for name in strategy.split(CHAIN)]
    return ([entry for entry in entries if entry.reads_heads] or entries)[-1].recipes


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


def _check_order(names: list[str], entries: list[Entry]) -> None:
    """Refuse compositions that cannot be undone."""
    if len(set(names)) < len(names):
        raise PaumerError(f"strategy {CHAIN.join(names)}: each may stand once; give one several locations instead")
    for number, (name, entry) in enumerate(zip(names, entries, strict=True)):
        if entry.first and any(not before.first for before in entries[:number]):
            raise PaumerError(f"strategy {CHAIN.join(names)}: {name} needs the whole grid; put it first")
        if entry.final and any(before.waits for before in entries[:number]):
            raise PaumerError(
                f"strategy {CHAIN.join(names)}: {name} would leave patches that wait without a prediction; put it first"
            )
    for name, entry in zip(names[:-1], entries[:-1], strict=True):
        if name == "early-exit" and entry.final:
            raise PaumerError(f"strategy {CHAIN.join(names)}: nothing runs after early-exit; put it last")


def _check_blocks(strategy: str, entries: list[Entry], parsed: list[Parameters]) -> None:
    """Refuse compositions whose blocks contradict their order."""
    for (one, first), (other, second) in permutations(zip(entries, parsed, strict=True), 2):
        if not first.blocks or not second.blocks:
            continue
        if one.packs and first.depends_on_image and second.blocks[-1] > first.blocks[0]:
            raise PaumerError(
                f"strategy {strategy}: after {first} images have different numbers of patches, which {second} cannot "
                f"take; end it by block {first.blocks[0]}"
            )
        if one.inside and other.inside and (shared := set(first.blocks) & set(second.blocks)):
            raise PaumerError(f"strategy {strategy}: {first} and {second} act inside block {min(shared)}; move one")
        if one.first and second.blocks[0] < first.blocks[0]:
            raise PaumerError(f"strategy {strategy}: {first} needs the whole grid; begin before {second}")
        if one.final and other.waits and first.blocks[-1] > second.blocks[0]:
            raise PaumerError(
                f"strategy {strategy}: {first} would leave patches that wait without a prediction; end by "
                f"block {second.blocks[0]}"
            )
