"""The state of a forward pass between its blocks: which patches run, what has been taken away, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Self, cast

from paumer.strategies.notation import Schedule
from paumer.strategies.tokens import (
    Carrier,
    Count,
    Finished,
    Head,
    Merged,
    Packing,
    Paused,
    Places,
    Reduction,
    rows_of,
    scale_gradient,
)
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy("torch")


@dataclass
class State:
    """One forward pass between its blocks.

    Attributes:
        heads: auxiliary heads by block number (as text).
        prefix: tokens before the patches, which are never reduced.
        grid: patches along height and width.
        class_weights: how much each class counts, (classes,), for criteria that ask; None: unknown.
        cells: where on the grid each running patch lies, (batch, running); None while every patch is at its place.
        sizes: how many patches each running token stands for, (batch, running); None while each stands for one.
        bias: of the attention to every token; None where it must be computed, or every token stands for one patch.
        truth: pixels of each class in every cell, (batch, running, cells, classes), for training and analysis.
        final_loss: what the dense network's prediction will cost each running patch, (batch, running), for analysis.
        packing: where each image lies in one long sequence, once the images have different numbers of patches. Tokens
            are then (1, of all images, width), and patches and what is known of them (1, patches of all images, ...).
        reductions: what has been reduced so far, to be undone from last to first.
        said: what the heads said of the running patches after the present block.
        adapted: the running patches as they would wait after a block.
        head_gradient: share of the gradient that flows through heads and adapters back to the encoder, in training.
        macs: multiply-accumulates of each image so far, (images,); None where nobody counts.
        images: which images of the batch still run; None while all do.
    """

    heads: nn.ModuleDict
    prefix: int
    grid: tuple[int, int]
    class_weights: Tensor | None = None
    cells: Tensor | None = None
    sizes: Tensor | None = None
    bias: Tensor | None = None
    truth: Tensor | None = None
    final_loss: Tensor | None = None
    packing: Packing | None = None
    reductions: tuple[Reduction, ...] = ()
    said: tuple[tuple[int, Tensor], ...] = ()
    adapted: tuple[tuple[int, Tensor], ...] = ()
    head_gradient: float = 1.0
    macs: Tensor | None = None
    images: Tensor | None = None

    @property
    def patches(self) -> int:
        """Patches of one image, N."""
        return self.grid[0] * self.grid[1]

    def running(self, tokens: Tensor) -> int:
        """How many patches of an image run; their mean where images have different ones."""
        if self.packing is not None:
            return len(self.packing.patches) // len(self.packing.lengths)
        return int(tokens.shape[1]) - self.prefix  # tracing hands over tensors

    def share(self, tokens: Tensor) -> float:
        """Share of the patches that still run; those that became one token do."""
        counts = [*(reduction.before for reduction in self.reductions), self.running(tokens)]
        steps = zip(self.reductions, pairwise(counts), strict=True)
        return math.prod(after / before for step, (before, after) in steps if not isinstance(step, Merged))

    def token_counts(self, tokens: Tensor) -> Count:
        """How many tokens (batch, count, width) every image has, for counting what they cost."""
        return tokens.shape[1] if self.packing is None else torch.tensor(self.packing.lengths, dtype=torch.float64)

    def patch_counts(self, patches: Tensor) -> Count:
        """How many patches (batch, count, ...) every image has, running ones or all at their places."""
        if self.packing is None or not self.is_packed(patches):
            return patches.shape[1]
        return torch.tensor(self.packing.lengths, dtype=torch.float64) - self.prefix

    @property
    def lengths(self) -> tuple[int, ...] | None:
        """Tokens of each image in the one sequence that holds all; None where images are a batch."""
        return None if self.packing is None else self.packing.lengths

    def patches_of(self, tokens: Tensor) -> Tensor:
        """The running patches without the prefix, (batch, running, width)."""
        return tokens[:, self.prefix :] if self.packing is None else tokens[:, self.packing.patches]

    def is_packed(self, patches: Tensor) -> bool:
        """Whether these are the packed patches, and not those that came back to their places (batch, patches, ...)."""
        return self.packing is not None and patches.shape[:2] == (1, len(self.packing.patches))

    def by_image(self, values: Tensor) -> tuple[Tensor, ...]:
        """Values of the running patches (batch, running, ...), image by image: (1, running, ...) each."""
        if self.packing is None:
            return values.split(1)
        return values.split([length - self.prefix for length in self.packing.lengths], dim=1)

    def fork(self) -> Self:
        """A copy whose changes do not reach the original; tensors are shared, nothing writes into them."""
        return replace(self)

    def predict(self, block: int, tokens: Tensor) -> Tensor:
        """The head's logits for the running patches after `block`, (batch, running, cells, classes); run once."""
        known = dict(self.said)
        if block not in known:
            head, adapted = cast(Head, self.heads[str(block)]), self.adapt(block, tokens)
            known[block] = head(adapted if head.adapter else scale_gradient(adapted, self.head_gradient))
            self.charge(lambda: head.macs(self.patch_counts(adapted)))
            self.said = ((block, known[block]),)
        return known[block]

    def adapt(self, block: int, tokens: Tensor) -> Tensor:
        """The running patches as they wait if they pause after `block`, (batch, running, width); run once."""
        patches = self.patches_of(tokens)
        adapter = cast(Head, self.heads[str(block)]).adapter if str(block) in self.heads else None
        if adapter is None:
            return patches
        known = dict(self.adapted)
        if block not in known:
            known[block] = self.carry(adapter, scale_gradient(patches, self.head_gradient), self.places(patches))
            self.adapted = ((block, known[block]),)
        return known[block]

    def carry(self, adapter: Carrier, patches: Tensor, places: Places) -> Tensor:
        """Patches as an adapter makes them, (batch, patches, width); what that costs is counted."""
        self.charge(lambda: adapter.macs(self.patch_counts(patches), self.patches))
        return adapter(patches, places)

    def places(self, patches: Tensor) -> Places:
        """Where the running patches (batch, running, ...) lie."""
        images = self.image_count(patches)
        if self.cells is None:
            return Places(self.grid, images)
        if self.packing is not None:
            return Places(self.grid, images, self.packing.images[self.packing.patches], self.cells)
        return Places(self.grid, images, torch.arange(images, device=patches.device)[:, None], self.cells)

    def _cells(self, patches: Tensor) -> Tensor:
        """Where on the grid each running patch lies, (batch, running)."""
        if self.cells is not None:
            return self.cells
        return torch.arange(self.patches, device=patches.device).expand(self.image_count(patches), -1)

    def image_count(self, patches: Tensor) -> int:
        """How many images the running patches (batch, running, ...) are of."""
        return patches.shape[0] if self.packing is None else len(self.packing.lengths)

    def size_bias(self, tokens: Tensor) -> Tensor | None:
        """What attention adds to its logits so that tokens count by their sizes, (batch, 1, 1, prefix + running).

        None where every token stands for one patch. Computed once after each reduction.
        """
        if self.bias is None and self.sizes is not None:
            places = torch.arange(self.prefix, tokens.shape[1], device=tokens.device)
            patches = places if self.packing is None else self.packing.patches
            bias = tokens.new_zeros(tokens.shape[:2]).index_copy(1, patches, self.sizes.log().to(tokens.dtype))
            self.bias = bias[:, None, None]
        return self.bias

    def left_by(self, strategy: str, schedule: Schedule, block: int, running: int) -> int:
        """How many of the running patches a strategy's schedule lets go on after `block`, at least one.

        Fractions are of the patches before the strategy's first reduction; what others took away since comes off too.
        """
        counts = [*(reduction.before for reduction in self.reductions), running]
        own = [reduction.by == strategy for reduction in self.reductions]
        first = own.index(True) if any(own) else len(own)
        taken = [before - after for before, after in pairwise(counts[first:])]
        others = sum(count for count, mine in zip(taken, own[first:], strict=True) if not mine)
        return min(running, max(1, schedule.running(counts[first])[block] - others))

    def select(
        self, tokens: Tensor, chosen: Tensor, by: str, final: Tensor | None = None, waiting: Tensor | None = None
    ) -> Tensor:
        """Go on with as many patches of every image; the others wait, or take a prediction as final.

        Args:
            tokens: (batch, prefix + running, width).
            chosen: the patches that go on, (batch, kept).
            by: name of the strategy.
            final: logits of all running patches that the others keep, (batch, running, cells, classes); None: they
                wait.
            waiting: what all running patches would wait as, (batch, running, width); None: as they are.

        Returns:
            Prefix and chosen patches, (batch, prefix + kept, width).
        """
        prefix = torch.arange(self.prefix, device=tokens.device).expand(tokens.shape[0], -1)
        rows = rows_of(torch.cat([prefix, chosen + self.prefix], dim=1), tokens.shape[1])
        shape = (tokens.shape[0], self.prefix + chosen.shape[1])
        left = self._left(tokens, rows_of(chosen, self.running(tokens)), by, final, waiting)
        self._go_on(tokens, left, chosen.shape)
        return tokens.flatten(0, 1).index_select(0, rows).unflatten(0, shape)

    def pack(
        self, tokens: Tensor, chosen: Tensor, by: str, final: Tensor | None = None, waiting: Tensor | None = None
    ) -> Tensor:
        """Go on with a different number of patches of each image, all in one sequence; otherwise as `select`.

        Args:
            tokens: (batch, prefix + running, width), or packed already.
            chosen: (batch, running), True for the patches that go on.
            by: name of the strategy.
            final: logits that the others keep.
            waiting: what they would wait as.

        Returns:
            Prefix and chosen patches image after image, (1, tokens of all images, width); the tokens as they are where
            all patches go on.
        """
        if bool(chosen.all()):
            return tokens
        packing = self.packing or Packing.even(len(tokens), tokens.shape[1], self.prefix, tokens.device)
        going = chosen.flatten().nonzero().squeeze(1)
        self._go_on(tokens, self._left(tokens, going, by, final, waiting), torch.Size((1, len(going))))
        rows, self.packing = packing.keep(chosen.flatten(), self.prefix)
        return tokens.flatten(0, 1).index_select(0, rows).unsqueeze(0)

    def _left(
        self, tokens: Tensor, rows: Tensor, by: str, final: Tensor | None, waiting: Tensor | None
    ) -> Paused | Finished:
        """What becomes of the patches that are not at `rows` of those of all images."""
        if final is not None:
            return Finished(by, final, rows, self.running(tokens))
        return Paused(by, self.patches_of(tokens) if waiting is None else waiting, rows, self.running(tokens))

    def _go_on(self, tokens: Tensor, left: Paused | Finished, shape: torch.Size) -> None:
        """Go on without some patches; the others become (batch, kept) as `shape` says."""
        self.cells = self._cells(self.patches_of(tokens))
        self._carry(lambda values: values.flatten(0, 1).index_select(0, left.rows).unflatten(0, shape))
        self._note(left)

    def _note(self, reduction: Reduction) -> None:
        """Remember a reduction; what heads said of the patches before it holds no longer."""
        self.reductions, self.said, self.adapted, self.bias = (*self.reductions, reduction), (), (), None

    def merge(self, add: Callable[[Tensor], Tensor], sizes: Tensor, reduction: Merged) -> None:
        """Note that running patches have become one; `add` sums values (batch, running, ...) of those that did."""
        cells, self.cells = self._cells(sizes), None
        self._carry(add)
        first = cells.new_zeros(sizes.shape).scatter_reduce(1, reduction.index, cells, "amin", include_self=False)
        self.sizes, self.cells = sizes, first
        self._note(reduction)

    def leave(self, tokens: Tensor, stay: Tensor, reduction: Reduction) -> Tensor:
        """Go on with the images `stay` alone; give their tokens."""
        self._carry(lambda values: values[stay])
        self.images = stay if self.images is None else self.images[stay]
        self.said = tuple((block, logits[stay]) for block, logits in self.said)
        self.adapted = tuple((block, patches[stay]) for block, patches in self.adapted)
        self.bias = None if self.bias is None else self.bias[stay]
        self.reductions = (*self.reductions, reduction)
        return tokens[stay]

    def _carry(self, change: Callable[[Tensor], Tensor]) -> None:
        """Let what is known of every running patch go the way of the patches."""
        self.sizes = None if self.sizes is None else change(self.sizes)
        self.truth = None if self.truth is None else change(self.truth)
        self.final_loss = None if self.final_loss is None else change(self.final_loss)
        self.cells = None if self.cells is None else change(self.cells)

    def charge(self, macs: Callable[[], Count]) -> None:
        """Add multiply-accumulates to every image that still runs; they are only computed where somebody counts."""
        if self.macs is not None:
            running = torch.arange(len(self.macs)) if self.images is None else self.images.cpu()
            amount = torch.as_tensor(macs(), dtype=torch.float64).expand(len(running))
            self.macs = self.macs.index_add(0, running, amount)

    def paused_at(self) -> list[tuple[Tensor, Tensor]]:
        """For every pause so far the patches before it and those that went on, as places on the grid, (batch, ...)."""
        places, steps = torch.arange(self.patches), []
        for reduction in self.reductions:
            if isinstance(reduction, Paused):
                before = places.to(reduction.rows.device).expand(reduction.tokens.shape[:2])
                places = before.flatten()[reduction.rows].view(len(before), -1)
                steps.append((before, places))
        return steps
