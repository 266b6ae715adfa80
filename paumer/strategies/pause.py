"""Pausing: patches whose auxiliary prediction is certain skip all remaining blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.notation import Schedule, Thresholds, WithSchedule, read_fractions_or_thresholds, read_schedule
from paumer.strategies.reductions import PausedTokens, Selection
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")

OVER_BATCH = " over batch"


@dataclass(frozen=True)
class BatchBudget(WithSchedule):
    """Fractions of the patches of a whole batch, whose images compete for them; written `3:0.4 over batch`.

    The total stays the same, and each image's share of it depends on what the images show.
    """

    schedule: Schedule

    def __str__(self) -> str:
        """The notation."""
        return f"{self.schedule}{OVER_BATCH}"

    @property
    def options(self) -> str:
        """What tells it from a schedule of every image."""
        return OVER_BATCH

    @property
    def varies(self) -> bool:
        """The images of a batch decide how much each is computed."""
        return True


def parse_pause(text: str) -> Schedule | BatchBudget | Thresholds:
    """Read fractions of each image's patches or of a batch's, or thresholds."""
    if text.endswith(OVER_BATCH):
        return BatchBudget(read_schedule(text.removesuffix(OVER_BATCH)))
    return read_fractions_or_thresholds(text)


class Pause(Strategy):
    """Pause the patches with the lowest scores where the parameters say so.

    With a schedule shapes depend on it alone: every image of a batch keeps the same number of patches. With a budget
    over the batch the patches of all its images compete, so hard images keep more of them and the total stays. With
    thresholds those pause that are more certain. In both cases images of different lengths run in one sequence, and
    every image keeps at least its least certain patch.

    Fractions are of the patches that it receives: all N, or those that an earlier part of a composition leaves.
    """

    name = "pause"
    description = (
        "patches whose auxiliary prediction is certain skip all remaining blocks and rejoin before the decoder"
    )
    examples = ("3:0.4", "3:0.2+6:0.2", "3:0.4 over batch", "3@0.9+6@0.9")
    recipes = ("paumer",)
    criteria = tuple(CRITERIA)
    reads_heads = True
    defers_tokens = True
    ragged = True

    parameters: Schedule | BatchBudget | Thresholds
    parse = staticmethod(parse_pause)

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Pause the least uncertain patches; returns prefix and running patches."""
        needs = state.scores(self.criterion_name, block, tokens)
        running, patches = state.running(tokens), state.adapt(block, tokens)
        if isinstance(self.parameters, Schedule):
            count = state.num_kept(self.name, self.parameters, block, running)
            kept: Selection | None = state.keep(tokens, needs.topk(count, dim=1, sorted=False).indices)
        else:
            kept = state.keep_where(tokens, self._running_mask(needs, block, running, state))
        return tokens if kept is None else state.apply(PausedTokens(self.name, kept, patches), tokens)

    def _running_mask(self, needs: Tensor, block: int, running: int, state: State) -> Tensor:
        """Where different numbers of patches of each image keep running, as `needs`, (batch, running)."""
        images = state.by_image(needs)
        least_certain = torch.cat([_largest(image) for image in images], dim=1).view_as(needs)
        if isinstance(self.parameters, Thresholds):
            return (1 - needs <= self.parameters.values[block]) | least_certain
        assert isinstance(self.parameters, BatchBudget)
        count = len(images) * state.num_kept(self.name, self.parameters.schedule, block, running)
        rows = needs.masked_fill(least_certain, math.inf).flatten().topk(count, sorted=False).indices
        return torch.zeros_like(needs, dtype=torch.bool).flatten().index_fill(0, rows, True).view_as(needs)


def _largest(values: Tensor) -> Tensor:
    """Mark the largest of (1, values)."""
    return torch.nn.functional.one_hot(values.argmax(dim=1), values.shape[1]).bool()
