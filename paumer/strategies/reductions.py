"""Reductions of the running patches. Each knows both directions: reduce values of the patches, and restore them.

They are applied one after the other between blocks, and restored from last to first before the decoder. Here are those
that keep some patches and set the others aside; merges and exits of images are beside the strategies that take them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from paumer.strategies.tokens import Packing, scatter_rows
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy("torch")


@dataclass(frozen=True)
class Reduction(ABC):
    """A step after which fewer patches (or images) run.

    Attributes:
        by: the name of the strategy that took it.
        of_logits: it keeps predictions, so that only logits can be restored.
        of_images: whole images leave; the others stay as they are.
    """

    by: str

    of_logits: ClassVar[bool] = False
    of_images: ClassVar[bool] = False

    @property
    def packing(self) -> Packing | None:
        """Of the tokens after it; None where images have the same number."""
        return None

    @property
    def chosen(self) -> Tensor | None:
        """The numbers of the patches after it among those before, (batch, after); None where they are not at hand."""
        return None

    @property
    @abstractmethod
    def before(self) -> int:
        """Patches of an image before it; their mean where images have different ones."""

    @abstractmethod
    def reduce(self, values: Tensor) -> Tensor:
        """From values of the patches before it, (batch, before, ...), to those after, (batch, after, ...)."""

    @abstractmethod
    def reduce_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """As `reduce` does, for tokens with their prefix, (batch, prefix + before, width)."""

    def reduce_positions(self, positions: Tensor) -> Tensor:
        """As `reduce` does, for the numbers of the patches on the grid, (batch, before)."""
        return self.reduce(positions)

    def reduce_sizes(self, sizes: Tensor | None) -> Tensor | None:
        """As `reduce` does, for how many patches each stands for, (batch, before); None where each stands for one."""
        return None if sizes is None else self.reduce(sizes)

    @abstractmethod
    def restore(self, values: Tensor) -> Tensor:
        """From values of the patches after it, (batch, after, ...), to those before, (batch, before, ...)."""

    def restore_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """As `restore` does, for tokens with their prefix, (batch, prefix + after, width); not of packed images."""
        return torch.cat([tokens[:, :prefix], self.restore(tokens[:, prefix:])], dim=1)


@dataclass(frozen=True)
class Selection:
    """The patches that keep running: the same number of every image, or different ones packed into one sequence.

    Attributes:
        rows: of the kept patches among the patches of all images, (kept of all,).
        shape: (batch, kept); (1, kept of all) where packed.
        token_rows: of the kept tokens, prefix and patches, among the tokens of all images; None for one image, whose
            prefix goes before the patches of `rows`.
        token_shape: (batch, prefix + kept); (1, tokens of all) where packed.
        before: patches of an image before; their mean where images have different ones.
        chosen: the numbers of the kept patches within each image, (batch, kept); None where packed.
        packing: of the kept tokens; None where images have the same number.
    """

    rows: Tensor
    shape: tuple[int, ...]
    token_rows: Tensor | None
    token_shape: tuple[int, ...]
    before: int
    chosen: Tensor | None = None
    packing: Packing | None = None


@dataclass(frozen=True)
class KeptTokens(Reduction):
    """Some patches keep running; the others are set aside in `values`.

    Attributes:
        kept: those that run.
        values: of all patches before, (batch, before, ...); of packed images (1, patches of all, ...).
    """

    kept: Selection
    values: Tensor

    @property
    def packing(self) -> Packing | None:
        """Of the kept tokens."""
        return self.kept.packing

    @property
    def chosen(self) -> Tensor | None:
        """The numbers of the kept patches."""
        return self.kept.chosen

    @property
    def before(self) -> int:
        """Patches of an image before."""
        return self.kept.before

    def reduce(self, values: Tensor) -> Tensor:
        """The values of those that run."""
        return values.flatten(0, 1).index_select(0, self.kept.rows).unflatten(0, self.kept.shape)

    def reduce_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """The prefix, and the patches that run."""
        if self.kept.token_rows is None:
            return torch.cat([tokens[:, :prefix], self.reduce(tokens[:, prefix:])], dim=1)
        return tokens.flatten(0, 1).index_select(0, self.kept.token_rows).unflatten(0, self.kept.token_shape)

    def restore(self, values: Tensor) -> Tensor:
        """Write the patches that ran among the others."""
        return scatter_rows(self.values, self.kept.rows, values)


class PausedTokens(KeptTokens):
    """The others skip all remaining blocks: `values` are the tokens (batch, before, width) that the decoder reads."""
