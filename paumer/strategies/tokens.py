"""What reduces the running patches of a forward pass, and how each is undone. Undone from last to first.

Images of different lengths in one sequence, without padding.

Where the running patches lie on the grid of the image.

What strategies ask of auxiliary heads, whoever builds them.

Probabilities of predictions, the way that processors like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, TypeAlias

from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy("torch")


def of_two(logits: Tensor, dim: int = -1) -> Tensor:
    """Logits of two classes where there is one logit, which is that of a sigmoid: class 1 where it is above 0.

    More logits stay as they are.
    """
    return torch.cat([torch.zeros_like(logits), logits], dim) if logits.shape[dim] == 1 else logits


def log_probabilities(logits: Tensor) -> Tensor:
    """Logarithms of the probabilities with the classes first, (classes, ...), of logits (..., classes).

    A processor is five times as fast along a first dimension as along a last one of a dozen classes.
    """
    return of_two(logits).movedim(-1, 0).contiguous().log_softmax(dim=0)


class Reduction(Protocol):
    """A step after which fewer patches (or images) run.

    Attributes:
        of_logits: whether it keeps predictions, so that only logits can be undone.
    """

    of_logits: ClassVar[bool]

    @property
    def by(self) -> str:
        """The strategy that took it."""

    @property
    def before(self) -> int:
        """How many patches of an image ran before."""

    def undo(self, values: Tensor) -> Tensor:
        """From values of the patches after it, (batch, after, ...), to those before, (batch, before, ...)."""


@dataclass(frozen=True)
class Paused:
    """Some patches wait as they are.

    Attributes:
        tokens: all patches before, (batch, before, width); of packed images (1, patches of all, width).
        rows: those that go on, among the patches of all images, (going on,).
        before: patches of an image before; their mean where images have different ones.
    """

    by: str
    tokens: Tensor
    rows: Tensor
    before: int
    of_logits: ClassVar[bool] = False

    def undo(self, values: Tensor) -> Tensor:
        """Write those that went on among those that waited."""
        return put(self.tokens, self.rows, values)


@dataclass(frozen=True)
class Merged:
    """Several patches became one token.

    Attributes:
        index: (batch, before), the token that each patch became.
    """

    by: str
    index: Tensor
    of_logits: ClassVar[bool] = False

    @property
    def before(self) -> int:
        """Patches before."""
        return int(self.index.shape[1])

    def undo(self, values: Tensor) -> Tensor:
        """Give every patch a copy of its token's values."""
        return take(values, self.index)


@dataclass(frozen=True)
class Finished:
    """Some patches took a head's prediction as final.

    Attributes:
        logits: the head's, of all patches before, (batch, before, cells, classes); of packed images (1, patches of
            all, cells, classes).
        rows: those that go on, among the patches of all images, (going on,).
        before: patches of an image before; their mean where images have different ones.
    """

    by: str
    logits: Tensor
    rows: Tensor
    before: int
    of_logits: ClassVar[bool] = True

    def undo(self, values: Tensor) -> Tensor:
        """Log-probabilities, the scale that a head and the decoder have in common; a single logit is on it already."""
        if self.logits.shape[-1] == 1:
            return put(self.logits, self.rows, values)
        heads, decoded = (log_probabilities(logits).movedim(0, -1) for logits in (self.logits, values))
        return put(heads, self.rows, decoded)


@dataclass(frozen=True)
class Left:
    """Some images of the batch took a head's prediction as final.

    Attributes:
        logits: the head's, of all images before, (images, patches, cells, classes).
        stay: the images that go on, (images after).
    """

    by: str
    logits: Tensor
    stay: Tensor
    of_logits: ClassVar[bool] = True

    @property
    def before(self) -> int:
        """Patches before, which are as many as after."""
        return int(self.logits.shape[1])

    def undo(self, values: Tensor) -> Tensor:
        """Put the images that stayed beside those that left."""
        exact = torch.promote_types(self.logits.dtype, values.dtype)
        return self.logits.to(exact).index_copy(0, self.stay, values.to(exact))


def take(values: Tensor, index: Tensor) -> Tensor:
    """The values (batch, count, ...) at `index` (batch, fewer); whole rows at once, which is faster than a gather."""
    return values.flatten(0, 1).index_select(0, rows_of(index, values.shape[1])).unflatten(0, index.shape)


def add_at(values: Tensor, index: Tensor, others: Tensor) -> Tensor:
    """The values (batch, count, ...) with `others` (batch, some, ...) added at `index` (batch, some)."""
    rows = rows_of(index, values.shape[1])
    return values.flatten(0, 1).index_add(0, rows, others.flatten(0, 1)).unflatten(0, values.shape[:2])


def put(values: Tensor, rows: Tensor, others: Tensor) -> Tensor:
    """The values (batch, count, ...) with `others`, as many as `rows`, in their place at `rows` of all images."""
    canvas = values.clone(memory_format=torch.contiguous_format)  # values may be shared, and part of a larger tensor
    canvas.flatten(0, 1).index_copy_(0, rows, others.flatten(0, 1).to(values.dtype))
    return canvas


