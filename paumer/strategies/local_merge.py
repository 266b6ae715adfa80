"""Merging of neighbours first, of any pairs later.

After the description of ALGM (Norouzi et al., "ALGM: Adaptive Local-then-Global Token Merging for Efficient Semantic
Segmentation with Plain Vision Transformers", CVPR 2024). Fractions instead of thresholds, the sizes in the attention,
and what the similarity is taken of are ours.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from paumer.schedule import Schedule, Thresholds
from paumer.strategies.merging import Merging, at_least_float32, match_macs, merge, most_similar_pairs
from paumer.strategies.state import State


@dataclass(frozen=True)
class LocalMerge(Merging):
    """At the first location merge 2 x 2 neighbours into one token, at the later ones the most similar pairs.

    A square merges where the mean cosine similarity of its patches is highest (fractions) or above the threshold.
    """

    parameters: Schedule | Thresholds
    name = "local-merge"

    def inside_block(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Merge; give prefix and merged patches."""
        running = state.running(tokens)
        count = None if self.per_image else self.count(block, running, state)
        threshold = self.parameters.values[block]
        if block == self.parameters.blocks[0]:
            gone, target = alike_squares(tokens[:, state.prefix :], state.grid, count, threshold)
        else:
            state.charge(lambda: match_macs(running, keys.shape[-1]))
            gone, target = most_similar_pairs(keys[:, state.prefix :], count, threshold)
        return merge(tokens, gone, target, state, self.name)


def alike_squares(patches: Tensor, grid: tuple[int, int], count: int | None, threshold: float) -> tuple[Tensor, Tensor]:
    """Choose squares of 2 x 2 patches whose patches are alike.

    Args:
        patches: (batch, patches, width), the whole grid; a last odd row or column takes no part.
        grid: patches along height and width.
        count: patches to merge away per image, rounded to whole squares of three; None: all squares above the
            threshold, of one image.
        threshold: on the mean cosine similarity of the pairs of a square.

    Returns:
        Patches that go, and where each goes to (the upper left one of its square), both (batch, 3 x squares).
    """
    rows, columns = grid[0] // 2, grid[1] // 2
    corners = torch.arange(rows, device=patches.device)[:, None] * 2 * grid[1]
    corners = (corners + 2 * torch.arange(columns, device=patches.device)).flatten()
    members = torch.stack([corners, corners + 1, corners + grid[1], corners + grid[1] + 1], dim=1)
    unit = functional.normalize(at_least_float32(patches), dim=-1)[:, members]
    # Sum over all ordered pairs of a square, each patch with itself included: the squared length of the sum.
    similarity = (unit.sum(dim=2).square().sum(dim=-1) - 4) / 12
    chosen = int((similarity > threshold).sum()) if count is None else min(round(count / 3), rows * columns)
    squares = members[similarity.topk(chosen, dim=1, sorted=False).indices]
    return squares[..., 1:].flatten(1), squares[..., :1].expand(-1, -1, 3).flatten(1)
