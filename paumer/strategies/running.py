"""The tokens that run between two blocks: of which patches they are, their positions, how they were reduced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Self, TypeAlias

from paumer.strategies.notation import Schedule
from paumer.strategies.reductions import Reduction, Selection
from paumer.strategies.tokens import Packing, TokenPositions, flat_index, is_one
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy("torch")


Known: TypeAlias = (
    "tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Packing | None, Mapping[str, Tensor]]"
)


@dataclass
class RunningTokens:
    """What is known of the tokens that run, and the stack of reductions that led to them.

    Attributes:
        prefix: tokens before the patches, which are never reduced.
        grid: patches along height and width.
        positions: the number of each running patch on the grid, (batch, running); None while none is reduced.
        sizes: how many patches each running token represents, (batch, running); None while each represents one.
        rotation: sines and cosines by which attention turns the queries and keys of the tokens, (batch or 1, prefix +
            running, 2 x channels); of a merged token their means over its patches. None where it turns none.
        proportional: whether tokens count in attention by their sizes.
        bias: what attention adds to its logits so that tokens count by their sizes, (batch, 1, 1, prefix + running).
        packing: the place of each image in one long sequence, once the images have different numbers of patches. Tokens
            are then (1, of all images, width), and values of patches (1, patches of all images, ...).
        side_tensors: further values of the running patches by name, (batch, running, ...): labels that training and
            analysis compare predictions with.
        reductions: the reductions so far, to be restored from last to first.
        earlier: for each of them positions, sizes, rotation, bias, packing and side tensors as they were before it.
    """

    prefix: int
    grid: tuple[int, int]
    positions: Tensor | None = None
    sizes: Tensor | None = None
    rotation: Tensor | None = None
    proportional: bool = True
    bias: Tensor | None = None
    packing: Packing | None = None
    side_tensors: Mapping[str, Tensor] = field(default_factory=dict)
    reductions: tuple[Reduction, ...] = ()
    earlier: tuple[Known, ...] = ()

    def fork(self) -> Self:
        """A copy whose changes do not reach the original; tensors are shared, nothing writes into them."""
        return replace(self)

    @property
    def patches(self) -> int:
        """Patches of one image, N."""
        return self.grid[0] * self.grid[1]

    def running(self, tokens: Tensor) -> int:
        """How many patches of an image run; their mean where images have different ones."""
        if self.packing is not None:
            return len(self.packing.patches) // len(self.packing.lengths)
        return int(tokens.shape[1]) - self.prefix  # tracing hands over tensors

    def patches_of(self, tokens: Tensor) -> Tensor:
        """The running patches without the prefix, (batch, running, width)."""
        return tokens[:, self.prefix :] if self.packing is None else tokens[:, self.packing.patches]

    def prefix_of(self, tokens: Tensor) -> Tensor:
        """The tokens before the patches, (images, prefix, width)."""
        if self.packing is None:
            return tokens[:, : self.prefix]
        others = torch.ones_like(self.packing.images, dtype=torch.bool).index_fill(0, self.packing.patches, False)
        return tokens[0, others].unflatten(0, (len(self.packing.lengths), self.prefix))

    def by_image(self, values: Tensor) -> tuple[Tensor, ...]:
        """Values of the running patches (batch, running, ...), image by image: (1, running, ...) each."""
        if self.packing is None:
            return values.split(1)
        return values.split([length - self.prefix for length in self.packing.lengths], dim=1)

    def token_positions(self, patches: Tensor) -> TokenPositions:
        """The positions of the running patches (batch, running, ...)."""
        images = patches.shape[0] if self.packing is None else len(self.packing.lengths)
        if self.positions is None:
            return TokenPositions(self.grid, images)
        if self.packing is not None:
            return TokenPositions(self.grid, images, self.packing.images[self.packing.patches], self.positions)
        return TokenPositions(self.grid, images, torch.arange(images, device=patches.device)[:, None], self.positions)

    def share(self, tokens: Tensor) -> float:
        """Share of the patches that still run; those that became one token do."""
        if self.sizes is None:
            return self.running(tokens) / self.patches
        return float(self.sizes.sum()) / (self.sizes.shape[0] * self.patches)

    def num_kept(self, strategy: str, schedule: Schedule, block: int, running: int) -> int:
        """How many of the running patches a strategy's schedule keeps after `block`, at least one.

        Fractions are of the patches before the strategy's first reduction; what others took away since comes off too.
        """
        counts = [*(reduction.before for reduction in self.reductions), running]
        own = [reduction.by == strategy for reduction in self.reductions]
        first = own.index(True) if any(own) else len(own)
        taken = [before - after for before, after in pairwise(counts[first:])]
        others = sum(count for count, mine in zip(taken, own[first:], strict=True) if not mine)
        return min(running, max(1, schedule.running(counts[first])[block] - others))

    def keep(self, tokens: Tensor, chosen: Tensor) -> Selection:
        """The selection of the same number of patches of every image, by their numbers `chosen`, (batch, kept)."""
        batch, running = tokens.shape[0], self.running(tokens)
        rows, token_shape = flat_index(chosen, running), (batch, self.prefix + chosen.shape[1])
        token_rows: Tensor | None = None  # of one image the patches are a block of memory: `rows` do
        if not self.prefix:
            token_rows = rows
        elif not is_one(batch):
            prefix = torch.arange(self.prefix, device=tokens.device).expand(batch, -1)
            token_rows = flat_index(torch.cat([prefix, chosen + self.prefix], dim=1), tokens.shape[1])
        return Selection(rows, tuple(chosen.shape), token_rows, token_shape, running, chosen)

    def keep_where(self, tokens: Tensor, mask: Tensor) -> Selection | None:
        """The selection where `mask` (batch, running) is True, packed; None where all patches run on."""
        if bool(mask.all()):
            return None
        packing = self.packing or Packing.even(len(tokens), tokens.shape[1], self.prefix, tokens.device)
        rows = mask.flatten().nonzero().squeeze(1)
        token_rows, kept = packing.keep(mask.flatten())
        shape, token_shape = (1, len(rows)), (1, len(token_rows))
        return Selection(rows, shape, token_rows, token_shape, self.running(tokens), packing=kept)

    def apply(self, reduction: Reduction, tokens: Tensor) -> Tensor:
        """Reduce the tokens (batch, prefix + running, width), and all that is known of their patches.

        Returns:
            (batch, prefix + kept, width).
        """
        self.earlier = (*self.earlier, self._known)
        self.positions = self._positions_after(reduction, tokens)
        self.sizes = reduction.reduce_sizes(self.sizes)
        if self.rotation is not None:
            self.rotation = reduction.reduce_tokens(self.rotation.expand(tokens.shape[0], -1, -1), self.prefix)
        self.side_tensors = {name: reduction.reduce(values) for name, values in self.side_tensors.items()}
        self.packing = reduction.packing
        self.reductions = (*self.reductions, reduction)
        tokens = reduction.reduce_tokens(tokens, self.prefix)
        self.bias = self._size_bias(tokens, self.sizes) if self.proportional and self.sizes is not None else None
        return tokens

    def _positions_after(self, reduction: Reduction, tokens: Tensor) -> Tensor | None:
        """The positions of the patches that a reduction of these tokens leaves."""
        if self.positions is not None:
            return reduction.reduce_positions(self.positions)
        if reduction.of_images or reduction.chosen is not None:
            return reduction.chosen
        everywhere = torch.arange(self.patches, device=tokens.device).expand(tokens.shape[0], -1)
        return reduction.reduce_positions(everywhere)

    def undo(self) -> Reduction:
        """The last reduction, which is off the stack: what is known is of the patches before it."""
        reduction = self.reductions[-1]
        self.positions, self.sizes, self.rotation, self.bias, self.packing, self.side_tensors = self.earlier[-1]
        self.reductions, self.earlier = self.reductions[:-1], self.earlier[:-1]
        return reduction

    @property
    def _known(self) -> Known:
        """What a reduction changes."""
        return self.positions, self.sizes, self.rotation, self.bias, self.packing, self.side_tensors

    def _size_bias(self, tokens: Tensor, sizes: Tensor) -> Tensor:
        """The logarithms of the sizes as the attention to every token, 0 for the prefix."""
        rows = torch.arange(self.prefix, tokens.shape[1], device=tokens.device)
        patches = rows if self.packing is None else self.packing.patches
        bias = tokens.new_zeros(tokens.shape[:2]).index_copy(1, patches, sizes.log().to(tokens.dtype))
        return bias[:, None, None]
