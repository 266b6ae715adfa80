"""Early exit at a fixed block: the whole image leaves through the auxiliary head there.

Adaptive exit: each image leaves after the first block where the auxiliary head is certain enough.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import cast

from torch import Tensor

from paumer.strategies.contract import Network, Strategy
from paumer.strategies.criteria import scores
from paumer.strategies.notation import Thresholds
from paumer.strategies.parameters import Exit
from paumer.strategies.state import State
from paumer.strategies.tokens import Head, Left, Places


@dataclass(frozen=True)
class EarlyExit(Strategy):
    """Stop after a block; the auxiliary head's prediction is final."""

    exit: Exit
    name = "early-exit"

    @property
    def schedule_text(self) -> str:
        """The block, `exit:6`."""
        return str(self.exit)

    @property
    def reads(self) -> tuple[int, ...]:
        """The block of the exit."""
        return self.exit.blocks

    def last_block(self, depth: int) -> int:
        """The block of the exit."""
        return self.exit.block

    def classify(self, network: Network, patches: Tensor, state: State) -> Tensor:
        """The head's logits."""
        head = cast(Head, network.heads[str(self.exit.block)])
        state.charge(lambda: head.macs(patches.shape[1]))
        if head.adapter is not None:
            whole = patches.shape[1] == state.patches  # every patch is back at its place
            places = Places(state.grid, patches.shape[0]) if whole else state.places(patches)
            patches = state.carry(head.adapter, patches, places)
        return head(patches)


@dataclass(frozen=True)
class AdaptiveExit(Strategy):
    """An image leaves where the mean certainty of its patches exceeds the threshold; those that go on are re-batched.

    The head's prediction is final for images that leave. A threshold of 1 or more is never exceeded.
    """

    thresholds: Thresholds
    criterion_name: str = "entropy"
    name = "adaptive-exit"

    @property
    def schedule_text(self) -> str:
        """The thresholds, `3@0.9+6@0.9`."""
        return str(self.thresholds)

    @property
    def reads(self) -> tuple[int, ...]:
        """The blocks where an image may leave."""
        return self.thresholds.blocks

    def action(self, block: int) -> Hashable:
        """Threshold and criterion at this block; None where no image may leave."""
        thresholds = self.thresholds.values
        return (self.name, self.criterion_name, thresholds[block]) if block in thresholds else None

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Let certain images leave; give the tokens of the others."""
        threshold = self.thresholds.values.get(block)
        if threshold is None:
            return tokens
        needs = scores(self.criterion_name, block, tokens, state)
        weights = needs.new_ones(needs.shape) if state.sizes is None else state.sizes
        certainty = 1 - (needs * weights).sum(dim=1) / weights.sum(dim=1)
        stay = (certainty <= threshold).nonzero().squeeze(1)
        # Noted even where all stay: what is classified at which size must not depend on the rest of the batch.
        return state.leave(tokens, stay, Left(self.name, state.predict(block, tokens), stay))
