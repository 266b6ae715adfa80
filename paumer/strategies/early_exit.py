"""Early exit at a fixed block: the whole image leaves through the auxiliary head there."""

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from paumer.parameters import Exit
from paumer.strategies.contract import Network, Strategy
from paumer.strategies.heads import Head
from paumer.strategies.places import Places
from paumer.strategies.state import State


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
