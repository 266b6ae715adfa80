"""Pausing: patches whose auxiliary prediction is certain skip all remaining blocks."""

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from paumer.schedule import Schedule
from paumer.strategies.contract import State, Strategy
from paumer.strategies.criteria import CRITERIA


@dataclass(frozen=True)
class Pause(Strategy):
    """Pause the patches with the lowest scores where the schedule says so.

    Shapes depend on the schedule alone, so every image of a batch keeps as many patches as the others.
    """

    schedule: Schedule
    criterion_name: str = "entropy"
    name = "pause"

    @property
    def schedule_text(self) -> str:
        """The schedule, `3:0.4`."""
        return str(self.schedule)

    @property
    def reads(self) -> tuple[int, ...]:
        """The blocks of the schedule; criterion `random` needs no head."""
        return () if self.criterion_name == "random" else self.schedule.blocks

    def action(self, block: int) -> Hashable:
        """Fraction and criterion at this block; None where the schedule pauses nothing."""
        fractions = {location.block: location.fraction for location in self.schedule.locations}
        return (self.criterion_name, fractions[block]) if block in fractions else None

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Leave the least uncertain patches on the canvas; give prefix and running patches."""
        keep = self.schedule.running(state.patches).get(block)
        if keep is None:
            return tokens
        chosen = self._scores(block, tokens, state).topk(keep, dim=1, sorted=False).indices
        state.canvas = _write_back(tokens, state)
        state.positions = chosen if state.positions is None else state.positions.gather(1, chosen)
        prefix = torch.arange(state.prefix, device=tokens.device).expand(len(tokens), -1)
        return _take(tokens, torch.cat([prefix, chosen + state.prefix], dim=1))

    def restore(self, tokens: Tensor, state: State) -> Tensor:
        """Write the patches that ran to the end beside the paused ones, (batch, patches, width)."""
        return _write_back(tokens, state)

    @torch.no_grad()
    def _scores(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """How much each running patch needs more computation, (batch, running)."""
        if self.criterion_name == "random":
            return CRITERIA["random"](tokens[:, state.prefix :])
        return CRITERIA[self.criterion_name](state.predict(block, tokens))


def _write_back(tokens: Tensor, state: State) -> Tensor:
    """The canvas with the running patches at their places; the first canvas is the tokens themselves."""
    patches = tokens[:, state.prefix :]
    if state.canvas is None or state.positions is None:
        return patches
    return state.canvas.scatter(1, _wide(state.positions, patches), patches)


def _take(tokens: Tensor, index: Tensor) -> Tensor:
    """The tokens at `index` (batch, count)."""
    return tokens.gather(1, _wide(index, tokens))


def _wide(index: Tensor, like: Tensor) -> Tensor:
    """Repeat an index (batch, count) over the channels without copying."""
    return index.unsqueeze(-1).expand(-1, -1, like.shape[-1])
