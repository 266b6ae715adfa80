"""What every strategy offers, the state it keeps while the blocks run, and the strategy that does nothing."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, Self, cast

import torch
from torch import Tensor, nn

from paumer.errors import PaumerError
from paumer.schedule import Schedule
from paumer.strategies.reductions import Paused, Reduction, take


class Head(Protocol):
    """From patches (batch, patches, width) to logits (batch, patches, cells, classes)."""

    def __call__(self, patches: Tensor) -> Tensor:
        """Predict."""

    def macs(self, patches: int) -> float:
        """Multiply-accumulates of one image of so many patches."""


class Network(Protocol):
    """What a strategy may ask of the network it runs in."""

    heads: nn.ModuleDict

    @property
    def blocks(self) -> nn.Sequential:
        """The encoder layers."""

    def classify(self, patches: Tensor, state: "State") -> Tensor:
        """Norm and decode patches (batch, patches, width) into logits (batch, patches, cells, classes)."""


@dataclass
class State:
    """One forward pass between its blocks.

    Attributes:
        heads: auxiliary heads by block number (as text).
        prefix: tokens before the patches, which are never reduced.
        grid: patches along height and width.
        sizes: how many patches each running token stands for, (batch, running); None while each stands for one.
        truth: pixels of each class in every cell, (batch, running, cells, classes), for training and analysis.
        final_loss: what the dense network's prediction will cost each running patch, (batch, running), for analysis.
        reductions: what has been reduced so far, to be undone from last to first.
        said: what the heads said of the running patches after the present block.
        macs: multiply-accumulates of each image so far, (images,); None where nobody counts.
        images: which images of the batch still run; None while all do.
    """

    heads: nn.ModuleDict
    prefix: int
    grid: tuple[int, int]
    sizes: Tensor | None = None
    truth: Tensor | None = None
    final_loss: Tensor | None = None
    reductions: tuple[Reduction, ...] = ()
    said: tuple[tuple[int, Tensor], ...] = ()
    macs: Tensor | None = None
    images: Tensor | None = None

    @property
    def patches(self) -> int:
        """Patches of one image, N."""
        return self.grid[0] * self.grid[1]

    def running(self, tokens: Tensor) -> int:
        """How many patches of an image run."""
        return int(tokens.shape[1]) - self.prefix  # tracing hands over tensors

    def fork(self) -> Self:
        """A copy whose changes do not reach the original; tensors are shared, nothing writes into them."""
        return replace(self)

    def predict(self, block: int, tokens: Tensor) -> Tensor:
        """The head's logits for the running patches after `block`, (batch, running, cells, classes); run once."""
        known = dict(self.said)
        if block not in known:
            head = cast(Head, self.heads[str(block)])
            patches = tokens[:, self.prefix :]
            known[block] = head(patches)
            self.charge(lambda: head.macs(patches.shape[1]))
            self.said = ((block, known[block]),)
        return known[block]

    def left_by(self, strategy: str, schedule: Schedule, block: int, running: int) -> int:
        """How many of the running patches a strategy's schedule lets go on after `block`, at least one.

        Fractions are of the patches before the strategy's first reduction; what others took away since comes off too.
        """
        counts = [*(reduction.before for reduction in self.reductions), running]
        own = [reduction.by == strategy for reduction in self.reductions]
        first = own.index(True) if any(own) else len(own)
        taken = [before - after for before, after in pairwise(counts[first:])]
        others = sum(count for count, mine in zip(taken, own[first:], strict=True) if not mine)
        return min(running, max(1, schedule.running(counts[first])[block] - others))

    def select(self, tokens: Tensor, chosen: Tensor, reduction: Reduction) -> Tensor:
        """Go on with the patches `chosen` (batch, kept); give prefix and chosen patches."""
        self._carry(lambda values: take(values, chosen))
        self.reductions, self.said = (*self.reductions, reduction), ()
        prefix = torch.arange(self.prefix, device=tokens.device).expand(len(tokens), -1)
        return take(tokens, torch.cat([prefix, chosen + self.prefix], dim=1))

    def merge(self, add: Callable[[Tensor], Tensor], sizes: Tensor, reduction: Reduction) -> None:
        """Note that running patches have become one; `add` sums values (batch, running, ...) of those that did."""
        self._carry(add)
        self.sizes = sizes
        self.reductions, self.said = (*self.reductions, reduction), ()

    def leave(self, tokens: Tensor, stay: Tensor, reduction: Reduction) -> Tensor:
        """Go on with the images `stay` alone; give their tokens."""
        self._carry(lambda values: values[stay])
        self.images = stay if self.images is None else self.images[stay]
        self.said = tuple((block, logits[stay]) for block, logits in self.said)
        self.reductions = (*self.reductions, reduction)
        return tokens[stay]

    def _carry(self, change: Callable[[Tensor], Tensor]) -> None:
        """Let what is known of every running patch go the way of the patches."""
        self.sizes = None if self.sizes is None else change(self.sizes)
        self.truth = None if self.truth is None else change(self.truth)
        self.final_loss = None if self.final_loss is None else change(self.final_loss)

    def charge(self, macs: Callable[[], float]) -> None:
        """Add multiply-accumulates to every image that still runs; they are only computed where somebody counts."""
        if self.macs is not None:
            amount = torch.full((len(self.macs),), float(macs()), dtype=torch.float64)
            if self.images is not None:
                running = torch.zeros_like(amount).index_fill(0, self.images.cpu(), 1.0)
                amount = amount * running
            self.macs = self.macs + amount

    def paused_at(self) -> list[tuple[Tensor, Tensor]]:
        """For every pause so far the patches before it and those that went on, as places on the grid, (batch, ...)."""
        places, steps = torch.arange(self.patches), []
        for reduction in self.reductions:
            if isinstance(reduction, Paused):
                places = places.to(reduction.chosen.device).expand(len(reduction.chosen), -1)
                steps.append((places, places.gather(1, reduction.chosen)))
                places = steps[-1][1]
        return steps


