"""Where patches pause in one image, and the entropy of their predictions."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from paumer.models.segmenter import Segmenter
from paumer.strategies.pause import Pause
from paumer.strategies.state import State

# Of patches that pause at the first, second ... location, in pictures: Okabe and Ito's, safe for the colour-blind.
PAUSE_COLOURS = ((230, 159, 0), (86, 180, 233), (204, 121, 167), (0, 158, 115), (240, 228, 66), (213, 94, 0))


@dataclass(frozen=True)
class Pauses:
    """The pauses of one image.

    Attributes:
        blocks: after which block each paused, 0 where it ran on, (grid height, grid width) int64.
        patch_logits: of the network, as `Segmenter.label` takes them.
        entropy: block -> entropy of each patch after it, NaN where it had paused before, (grid height, grid width).
    """

    blocks: Tensor
    patch_logits: Tensor
    entropy: dict[int, Tensor]

    def blocks_of_pixels(self, side: int, size: Sequence[int]) -> Tensor:
        """`blocks` for each pixel of an image of `size` whose patches have sides of `side`, (height, width) int64."""
        height, width = size
        return self.blocks.repeat_interleave(side, dim=0).repeat_interleave(side, dim=1)[:height, :width]


@dataclass(frozen=True)
class WatchedPause(Pause):
    """Pausing that notes of one image which patches run on from which blocks, and the entropy after some blocks."""

    watched: tuple[int, ...] = ()
    running: dict[int, Tensor] = field(default_factory=dict, compare=False)
    entropy: dict[int, Tensor] = field(default_factory=dict, compare=False)

    def action_key(self, block: int) -> Hashable:
        """Acts after watched blocks, too."""
        key = super().action_key(block)
        return ("watched", key) if block in self.watched else key

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """As pausing does."""
        if block in self.watched:
            seen = state.scores("entropy", block, tokens)[0].float()
            canvas = seen.new_full((state.patches,), torch.nan)
            canvas[slice(None) if state.positions is None else state.positions[0]] = seen
            self.entropy[block] = canvas.view(state.grid).cpu()
        if super().action_key(block) is None:
            return tokens
        tokens = super().after_block(block, tokens, state)
        if state.positions is not None:
            self.running[block] = state.positions[0].cpu()
        return tokens


def watch_pauses(model: Segmenter, image: Tensor, strategy: Pause, watched: Sequence[int] = ()) -> Pauses:
    """Run one image and see which patches pause.

    Args:
        model: in eval mode.
        image: (1, 3, height, width).
        strategy: how patches pause.
        watched: the blocks after which to look at the entropy, where there are heads.
    """
    watching = WatchedPause(strategy.parameters, strategy.criterion_name, tuple(watched))
    tokens, state = model.encode(image, watching)
    blocks = torch.zeros(state.patches, dtype=torch.int64)
    for block, running in watching.running.items():
        paused = blocks == 0
        paused[running] = False
        blocks[paused] = block
    return Pauses(blocks.view(state.grid), model.finish(tokens, state, watching), watching.entropy)