def rows_of(index: Tensor, count: int) -> Tensor:
    """Where the values at `index` (batch, some), each below `count`, lie among those of all images, (batch x some)."""
    offsets = torch.arange(index.shape[0], device=index.device) * count
    return (index + offsets.unsqueeze(1)).flatten()


def complement(chosen: Tensor, count: int) -> Tensor:
    """The numbers below `count` that are not in `chosen` (batch, some), rising; no synchronisation with the host."""
    others = torch.ones(chosen.shape[0], count, dtype=torch.long, device=chosen.device).scatter_(1, chosen, 0)
    places = others.cumsum(dim=1).mul_(others)  # counted from 1; 0 for those that are chosen
    numbers = torch.arange(count, device=chosen.device).expand_as(places)
    sorted_out = places.new_zeros(chosen.shape[0], count - chosen.shape[1] + 1).scatter_(1, places, numbers)
    return sorted_out[:, 1:]


@dataclass(frozen=True)
class Packing:
    """Where each image lies in a sequence (1, tokens of all images, width): one after the other, its prefix first.

    Attributes:
        lengths: tokens of each image, its prefix included.
        images: the image of every token, (tokens,).
        patches: the places of the tokens that are patches, (patches of all images,).
    """

    lengths: tuple[int, ...]
    images: Tensor
    patches: Tensor

    @classmethod
    def even(cls, batch: int, length: int, prefix: int, device: torch.device) -> Self:
        """The packing of a rectangular batch, (batch, length, width), with its first two dimensions made one."""
        images = torch.arange(batch, device=device).repeat_interleave(length)
        places = torch.arange(batch * length, device=device)
        return cls((length,) * batch, images, places[places % length >= prefix])

    def keep(self, chosen: Tensor, prefix: int) -> tuple[Tensor, Packing]:
        """Go on with the prefixes and some of the patches.

        Args:
            chosen: (patches of all images,), True for those that go on.
            prefix: tokens of every image before its patches.

        Returns:
            The rows of the tokens that go on, and their packing.
        """
        going = torch.ones_like(self.images, dtype=torch.bool).index_copy(0, self.patches, chosen)
        rows = going.nonzero().squeeze(1)
        images = self.images[rows]
        are_patches = torch.zeros_like(going).index_fill(0, self.patches, True)[rows]
        lengths = images.bincount(minlength=len(self.lengths)).tolist()
        return rows, Packing(tuple(lengths), images, are_patches.nonzero().squeeze(1))


@dataclass(frozen=True)
class Places:
    """Where running patches lie on the grids of their images.

    Attributes:
        grid: patches along height and width.
        images: how many images there are.
        images_of: the image of every running patch, laid out as they are, (batch, running) or a shape that fits it;
            None while every patch is at its place.
        cells: its number among the patches of the image, (batch, running); None as above.
    """

    grid: tuple[int, int]
    images: int
    images_of: Tensor | None = None
    cells: Tensor | None = None

    @property
    def rows(self) -> Tensor | None:
        """The number of every running patch among the patches of all images, (all running,); None as above."""
        if self.cells is None or self.images_of is None:
            return None
        return (self.cells + self.images_of * (self.grid[0] * self.grid[1])).flatten()

    def to_map(self, values: Tensor) -> Tensor:
        """Values of the running patches (batch, running, width) as (images, width, height, width); zero elsewhere."""
        if self.rows is not None:
            flat = values.new_zeros(self.images * self.grid[0] * self.grid[1], values.shape[-1])
            values = flat.index_copy(0, self.rows, values.flatten(0, 1)).unflatten(0, (self.images, -1))
        return values.transpose(1, 2).unflatten(2, self.grid)

    def from_map(self, values: Tensor) -> Tensor:
        """Values at the running patches, (batch, running, width), of maps (images, width, height, width)."""
        everywhere = values.flatten(2).transpose(1, 2)
        if self.rows is None or self.cells is None:
            return everywhere
        return everywhere.flatten(0, 1).index_select(0, self.rows).unflatten(0, self.cells.shape)


Count: TypeAlias = "float | Tensor"  # of every image the same, or (batch,) one for each


def scale_gradient(values: Tensor, share: float) -> Tensor:
    """The same values, through which a share of the gradient flows back."""
    if share == 0:
        return values.detach()
    return values if share == 1 else values.detach() + share * (values - values.detach())


class Carrier(Protocol):
    """From intermediate patches (batch, patches, width) to such as the decoder can read."""

    def __call__(self, patches: Tensor, places: Places) -> Tensor:
        """Adapt."""

    def macs(self, patches: Count, everywhere: int) -> Count:
        """Multiply-accumulates of one image of so many patches, on a grid of `everywhere` patches."""


class Head(Protocol):
    """From adapted patches (batch, patches, width) to logits (batch, patches, cells, classes).

    Attributes:
        sub_patch: cells along the side of a patch.
        adapter: what adapts patches to it; None: they are read as they are.
    """

    sub_patch: int

    @property
    def adapter(self) -> Carrier | None:
        """What adapts patches to it."""

    def __call__(self, patches: Tensor) -> Tensor:
        """Predict."""

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates of one image of so many patches; of each image, where there are several counts."""
