"""The state of a forward pass between its blocks: its running tokens, what the auxiliary heads predict, its cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from paumer.strategies.criteria import CRITERIA, MOST
from paumer.strategies.reductions import Reduction
from paumer.strategies.running import RunningTokens
from paumer.strategies.tokens import Count, Head, TokenAdapter, TokenPositions, scale_gradient
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
else:
    torch = lazy("torch")


@dataclass(kw_only=True)
class State(RunningTokens):
    """One forward pass between its blocks.

    Attributes:
        heads: auxiliary heads by block number (as text).
        pixels: what was embedded, (batch, channels, height, width); None from the first block on.
        class_weights: how much each class counts, (classes,), for criteria that ask; None: unknown.
        head_gradient: share of the gradient that flows through heads and adapters back to the encoder, in training.
        predictions: auxiliary logits of the running patches after the present block, by block; cached.
        adapted: the running patches as they would pause after the present block, by block; cached.
        images: which images of the batch still run; None while all do.
        macs: multiply-accumulates of each image so far, (images,); None where they are not counted.
    """

    heads: nn.ModuleDict
    pixels: Tensor | None = None
    class_weights: Tensor | None = None
    head_gradient: float = 1.0
    predictions: Mapping[int, Tensor] = field(default_factory=dict)
    adapted: Mapping[int, Tensor] = field(default_factory=dict)
    images: Tensor | None = None
    macs: Tensor | None = None

    def apply(self, reduction: Reduction, tokens: Tensor) -> Tensor:
        """Reduce the tokens; predictions of patches that ran on with others are no longer those of a block."""
        if reduction.of_images:
            images = torch.arange(tokens.shape[0], device=tokens.device) if self.images is None else self.images
            self.images = reduction.reduce(images)
            self.predictions = {block: reduction.reduce(logits) for block, logits in self.predictions.items()}
            self.adapted = {block: reduction.reduce(patches) for block, patches in self.adapted.items()}
        else:
            self.predictions, self.adapted = {}, {}
        return super().apply(reduction, tokens)

    def undo(self) -> Reduction:
        """The last reduction, undone; predictions of fewer patches are forgotten."""
        self.predictions, self.adapted = {}, {}
        return super().undo()

    def predict(self, block: int, tokens: Tensor) -> Tensor:
        """The head's logits of the running patches after `block`, (batch, running, cells, classes); cached."""
        if block not in self.predictions:
            head, adapted = cast(Head, self.heads[str(block)]), self.adapt(block, tokens)
            logits = head(adapted if head.adapter else scale_gradient(adapted, self.head_gradient))
            self.add_macs(lambda: head.macs(self.patch_counts(adapted)))
            self.predictions = {block: logits}
        return self.predictions[block]

    def scores(self, criterion: str, block: int, tokens: Tensor) -> Tensor:
        """How much each running patch needs more computation by a criterion after a block, (batch, running)."""
        chosen = CRITERIA[criterion]
        with torch.no_grad():
            seen = self.predict(block, tokens) if chosen.needs_head else self.patches_of(tokens)
            known: dict[str, Any] = {}
            if chosen.needs_positions:
                known["positions"] = self.token_positions(seen)
            if chosen.needs_frequencies:
                known["weights"] = self.class_weights
            if chosen.needs_labels:
                known |= {name: self.side_tensors.get(name) for name in ("truth", "final_loss")}
            needs = chosen.score(seen, **known)
            return needs.nan_to_num(nan=torch.finfo(needs.dtype).max if chosen.needs_labels else MOST)

    def adapt(self, block: int, tokens: Tensor) -> Tensor:
        """The running patches as they pause after `block`, (batch, running, width): adapted where there is an adapter.

        Cached.
        """
        patches = self.patches_of(tokens)
        adapter = cast(Head, self.heads[str(block)]).adapter if str(block) in self.heads else None
        if adapter is None:
            return patches
        if block not in self.adapted:
            scaled = scale_gradient(patches, self.head_gradient)
            self.adapted = {block: self.apply_adapter(adapter, scaled, self.token_positions(patches))}
        return self.adapted[block]

    def apply_adapter(self, adapter: TokenAdapter, patches: Tensor, positions: TokenPositions) -> Tensor:
        """The adapted patches (batch, patches, width); their multiply-accumulates are counted."""
        self.add_macs(lambda: adapter.macs(self.patch_counts(patches), self.patches))
        return adapter(patches, positions)

    def add_macs(self, macs: Callable[[], Count]) -> None:
        """Add multiply-accumulates to every image that runs; they are only computed where they are counted."""
        if self.macs is not None:
            running = torch.arange(len(self.macs)) if self.images is None else self.images.cpu()
            amount = torch.as_tensor(macs(), dtype=torch.float64).expand(len(running))
            self.macs = self.macs.index_add(0, running, amount)

    def token_counts(self, tokens: Tensor) -> Count:
        """How many tokens (batch, count, width) every image has."""
        return tokens.shape[1] if self.packing is None else torch.tensor(self.packing.lengths, dtype=torch.float64)

    def patch_counts(self, patches: Tensor) -> Count:
        """How many patches (batch, count, ...) every image has."""
        if self.packing is None:
            return patches.shape[1]
        return torch.tensor(self.packing.lengths, dtype=torch.float64) - self.prefix
