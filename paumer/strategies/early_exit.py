"""Early exit at a fixed block: the whole image leaves through the auxiliary head there."""

from dataclasses import dataclass

from torch import Tensor

from paumer.strategies.contract import Network, State, Strategy


@dataclass(frozen=True)
class EarlyExit(Strategy):
    """Stop after `block`; the auxiliary head's prediction is final."""

    block: int
    name = "early-exit"

    @property
    def schedule_text(self) -> str:
        """The block, `exit:6`."""
        return f"exit:{self.block}"

    @property
    def reads(self) -> tuple[int, ...]:
        """The block of the exit."""
        return (self.block,)

    def last_block(self, depth: int) -> int:
        """The block of the exit."""
        return self.block

    def decode(self, network: Network, tokens: Tensor, state: State) -> Tensor:
        """The head's logits as a map (batch, classes, height, width)."""
        return network.arrange(state.predict(self.block, tokens), state.grid)