class Strategy:
    """What happens between the blocks. The base class does nothing, which is dense inference.

    A strategy reduces the running patches through the state, which undoes it before the decoder. Subclasses are built
    from their parameters, and from a criterion if they take one, as the registry says.

    Attributes:
        name: its name in tables.
        criterion_name: its criterion in tables; empty where it has none.
        per_image: how many patches it leaves depends on the image, so images run one by one.
        input_scale: share of the image's height and width that the network sees.
    """

    name = "dense"
    criterion_name = ""
    per_image = False
    input_scale = 1.0

    @property
    def schedule_text(self) -> str:
        """Its parameters in tables."""
        return "dense"

    @property
    def reads(self) -> tuple[int, ...]:
        """The blocks whose auxiliary heads it reads."""
        return ()

    def skip(self, network: Network) -> str:
        """Why this network cannot run it; empty where it can."""
        missing = [block for block in self.reads if str(block) not in network.heads]
        return f"the network has no auxiliary head after block {missing[0]}" if missing else ""

    def last_block(self, depth: int) -> int:
        """The number of blocks to run in a network of `depth` blocks."""
        return depth

    def inside(self, block: int) -> Hashable:
        """What `inside_block` does there: None for nothing, equal values for equal actions."""
        return None

    def inside_block(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Take the tokens between a block's attention and its feed-forward network; give those that go on.

        Args:
            block: its number.
            tokens: (batch, prefix + running, width).
            keys: of the attention, mean over its heads, (batch, prefix + running, channels).
            state: the forward pass.
        """
        return tokens

    def action(self, block: int) -> Hashable:
        """What `after_block` does there: None for nothing, equal values for equal actions."""
        return None

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Take the tokens after a block, (batch, prefix + running, width); give those that go on."""
        return tokens

    def classify(self, network: Network, patches: Tensor, state: State) -> Tensor:
        """Logits (batch, patches, cells, classes) of patches (batch, patches, width) after the last block."""
        return network.classify(patches, state)

    def finish(self, network: Network, tokens: Tensor, state: State) -> Tensor:
        """Undo all reductions and classify: logits of every patch at its place, (batch, patches, cells, classes).

        Tokens are undone up to the first reduction that kept predictions; from there on it is logits.
        """
        values, classified = tokens[:, state.prefix :], False
        for reduction in reversed(state.reductions):
            if reduction.of_logits and not classified:
                values, classified = self.classify(network, values, state), True
            if classified and isinstance(reduction, Paused):
                raise PaumerError(
                    f"{self.name} {self.schedule_text}: patches that wait have no prediction; pause later"
                )
            values = reduction.undo(values)
        return values if classified else self.classify(network, values, state)


class Dense(Strategy):
    """Every patch runs through every block."""
