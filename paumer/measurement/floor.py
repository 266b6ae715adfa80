"""The floor of pausing: the same blocks on tokens already cut, and nothing else. For measuring only."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from paumer.strategies.contract import Network, Strategy
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.registry import Label
from paumer.strategies.state import State


@dataclass(frozen=True)
class Floor(Strategy):
    """Runs the blocks on the number of tokens that a schedule leaves, without head, criterion, gather or write-back.

    Its logits mean nothing. The cut tokens are kept from the first forward pass of a shape. A compiler would then
    remove blocks whose results nobody uses; for it the floor cuts by slicing and fills up with zeros, which it fuses
    with what follows.

    Attributes:
        kept: the cut tokens by block, batch size and patches of an image.
    """

    name = "floor"

    parameters: Schedule
    kept: dict[tuple[int, int, int], Tensor] = field(default_factory=dict, compare=False, repr=False)

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Return fewer tokens, which were cut before."""
        if block == self.parameters.blocks[0]:
            self._keep(0, tokens[:, state.prefix :], state)
        keep = self.parameters.running(state.patches)[block]
        if state.rotation is not None:
            state.rotation = state.rotation[:, : state.prefix + keep]
        return self._keep(block, tokens[:, : state.prefix + keep], state)

    def classify(self, network: Network, patches: Tensor, state: State) -> Tensor:
        """Decode the number of patches of the whole image."""
        if torch.compiler.is_compiling():
            missing = (0, 0, 0, state.patches - patches.shape[1])
            return network.classify(functional.pad(patches, missing), state)
        return network.classify(self._keep(0, patches, state), state)

    def _keep(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """The tokens kept for this place and shape; those given, the first time."""
        if torch.compiler.is_compiling():
            return tokens
        key = (block, len(tokens), state.patches)
        if key not in self.kept:
            self.kept[key] = tokens.contiguous()
        return self.kept[key]


def floors(strategies: Iterable[Strategy]) -> list[tuple[Label, Floor]]:
    """The floor of each strategy that pauses at a schedule of fixed shares, and what tables call it."""
    pauses = [strategy.parameters for strategy in strategies if isinstance(strategy, Pause)]
    return [(Label("floor", "", str(one)), Floor(one)) for one in pauses if isinstance(one, Schedule)]
