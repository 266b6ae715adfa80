"""Pausing: patches whose auxiliary prediction is certain skip all remaining blocks."""

from collections.abc import Hashable
from dataclasses import dataclass

from torch import Tensor

from paumer.schedule import Schedule
from paumer.strategies.contract import State, Strategy
from paumer.strategies.criteria import head_blocks, scores
from paumer.strategies.reductions import Paused


@dataclass(frozen=True)
class Pause(Strategy):
    """Pause the patches with the lowest scores where the schedule says so.

    Shapes depend on the schedule alone, so every image of a batch keeps as many patches as the others. Fractions are
    of the patches that it receives: all N, or those that an earlier part of a composition leaves.
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
        return head_blocks(self.criterion_name, self.schedule.blocks)

    def action(self, block: int) -> Hashable:
        """Fraction and criterion at this block; None where the schedule pauses nothing."""
        fractions = {location.block: location.fraction for location in self.schedule.locations}
        return (self.name, self.criterion_name, fractions[block]) if block in fractions else None

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Let the least uncertain patches wait; give prefix and running patches."""
        if block not in self.schedule.blocks:
            return tokens
        keep = state.left_by(self.name, self.schedule, block, state.running(tokens))
        needs = scores(self.criterion_name, block, tokens, state)
        chosen = needs.topk(keep, dim=1, sorted=False).indices
        return state.select(tokens, chosen, Paused(self.name, tokens[:, state.prefix :], chosen))
