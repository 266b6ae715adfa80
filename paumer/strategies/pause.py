"""Pausing: patches whose auxiliary prediction is certain skip all remaining blocks."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.notation import WHOLE, Schedule, Thresholds, WithSchedule, read_fractions_or_thresholds
from paumer.strategies.reductions import PausedTokens, Selection
from paumer.strategies.tokens import scatter_rows
from paumer.system.errors import PaumerError
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")


@dataclass(frozen=True)
class Rejoining(WithSchedule):
    """Pausing until a block, in and after which all patches run; written `3:0.4 rejoin 11`.

    Known as last layer fusion: Bergner et al., "Token Cropr: Faster ViTs for Quite a Few Tasks", CVPR 2025.

    Attributes:
        rejoin: the block.
    """

    rejoin: int

    def __post_init__(self) -> None:
        if self.rejoin < self.blocks[-1] + 2:
            raise PaumerError(
                f"{self}: patches that pause after block {self.blocks[-1]} skip nothing before block {self.rejoin}; "
                f"use block {self.blocks[-1] + 2} or a later one"
            )

    def __str__(self) -> str:
        """The notation."""
        return f"{self.schedule} rejoin {self.rejoin}"

    @property
    def options(self) -> str:
        """What tells it from pausing until the decoder, at the blocks where patches pause."""
        return "rejoin"

    def at(self, block: int) -> Hashable:
        """What happens at a block: after the one before `rejoin` the patches come back."""
        return "rejoin" if block == self.rejoin - 1 else super().at(block)

    def check_depth(self, depth: int) -> None:
        """Refuse a block that the network lacks."""
        if self.rejoin > depth:
            raise PaumerError(f"{self}: no block {self.rejoin} in a network of {depth} blocks; use one that there is")


@dataclass(frozen=True)
class WaitingTokens(PausedTokens):
    """Paused patches that will run on.

    Attributes:
        tokens: prefix and patches before, as they wait, (batch, prefix + before, width); as packed.
    """

    tokens: Tensor

    def restore_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """Write the tokens that ran among those that wait."""
        return scatter_rows(self.tokens, self.kept.token_rows, tokens)


def parse_pause(text: str) -> Schedule | Thresholds | Rejoining:
    """Read fractions or thresholds, and the block in which paused patches run again."""
    where, _, block = text.partition(" rejoin ")
    schedule = read_fractions_or_thresholds(where)
    if not block:
        return schedule
    if not WHOLE.fullmatch(block.strip()):
        raise PaumerError(f"{text!r}: rejoin {block!r} is no number of a block; write it like 3:0.4 rejoin 11")
    return Rejoining(schedule, int(block))


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

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Pause the least uncertain patches, or let those that pause rejoin; returns prefix and running patches."""
        parameters, rejoining = self.parameters, isinstance(self.parameters, Rejoining)
        if isinstance(parameters, Rejoining):
            if block == parameters.rejoin - 1:
                return self._rejoin(tokens, state)
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

    def _rejoin(self, tokens: Tensor, state: State) -> Tensor:
        """Undo all reductions since the first pause; returns prefix and the patches before it."""
        while any(reduction.by == self.name for reduction in state.reductions):
            tokens = state.undo().restore_tokens(tokens, state.prefix)
        return tokens


def _largest(values: Tensor) -> Tensor:
    """Mark the largest of (1, values)."""
    return torch.nn.functional.one_hot(values.argmax(dim=1), values.shape[1]).bool()
