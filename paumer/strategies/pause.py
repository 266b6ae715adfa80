"""Pausing: patches whose auxiliary prediction is certain skip all remaining blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.families import Family, by_fractions
from paumer.strategies.notation import Schedule, Thresholds, read_with_number
from paumer.strategies.reductions import PausedTokens, Selection
from paumer.strategies.rejoin import Rejoining, WaitingTokens, rejoin
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")


def parse_pause(text: str) -> Schedule | Thresholds | Rejoining:
    """Read fractions or thresholds, and the block in which paused patches run again."""
    schedule, block = read_with_number(text, "rejoin")
    return schedule if block is None else Rejoining(schedule, block)


class Pause(Strategy):
    """Pause the patches with the lowest scores where the parameters say so.

    With a schedule shapes depend on it alone: every image of a batch keeps the same number of patches. With thresholds
    those pause that are more certain: images of different lengths then run in one sequence, and every image keeps at
    least its least certain patch.

    Fractions are of the patches that it receives: all N, or those that an earlier part of a composition leaves.
    Paused patches wait adapted to the decoder, or as they are where they run again.
    """

    name = "pause"
    description = (
        "patches whose auxiliary prediction is certain skip all remaining blocks and rejoin before the decoder"
    )
    examples = ("3:0.4", "3:0.2+6:0.2", "3@0.9+6@0.9", "3:0.4 rejoin 9")
    recipes = ("paumer",)
    criteria = tuple(CRITERIA)
    reads_heads = True
    defers_tokens = True
    ragged = True

    parameters: Schedule | Thresholds | Rejoining
    parse = staticmethod(parse_pause)

    @classmethod
    def families(cls, heads: Sequence[int], depth: int) -> tuple[Family, ...]:
        """Any share of the patches, after one head or two."""
        return by_fractions(heads)

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Pause the least uncertain patches, or let those that pause rejoin; returns prefix and running patches."""
        parameters, rejoining = self.parameters, isinstance(self.parameters, Rejoining)
        if isinstance(parameters, Rejoining):
            if block == parameters.rejoin - 1:
                return rejoin(tokens, state, self.name)
            parameters = parameters.schedule
        needs = state.scores(self.criterion_name, block, tokens)
        patches = state.patches_of(tokens) if rejoining else state.adapt(block, tokens)
        if isinstance(parameters, Schedule):
            count = state.num_kept(self.name, parameters, block, state.running(tokens))
            kept: Selection | None = state.keep(tokens, needs.topk(count, dim=1, sorted=False).indices)
        else:
            least_certain = torch.cat([_largest(image) for image in state.by_image(needs)], dim=1).view_as(needs)
            kept = state.keep_where(tokens, (1 - needs <= parameters.values[block]) | least_certain)
        if kept is None:
            return tokens
        waiting = (self.name, kept, patches)
        return state.apply(WaitingTokens(*waiting, tokens) if rejoining else PausedTokens(*waiting), tokens)


def _largest(values: Tensor) -> Tensor:
    """Mark the largest of (1, values)."""
    return torch.nn.functional.one_hot(values.argmax(dim=1), values.shape[1]).bool()
