"""What reduces the running patches of a forward pass, and how each is undone. Undone from last to first."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from paumer.strategies.probabilities import log_probabilities


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
