"""The floor of pausing: the same blocks on tokens already cut, and nothing else. For measuring only."""

import torch
from torch import Tensor
from torch.nn import functional

from paumer.schedule import Schedule
from paumer.strategies.contract import Network, Strategy
from paumer.strategies.state import State


class Floor(Strategy):
    """Runs the blocks on as many tokens as a schedule leaves, without head, criterion, gather or write-back.

    Its logits mean nothing. The cut tokens are kept from the first forward pass of a shape. A compiler would then
    remove blocks whose results nobody uses; for it the floor cuts by slicing and fills up with zeros, which it fuses
    with what follows.
    """

    name = "floor"

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._kept: dict[tuple[int, int, int], Tensor] = {}

    @property
    def schedule_text(self) -> str:
        """The schedule whose floor this is."""
        return str(self.schedule)

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Go on with fewer tokens, which were cut before."""
        keep = self.schedule.running(state.patches).get(block)
        if keep is None:
            return tokens
        if block == self.schedule.blocks[0]:
            self._keep(0, tokens[:, state.prefix :], state)
        return self._keep(block, tokens[:, : state.prefix + keep], state)

    def classify(self, network: Network, patches: Tensor, state: State) -> Tensor:
        """Decode as many patches as the image has."""
        if torch.compiler.is_compiling():
            return network.classify(functional.pad(patches, (0, 0, 0, state.patches - patches.shape[1])), state)
        return network.classify(self._keep(0, patches, state), state)

    def _keep(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """The tokens kept for this place and shape; those given, the first time."""
        if torch.compiler.is_compiling():
            return tokens
        key = (block, len(tokens), state.patches)
        if key not in self._kept:
            self._kept[key] = tokens.contiguous()
        return self._kept[key]
