"""Reductions of the running patches. Each knows both directions: reduce values of the patches, and restore them.

They are applied one after the other between blocks, and restored from last to first before the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from paumer.strategies.tokens import Packing, complement, gather_rows, log_probabilities, scatter_add_rows, scatter_rows
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy("torch")


class Reduction(Protocol):
    """A step after which fewer patches (or images) run.

    Attributes:
        of_logits: it keeps predictions, so that only logits can be restored.
    """

    of_logits: ClassVar[bool]

    @property
    def by(self) -> str:
        """The name of the strategy that took it."""

    @property
    def before(self) -> int:
        """Patches of an image before it; their mean where images have different ones."""

    def reduce(self, values: Tensor) -> Tensor:
        """From values of the patches before it, (batch, before, ...), to those after, (batch, after, ...)."""

    def reduce_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """As `reduce` does, for tokens with their prefix, (batch, prefix + before, width)."""

    def restore(self, values: Tensor) -> Tensor:
        """From values of the patches after it, (batch, after, ...), to those before, (batch, before, ...)."""


@dataclass(frozen=True)
class Selection:
    """The patches that keep running: the same number of every image, or different ones packed into one sequence.

    Attributes:
        rows: of the kept patches among the patches of all images, (kept of all,).
        shape: (batch, kept); (1, kept of all) where packed.
        token_rows: of the kept tokens, prefix and patches, among the tokens of all images.
        token_shape: (batch, prefix + kept); (1, tokens of all) where packed.
        before: patches of an image before; their mean where images have different ones.
        packing: of the kept tokens; None where images have the same number.
    """

    rows: Tensor
    shape: tuple[int, ...]
    token_rows: Tensor
    token_shape: tuple[int, ...]
    before: int
    packing: Packing | None = None


@dataclass(frozen=True)
class _KeptTokens:
    """Some patches keep running; the others are kept in `values`.

    Attributes:
        kept: those that run.
        values: of all patches before, (batch, before, ...); of packed images (1, patches of all, ...).
    """

    by: str
    kept: Selection
    values: Tensor

    @property
    def before(self) -> int:
        """Patches of an image before."""
        return self.kept.before

    def reduce(self, values: Tensor) -> Tensor:
        """The values of those that run."""
        return values.flatten(0, 1).index_select(0, self.kept.rows).unflatten(0, self.kept.shape)

    def reduce_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """The prefix, and the patches that run."""
        return tokens.flatten(0, 1).index_select(0, self.kept.token_rows).unflatten(0, self.kept.token_shape)


@dataclass(frozen=True)
class PausedTokens(_KeptTokens):
    """The others skip all remaining blocks: `values` are the tokens (batch, before, width) that the decoder reads."""

    of_logits: ClassVar[bool] = False

    def restore(self, values: Tensor) -> Tensor:
        """Write the patches that ran among those that paused."""
        return scatter_rows(self.values, self.kept.rows, values)


@dataclass(frozen=True)
class ExitedTokens(_KeptTokens):
    """The others took a head's prediction as final: `values` are its logits, (batch, before, cells, classes)."""

    of_logits: ClassVar[bool] = True

    def restore(self, values: Tensor) -> Tensor:
        """Log-probabilities, the scale that a head and the decoder have in common; a single logit is on it already."""
        if self.values.shape[-1] == 1:
            return scatter_rows(self.values, self.kept.rows, values)
        heads, decoded = (log_probabilities(logits).movedim(0, -1) for logits in (self.values, values))
        return scatter_rows(heads, self.kept.rows, decoded)


@dataclass(frozen=True)
class MergedTokens:
    """Several patches became one token, the mean of their values weighted by their sizes.

    Attributes:
        gone: patches that merged away, (batch, count).
        kept: all others, rising, (batch, after).
        target: the token that each of `gone` became a part of, (batch, count).
        index: the token that each patch became, (batch, before).
        sizes: how many patches each patch stood for before, (batch, before).
        merged_sizes: how many each token stands for, (batch, after).
    """

    by: str
    gone: Tensor
    kept: Tensor
    target: Tensor
    index: Tensor
    sizes: Tensor
    merged_sizes: Tensor
    of_logits: ClassVar[bool] = False

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

    def restore(self, values: Tensor) -> Tensor:
        """Give every patch a copy of its token's values."""
        return gather_rows(values, self.index)


@dataclass(frozen=True)
class ExitedImages:
    """Some images of the batch took a head's prediction as final.

    Attributes:
        logits: the head's, of all images before, (images, patches, cells, classes).
        stay: the images that still run, (images after,).
    """

    by: str
    logits: Tensor
    stay: Tensor
    of_logits: ClassVar[bool] = True

    @property
    def before(self) -> int:
        """Patches before; the same number as after."""
        return int(self.logits.shape[1])

    def reduce(self, values: Tensor) -> Tensor:
        """The values of the images that stay."""
        return values[self.stay]

    def reduce_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """The tokens of the images that stay."""
        return tokens[self.stay]

    def restore(self, values: Tensor) -> Tensor:
        """Put the images that stayed beside those that left."""
        exact = torch.promote_types(self.logits.dtype, values.dtype)
        return self.logits.to(exact).index_copy(0, self.stay, values.to(exact))
