"""After which block every patch of an image paused."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from paumer.models.segmenter import Segmenter
from paumer.strategies.pause import Pause
from paumer.strategies.state import State


@dataclass(frozen=True)
class WatchedPause(Pause):
    """Pausing that notes after which blocks something paused."""

    seen: list[int] = field(default_factory=list, compare=False)

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """As pausing does."""
        before = len(state.reductions)
        tokens = super().after_block(block, tokens, state)
        if len(state.reductions) > before:
            self.seen.append(block)
        return tokens


def pause_blocks(model: Segmenter, image: Tensor, strategy: Pause) -> tuple[Tensor, Tensor]:
    """Run one image and see which patches pause.

    Args:
        model: in eval mode.
        image: normalised, (1, 3, height, width).
        strategy: how patches pause.

    Returns:
        The block after which each patch paused, 0 where it ran on, (grid height, grid width) int64; and the logits of
        patches.
    """
    watched = WatchedPause(strategy.parameters, strategy.criterion_name)
    tokens, state = model.encode(image, watched)
    blocks = torch.zeros(state.patches, dtype=torch.int64)
    for block, (before, after) in zip(watched.seen, state.paused_at(), strict=True):
        blocks[before[0].cpu()] = block
        blocks[after[0].cpu()] = 0
    return blocks.view(state.grid), model.finish(tokens, state, watched)
