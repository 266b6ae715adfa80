"""Parts of the forward pass: indexing rows of tokens, positions and packing, and the interface of auxiliary heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy("torch")

Count: TypeAlias = "float | Tensor"  # the same for every image, or (batch,) one for each


def gather_rows(values: Tensor, index: Tensor) -> Tensor:
    """The values (batch, count, ...) at `index` (batch, fewer); whole rows at once, which is faster than a gather."""
    return values.flatten(0, 1).index_select(0, flat_index(index, values.shape[1])).unflatten(0, index.shape)


def scatter_add_rows(values: Tensor, index: Tensor, others: Tensor) -> Tensor:
    """The values (batch, count, ...) with `others` (batch, some, ...) added at `index` (batch, some)."""
    rows = flat_index(index, values.shape[1])
    return values.flatten(0, 1).index_add(0, rows, others.flatten(0, 1)).unflatten(0, values.shape[:2])


def scatter_rows(values: Tensor, rows: Tensor, others: Tensor) -> Tensor:
    """A copy of the values (batch, count, ...) with `others` in place of the `rows` of all images."""
    canvas = values.clone(memory_format=torch.contiguous_format)  # values may be shared, and part of a larger tensor
    canvas.flatten(0, 1).index_copy_(0, rows, others.flatten(0, 1).to(values.dtype))
    return canvas


def flat_index(index: Tensor, count: int) -> Tensor:
    """From numbers below `count` within each image (batch, some) to rows of all images, (batch x some)."""
    if is_one(index.shape[0]):
        return index.flatten()
    offsets = torch.arange(index.shape[0], device=index.device) * count
    return (index + offsets.unsqueeze(1)).flatten()


def is_one(batch: int) -> bool:
    """Whether a batch is one image; False where it is a symbol of a graph, which must serve batches of any number."""
    return isinstance(batch, int) and batch == 1


def complement(chosen: Tensor, count: int) -> Tensor:
    """The numbers below `count` that are not in `chosen` (batch, some), rising; no synchronisation with the host."""
    others = torch.ones(chosen.shape[0], count, dtype=torch.long, device=chosen.device).scatter_(1, chosen, 0)
    slots = others.cumsum(dim=1).mul_(others)  # counted from 1; 0 for those that are chosen
    numbers = torch.arange(count, device=chosen.device).expand_as(slots)
    sorted_out = slots.new_zeros(chosen.shape[0], count - chosen.shape[1] + 1).scatter_(1, slots, numbers)
    return sorted_out[:, 1:]


@dataclass(frozen=True)
class Packing:
    """Images of different lengths in one sequence (1, tokens of all images, width), one after the other, no padding.

    Attributes:
        lengths: tokens of each image, its prefix included.
        images: the image of every token, (tokens,).
        patches: the rows of the tokens that are patches, (patches of all images,).
    """

    lengths: tuple[int, ...]
    images: Tensor
    patches: Tensor

    @classmethod
    def even(cls, batch: int, length: int, prefix: int, device: torch.device) -> Self:
        """The packing of a rectangular batch, (batch, length, width), with its first two dimensions made one."""
        images = torch.arange(batch, device=device).repeat_interleave(length)
        rows = torch.arange(batch * length, device=device)
        return cls((length,) * batch, images, rows[rows % length >= prefix])

    def keep(self, chosen: Tensor) -> tuple[Tensor, Packing]:
        """Keep the prefixes and some of the patches.

        Args:
            chosen: (patches of all images,), True for those to keep.

        Returns:
            The rows of the tokens kept, and their packing.
        """
        mask = torch.ones_like(self.images, dtype=torch.bool).index_copy(0, self.patches, chosen)
        rows = mask.nonzero().squeeze(1)
        images = self.images[rows]
        are_patches = torch.zeros_like(mask).index_fill(0, self.patches, True)[rows]
        lengths = images.bincount(minlength=len(self.lengths)).tolist()
        return rows, Packing(tuple(lengths), images, are_patches.nonzero().squeeze(1))


@dataclass(frozen=True)
class TokenPositions:
    """Positions of running patches on the grids of their images.

    Attributes:
        grid: patches along height and width.
        images: how many images there are.
        image_index: the image of every running patch, (batch, running) or a shape that broadcasts to it; None while
            every patch is at its place.
        positions: its number among the patches of the image, row by row, (batch, running); None as above.
    """

    grid: tuple[int, int]
    images: int
    image_index: Tensor | None = None
    positions: Tensor | None = None

    @property
    def rows(self) -> Tensor | None:
        """The number of every running patch among the patches of all images, (all running,); None as above."""
        if self.positions is None or self.image_index is None:
            return None
        return (self.positions + self.image_index * (self.grid[0] * self.grid[1])).flatten()

    def to_map(self, values: Tensor) -> Tensor:
        """Values of the running patches (batch, running, width) as (images, width, height, width); zero elsewhere."""
        if self.rows is not None:
            flat = values.new_zeros(self.images * self.grid[0] * self.grid[1], values.shape[-1])
            values = flat.index_copy(0, self.rows, values.flatten(0, 1)).unflatten(0, (self.images, -1))
        return values.transpose(1, 2).unflatten(2, self.grid)

    def from_map(self, values: Tensor) -> Tensor:
        """Values at the running patches, (batch, running, width), of maps (images, width, height, width)."""
        everywhere = values.flatten(2).transpose(1, 2)
        if self.rows is None or self.positions is None:
            return everywhere
        return everywhere.flatten(0, 1).index_select(0, self.rows).unflatten(0, self.positions.shape)


class TokenAdapter(Protocol):
    """Maps intermediate patches (batch, patches, width) to the space that the decoder reads."""

    def __call__(self, patches: Tensor, positions: TokenPositions) -> Tensor:
        """Adapt."""

    def macs(self, patches: Count, everywhere: int) -> Count:
        """Multiply-accumulates per image for a number of patches, on a grid of `everywhere` patches."""


class Head(Protocol):
    """Maps adapted patches (batch, patches, width) to logits (batch, patches, cells, classes).

    Attributes:
        sub_patch: cells along the side of a patch.
        adapter: what adapts patches to it; None: they are read as they are.
    """

    sub_patch: int

    @property
    def adapter(self) -> TokenAdapter | None:
        """What adapts patches to it."""

    def __call__(self, patches: Tensor) -> Tensor:
        """Predict."""

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates per image for a number of patches."""


def scale_gradient(values: Tensor, share: float) -> Tensor:
    """The same values, through which a share of the gradient flows back."""
    if share == 0:
        return values.detach()
    return values if share == 1 else values.detach() + share * (values - values.detach())
