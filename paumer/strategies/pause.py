"""Pausing: patches whose auxiliary prediction is certain skip all remaining blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.notation import Schedule, Thresholds, read_fractions_or_thresholds
from paumer.strategies.reductions import PausedTokens, Selection
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")


class Pause(Strategy):
    """Pause the patches with the lowest scores where the parameters say so.

    With a schedule shapes depend on it alone: every image of a batch keeps the same number of patches. With thresholds
    those pause that are more certain: images of different lengths then run in one sequence, and every image keeps at
    least its least certain patch.

    Fractions are of the patches that it receives: all N, or those that an earlier part of a composition leaves.
    """

    name = "pause"
    description = (
        "patches whose auxiliary prediction is certain skip all remaining blocks and rejoin before the decoder"
    )
    examples = ("3:0.4", "3:0.2+6:0.2", "3@0.9+6@0.9")
    recipes = ("paumer",)
    criteria = tuple(CRITERIA)
    reads_heads = True
    defers_tokens = True
    ragged = True

    parameters: Schedule | Thresholds
    parse = staticmethod(read_fractions_or_thresholds)

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Pause the least uncertain patches; returns prefix and running patches."""
        needs = state.scores(self.criterion_name, block, tokens)
        patches = state.adapt(block, tokens)
        if isinstance(self.parameters, Schedule):
            count = state.num_kept(self.name, self.parameters, block, state.running(tokens))
            kept: Selection | None = state.keep(tokens, needs.topk(count, dim=1, sorted=False).indices)
        else:
            least_certain = torch.cat([_largest(image) for image in state.by_image(needs)], dim=1).view_as(needs)
            kept = state.keep_where(tokens, (1 - needs <= self.parameters.values[block]) | least_certain)
        return tokens if kept is None else state.apply(PausedTokens(self.name, kept, patches), tokens)


def _largest(values: Tensor) -> Tensor:
    """Mark the largest of (1, values)."""
    return torch.nn.functional.one_hot(values.argmax(dim=1), values.shape[1]).bool()
