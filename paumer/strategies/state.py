"""The state of a forward pass between its blocks: which patches run, what has been taken away, and what it cost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, Self, cast

import torch
from torch import Tensor, nn

from paumer.schedule import Schedule
from paumer.strategies.packing import Packing
from paumer.strategies.reductions import Finished, Paused, Reduction, rows_of

Count = float | Tensor  # of every image the same, or (batch,) one for each


class Head(Protocol):
    """From patches (batch, patches, width) to logits (batch, patches, cells, classes)."""

    def __call__(self, patches: Tensor) -> Tensor:
        """Predict."""

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates of one image of so many patches; of each image, where there are several counts."""


@dataclass
class State:
    """One forward pass between its blocks.

    Attributes:
        heads: auxiliary heads by block number (as text).
        prefix: tokens before the patches, which are never reduced.
        grid: patches along height and width.
        sizes: how many patches each running token stands for, (batch, running); None while each stands for one.
        truth: pixels of each class in every cell, (batch, running, cells, classes), for training and analysis.
        final_loss: what the dense network's prediction will cost each running patch, (batch, running), for analysis.
        packing: where each image lies in one long sequence, once the images have different numbers of patches. Tokens
            are then (1, of all images, width), and patches and what is known of them (1, patches of all images, ...).
        reductions: what has been reduced so far, to be undone from last to first.
        said: what the heads said of the running patches after the present block.
        macs: multiply-accumulates of each image so far, (images,); None where nobody counts.
        images: which images of the batch still run; None while all do.
    """

    heads: nn.ModuleDict
    prefix: int
    grid: tuple[int, int]
    sizes: Tensor | None = None
    truth: Tensor | None = None
    final_loss: Tensor | None = None
    packing: Packing | None = None
    reductions: tuple[Reduction, ...] = ()
    said: tuple[tuple[int, Tensor], ...] = ()
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
            head = cast(Head, self.heads[str(block)])
            patches = self.patches_of(tokens)
            known[block] = head(patches)
            self.charge(lambda: head.macs(self.patch_counts(patches)))
            self.said = ((block, known[block]),)
        return known[block]

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

    def select(self, tokens: Tensor, chosen: Tensor, by: str, final: Tensor | None = None) -> Tensor:
        """Go on with as many patches of every image; the others wait, or take a prediction as final.

        Args:
            tokens: (batch, prefix + running, width).
            chosen: the patches that go on, (batch, kept).
            by: name of the strategy.
            final: logits of all running patches that the others keep, (batch, running, cells, classes); None: they
                wait as they are.

        Returns:
            Prefix and chosen patches, (batch, prefix + kept, width).
        """
        prefix = torch.arange(self.prefix, device=tokens.device).expand(len(tokens), -1)
        rows = rows_of(torch.cat([prefix, chosen + self.prefix], dim=1), tokens.shape[1])
        shape = (len(tokens), self.prefix + chosen.shape[1])
        self._go_on(tokens, rows_of(chosen, self.running(tokens)), chosen.shape, by, final)
        return tokens.flatten(0, 1).index_select(0, rows).unflatten(0, shape)

    def pack(self, tokens: Tensor, chosen: Tensor, by: str, final: Tensor | None = None) -> Tensor:
        """Go on with a different number of patches of each image, all in one sequence; otherwise as `select`.

        Args:
            tokens: (batch, prefix + running, width), or packed already.
            chosen: (batch, running), True for the patches that go on.
            by: name of the strategy.
            final: logits that the others keep.

        Returns:
            Prefix and chosen patches image after image, (1, tokens of all images, width); the tokens as they are where
            all patches go on.
        """
        if bool(chosen.all()):
            return tokens
        packing = self.packing or Packing.even(len(tokens), tokens.shape[1], self.prefix, tokens.device)
        going = chosen.flatten().nonzero().squeeze(1)
        self._go_on(tokens, going, torch.Size((1, len(going))), by, final)
        rows, self.packing = packing.keep(chosen.flatten(), self.prefix)
        return tokens.flatten(0, 1).index_select(0, rows).unsqueeze(0)

    def _go_on(self, tokens: Tensor, rows: Tensor, shape: torch.Size, by: str, final: Tensor | None) -> None:
        """Go on with `rows` of the patches of all images, which become (batch, kept) as `shape` says."""
        waiting, running = self.patches_of(tokens), self.running(tokens)
        reduction = Paused(by, waiting, rows, running) if final is None else Finished(by, final, rows, running)
        self._carry(lambda values: values.flatten(0, 1).index_select(0, rows).unflatten(0, shape))
        self.reductions, self.said = (*self.reductions, reduction), ()

    def merge(self, add: Callable[[Tensor], Tensor], sizes: Tensor, reduction: Reduction) -> None:
        """Note that running patches have become one; `add` sums values (batch, running, ...) of those that did."""
        self._carry(add)
        self.sizes = sizes
        self.reductions, self.said = (*self.reductions, reduction), ()

    def leave(self, tokens: Tensor, stay: Tensor, reduction: Reduction) -> Tensor:
        """Go on with the images `stay` alone; give their tokens."""
        self._carry(lambda values: values[stay])
        self.images = stay if self.images is None else self.images[stay]
        self.said = tuple((block, logits[stay]) for block, logits in self.said)
        self.reductions = (*self.reductions, reduction)
        return tokens[stay]

    def _carry(self, change: Callable[[Tensor], Tensor]) -> None:
        """Let what is known of every running patch go the way of the patches."""
        self.sizes = None if self.sizes is None else change(self.sizes)
        self.truth = None if self.truth is None else change(self.truth)
        self.final_loss = None if self.final_loss is None else change(self.final_loss)

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
