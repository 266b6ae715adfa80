"""Compositions: several strategies in one forward pass, since they save different work.

From operating points, as the configuration writes them, to strategies that run.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from importlib import import_module

from torch import Tensor

from paumer.strategies.contract import Dense, Network, Strategy
from paumer.strategies.registry import CHAIN, Entry, Parameters, Point
from paumer.strategies.state import State
from paumer.system.errors import PaumerError


@dataclass(frozen=True)
class Chain(Strategy):
    """Each strategy takes the tokens that the one before leaves; all is undone in reverse order."""

    links: tuple[Strategy, ...]

    @property
    def name(self) -> str:  # type: ignore[override]
        """The names, `merge>pause`."""
        return CHAIN.join(link.name for link in self.links)

    @property
    def schedule_text(self) -> str:
        """The parameters, `1-4:0.1>6:0.3`."""
        return CHAIN.join(link.schedule_text for link in self.links)

    @property
    def criterion_name(self) -> str:  # type: ignore[override]
        """The criterion that the links share."""
        return next((link.criterion_name for link in self.links if link.criterion_name), "")

    @property
    def per_image(self) -> bool:  # type: ignore[override]
        """Whether any link needs images one by one."""
        return any(link.per_image for link in self.links)

    @property
    def input_scale(self) -> float:  # type: ignore[override]
        """Share of the image's height and width."""
        scale = 1.0
        for link in self.links:
            scale *= link.input_scale
        return scale

    @property
    def reads(self) -> tuple[int, ...]:
        """The blocks of all links."""
        return tuple(block for link in self.links for block in link.reads)

    def skip(self, network: Network) -> str:
        """The first reason that a link has."""
        return next((reason for link in self.links if (reason := link.skip(network))), "")

    def last_block(self, depth: int) -> int:
        """Where the first link stops."""
        return min(link.last_block(depth) for link in self.links)

    def inside(self, block: int) -> Hashable:
        """What the links do inside a block; as the link's own where it is one.

        Raises:
            PaumerError: two links merge inside the same block.
        """
        actions = [action for link in self.links if (action := link.inside(block)) is not None]
        if len(actions) > 1:
            raise PaumerError(f"{self.name} {self.schedule_text}: two act inside block {block}; move one")
        return actions[0] if actions else None

    def inside_block(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Let the link act that does so here."""
        for link in self.links:
            if link.inside(block) is not None:
                return link.inside_block(block, tokens, keys, state)
        return tokens

    def action(self, block: int) -> Hashable:
        """What the links do after a block; as the link's own where it is one."""
        actions = tuple(action for link in self.links if (action := link.action(block)) is not None)
        return actions[0] if len(actions) == 1 else actions or None

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Let the links act in turn."""
        for link in self.links:
            tokens = link.after_block(block, tokens, state)
        return tokens

    def classify(self, network: Network, patches: Tensor, state: State) -> Tensor:
        """As the last link does."""
        return self.links[-1].classify(network, patches, state)


def build_strategy(point: Point) -> Strategy:
    """The strategy of an operating point; a composition becomes a chain."""
    links = tuple(_build(entry, parameters, point.criterion) for entry, parameters in point.links)
    if not links:
        return Dense()
    return links[0] if len(links) == 1 else Chain(links)


def runnable(network: Network, points: Sequence[Point], label: str) -> list[tuple[Point, Strategy]]:
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
            print(f"{label}: {point.strategy} {point.schedule} left out: {reason}")
        else:
            chosen.append((point, strategy))
    return chosen


def _build(entry: Entry, parameters: Parameters, criterion: str) -> Strategy:
    module, name = entry.implementation.split(":")
    implementation = getattr(import_module(module), name)
    return implementation(parameters, criterion) if entry.criteria else implementation(parameters)
