"""Early exit at a fixed block: the whole image leaves through the auxiliary head there."""

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from paumer.parameters import Exit
from paumer.strategies.contract import Network, Strategy
from paumer.strategies.places import Places
from paumer.strategies.state import Head, State


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
            adapter, count, everywhere = head.adapter, patches.shape[1], Places(state.grid, len(patches))
            state.charge(lambda: adapter.macs(count, state.patches))
            patches = adapter(patches, everywhere if count == state.patches else state.places(patches))
        return head(patches)
