"""Merged tokens: several patches become one token, and each gets a copy of it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paumer.strategies.reductions import Reduction
from paumer.strategies.tokens import complement, gather_rows, scatter_add_rows
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")


@dataclass(frozen=True)
class MergedTokens(Reduction):
    """Several patches became one token, the mean of their values weighted by their sizes.

    Attributes:
        gone: patches that merged away, (batch, count).
        kept: all others, rising, (batch, after).
        target: the token that each of `gone` became a part of, (batch, count).
        index: the token that each patch became, (batch, before).
        sizes: how many patches each patch stood for before, (batch, before).
        merged_sizes: how many each token stands for, (batch, after).
    """

    gone: Tensor
    kept: Tensor
    target: Tensor
    index: Tensor
    sizes: Tensor
    merged_sizes: Tensor

    @classmethod
    def of(cls, by: str, gone: Tensor, partner: Tensor, sizes: Tensor) -> MergedTokens:
        """Merge every patch of `gone` (batch, count) into its partner (batch, count), which is not gone itself."""
        before = sizes.shape[1]
        kept = complement(gone, before)
        numbers = torch.arange(before - gone.shape[1], device=kept.device).expand_as(kept)
        index = kept.new_zeros(kept.shape[0], before).scatter(1, kept, numbers)
        target = index.gather(1, partner)
        merged_sizes = scatter_add_rows(gather_rows(sizes, kept), target, gather_rows(sizes, gone))
        return cls(by, gone, kept, target, index.scatter(1, gone, target), sizes, merged_sizes)

    @property
    def before(self) -> int:
        """Patches before."""
        return int(self.index.shape[1])

    def reduce(self, values: Tensor) -> Tensor:
        """The sums over the patches of every token."""
        return scatter_add_rows(gather_rows(values, self.kept), self.target, gather_rows(values, self.gone))

    def reduce_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """The prefix, and the means over the patches of every token."""
        summed = self.reduce(tokens[:, prefix:] * self.sizes.unsqueeze(-1))
        return torch.cat([tokens[:, :prefix], summed / self.merged_sizes.unsqueeze(-1)], dim=1)

    def reduce_positions(self, positions: Tensor) -> Tensor:
        """The position of the first patch of every token."""
        first = positions.new_zeros(self.merged_sizes.shape)
        return first.scatter_reduce(1, self.index, positions, "amin", include_self=False)

    def reduce_sizes(self, sizes: Tensor | None) -> Tensor:
        """How many patches each token stands for."""
        return self.merged_sizes

    def restore(self, values: Tensor) -> Tensor:
        """Give every patch a copy of its token's values."""
        return gather_rows(values, self.index)


def merge(tokens: Tensor, gone: Tensor, partner: Tensor, state: State, by: str, proportional: bool = True) -> Tensor:
    """Average patches by their sizes.

    Args:
        tokens: (batch, prefix + running, width).
        gone: patches that merge away, (batch, count), each once.
        partner: the patch that each merges into, (batch, count); none of these is gone.
        state: the forward pass.
        by: name of the strategy.
        proportional: whether the tokens count in attention by their sizes from now on.

    Returns:
        Tokens (batch, prefix + running - count, width), in the old order.
    """
    if gone.shape[1] == 0:
        return tokens
    patches = state.patches_of(tokens)
    sizes = patches.new_ones(patches.shape[:2]) if state.sizes is None else state.sizes
    state.proportional = proportional
    return state.apply(MergedTokens.of(by, gone, partner, sizes), tokens)
