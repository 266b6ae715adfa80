"""Pausing until a block before the last: paused patches wait, and run again from there on."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paumer.strategies.notation import WithSchedule
from paumer.strategies.reductions import PausedTokens
from paumer.strategies.tokens import scatter_rows
from paumer.system.errors import PaumerError

if TYPE_CHECKING:
    from torch import Tensor

    from paumer.strategies.state import State


@dataclass(frozen=True)
class Rejoining(WithSchedule):
    """Pausing until a block, in and after which all patches run; written `3:0.4 rejoin 11`.

    Known as last layer fusion: Bergner et al., "Token Cropr: Faster ViTs for Quite a Few Tasks", CVPR 2025.

    Attributes:
        rejoin: the block.
    """

    rejoin: int

    def __post_init__(self) -> None:
        if self.rejoin < self.blocks[-1] + 2:
            raise PaumerError(
                f"{self}: patches that pause after block {self.blocks[-1]} skip nothing before block {self.rejoin}; "
                f"use block {self.blocks[-1] + 2} or a later one"
            )

    def __str__(self) -> str:
        """The notation."""
        return f"{self.schedule} rejoin {self.rejoin}"

    @property
    def options(self) -> str:
        """What tells it from pausing until the decoder, at the blocks where patches pause."""
        return "rejoin"

    def at(self, block: int) -> Hashable:
        """What happens at a block: after the one before `rejoin` the patches come back."""
        return "rejoin" if block == self.rejoin - 1 else super().at(block)

    def check_depth(self, depth: int) -> None:
        """Refuse a block that the network lacks."""
        if self.rejoin > depth:
            raise PaumerError(f"{self}: no block {self.rejoin} in a network of {depth} blocks; use one that there is")


@dataclass(frozen=True)
class WaitingTokens(PausedTokens):
    """Paused patches that will run on.

    Attributes:
        tokens: prefix and patches before, as they wait, (batch, prefix + before, width); as packed.
    """

    tokens: Tensor

    def restore_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """Write the tokens that ran among those that wait."""
        if self.kept.token_rows is None:
            return super().restore_tokens(tokens, prefix)
        return scatter_rows(self.tokens, self.kept.token_rows, tokens)


def rejoin(tokens: Tensor, state: State, by: str) -> Tensor:
    """Undo all reductions since the first of a strategy's; returns prefix and the patches before it."""
    while any(reduction.by == by for reduction in state.reductions):
        tokens = state.undo().restore_tokens(tokens, state.prefix)
    return tokens
