"""Mutual merging: tokens that are each other's nearest neighbour become one.

After the description of MPM (Ravé et al., "MPM: Mutual Pair Merging for Efficient Vision Transformers", 2026,
arXiv:2604.05718): nothing says how many tokens merge but where it is done. Means weighted by sizes are ours.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from paumer.strategies.contract import Strategy
from paumer.strategies.merge import products, unit_vectors
from paumer.strategies.merged_tokens import merge
from paumer.strategies.notation import WHOLE, Parameters
from paumer.system.errors import PaumerError
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")


@dataclass(frozen=True)
class After(Parameters):
    """The blocks after which pairs merge, written `2+5`."""

    numbers: tuple[int, ...]

    def __str__(self) -> str:
        """The notation."""
        return "+".join(str(number) for number in self.numbers)

    @property
    def varies(self) -> bool:
        """How many pairs there are depends on the image."""
        return True

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks."""
        return self.numbers

    def at(self, block: int) -> Hashable:
        """Whether pairs merge after a block."""
        return "pairs" if block in self.numbers else None

    def check_depth(self, depth: int) -> None:
        """Refuse blocks that none follows."""
        if self.numbers[-1] >= depth:
            raise PaumerError(
                f"{self}: merging after block {self.numbers[-1]} saves nothing in a network of {depth} blocks; "
                f"use blocks 1 to {depth - 1}"
            )


def parse_blocks(text: str) -> After:
    """Read the numbers of blocks, which rise."""
    parts = [part.strip() for part in text.split("+")]
    numbers = tuple(int(part) if WHOLE.fullmatch(part) else 0 for part in parts)
    if not all(numbers) or any(second <= first for first, second in pairwise(numbers)):
        raise PaumerError(f"{text!r} names no blocks that rise from 1 on; write them like 2+5")
    return After(numbers)


class MutualMerge(Strategy):
    """Merge all pairs of running patches that are each other's most similar one, by the cosine of their tokens.

    Tokens do not count by their sizes in attention. Images run one by one, as each has pairs of its own.
    """

    name = "mutual-merge"
    description = "patches that are each other's nearest neighbour merge; copied back before the decoder (after MPM)"
    examples = ("2+5",)
    recipes = ("dense",)

    parameters: After
    parse = staticmethod(parse_blocks)

    @property
    def per_image(self) -> bool:
        """Whether images run one by one: always."""
        return True

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Merge; returns prefix and merged patches."""
        patches = state.patches_of(tokens)
        state.add_macs(lambda: patches.shape[1] ** 2 * patches.shape[2])
        gone, partner = mutual_pairs(patches)
        return merge(tokens, gone, partner, state, self.name, proportional=False)


def mutual_pairs(patches: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs of patches that are each other's most similar one, of an image at most.

    Args:
        patches: (1, running, width), or none, (0, running, width).

    Returns:
        The later patch of every pair, which goes, and the other one, both (1, pairs).
    """
    batch, running = patches.shape[:2]
    if running < 2:
        return (empty := patches.new_zeros(batch, 0, dtype=torch.long)), empty
    itself = torch.eye(running, dtype=torch.bool, device=patches.device)
    units = unit_vectors(patches)
    nearest = products(units, units).masked_fill(itself, -torch.inf).argmax(dim=2)
    numbers = torch.arange(running, device=patches.device)
    first = (nearest.gather(1, nearest) == numbers) & (numbers < nearest)
    partner = first.nonzero()[:, 1].reshape(batch, int(first.sum()))
    return nearest.gather(1, partner), partner
