"""What every strategy offers, the state it keeps while the blocks run, and the strategy that does nothing."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from torch import Tensor, nn


class Network(Protocol):
    """What a strategy may ask of the network it runs in."""

    def decode(self, patches: Tensor, grid: tuple[int, int]) -> Tensor:
        """Norm and decode patches (batch, patches, width) into logits (batch, classes, height, width)."""

    def arrange(self, cells: Tensor, grid: tuple[int, int]) -> Tensor:
        """Arrange a head's logits (batch, patches, cells, classes) as a map (batch, classes, height, width)."""


@dataclass(frozen=True)
class Prediction:
    """What an auxiliary head said.

    Attributes:
        logits: (batch, running, cells, classes).
        positions: (batch, running), where those patches belong in the image; None: all, in order.
    """

    logits: Tensor
    positions: Tensor | None


@dataclass
class State:
    """One forward pass between its blocks.

    Attributes:
        heads: auxiliary heads by block number (as text).
        prefix: tokens before the patches, which are never paused.
        grid: patches along height and width.
        positions: (batch, running), where the running patches belong; None while all run.
        canvas: (batch, patches, width), paused patches at their places; None while all run.
        predictions: what the heads said, by block.
    """

    heads: nn.ModuleDict
    prefix: int
    grid: tuple[int, int]
    positions: Tensor | None = None
    canvas: Tensor | None = None
    predictions: dict[int, Prediction] = field(default_factory=dict)

    @property
    def patches(self) -> int:
        """Patches of one image, N."""
        return self.grid[0] * self.grid[1]

    def fork(self) -> Self:
        """A copy whose changes do not reach the original; tensors are shared, nothing writes into them."""
        return replace(self, predictions=dict(self.predictions))

    def predict(self, block: int, tokens: Tensor) -> Tensor:
        """The head's logits for the running patches after `block`, (batch, running, cells, classes); run once."""
        if block not in self.predictions:
            logits = self.heads[str(block)](tokens[:, self.prefix :])
            self.predictions[block] = Prediction(logits, self.positions)
        return self.predictions[block].logits


class Strategy:
    """What happens between the blocks. The base class does nothing, which is dense inference.

    Attributes:
        name: its name in tables.
        schedule_text: its parameters in tables.
        criterion_name: its criterion in tables; empty where it has none.
    """

    name = "dense"
    criterion_name = ""

    @property
    def schedule_text(self) -> str:
        """Its parameters in tables."""
        return "dense"

    @property
    def reads(self) -> tuple[int, ...]:
        """The blocks whose auxiliary heads it reads."""
        return ()

    def last_block(self, depth: int) -> int:
        """The number of blocks to run in a network of `depth` blocks."""
        return depth

    def action(self, block: int) -> Hashable:
        """What `after_block` does there: None for nothing, equal values for equal actions."""
        return None

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Take the tokens after a block, (batch, prefix + running, width); give those that go on."""
        return tokens

    def restore(self, tokens: Tensor, state: State) -> Tensor:
        """Put every patch back at its place, (batch, patches, width), without the prefix."""
        return tokens[:, state.prefix :]

    def decode(self, network: Network, tokens: Tensor, state: State) -> Tensor:
        """Patch logits (batch, classes, height, width) from the tokens after the last block."""
        return network.decode(self.restore(tokens, state), state.grid)


class Dense(Strategy):
    """Every patch runs through every block."""
