"""Strategy token-norm: patches whose tokens have the largest norms run on; it needs no auxiliary head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paumer.strategies.contract import Strategy
from paumer.strategies.families import Family, by_fractions
from paumer.strategies.notation import Schedule, read_schedule
from paumer.strategies.reductions import PausedTokens

if TYPE_CHECKING:  # planning a workflow reads this file, and needs no torch
    from torch import Tensor

    from paumer.strategies.state import State


class TokenNorm(Strategy):
    """Pause the patches whose tokens have the smallest norms."""

    name = "token-norm"
    description = "patches whose tokens have the largest norms run on, the others wait for the decoder"
    examples = ("3:0.4", "2:0.2+5:0.3")
    recipes = ("dense", "paumer")
    defers_tokens = True

    parameters: Schedule
    parse = staticmethod(read_schedule)

    @classmethod
    def families(cls, heads: Sequence[int], depth: int) -> tuple[Family, ...]:
        """Any share of the patches, so that `comparison` can solve for a speed; needs no head, but takes its blocks."""
        return by_fractions(heads)

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Take prefix and running patches; give those that run on. The state restores them before the decoder."""
        patches = state.patches_of(tokens)
        count = state.num_kept(self.name, self.parameters, block, state.running(tokens))
        chosen = patches.norm(dim=-1).topk(count, dim=1).indices
        return state.apply(PausedTokens(self.name, state.keep(tokens, chosen), patches), tokens)
