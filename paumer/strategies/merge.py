"""Merging: similar patches become one token, which is copied back to their positions before the decoder.

`merge`: bipartite matching on keys, written from the description in Bolya et al., "Token Merging: Your ViT But Faster",
ICLR 2023; the fractions of a schedule replace its number of merged pairs per block.

`local-merge`: neighbours first, any pairs later, after the description of ALGM (Norouzi et al., "ALGM: Adaptive
Local-then-Global Token Merging for Efficient Semantic Segmentation with Plain Vision Transformers", CVPR 2024).
Fractions instead of thresholds, the sizes in the attention, and what the similarity is taken of are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from paumer.strategies.contract import Strategy
from paumer.strategies.notation import DECIMALS, Schedule, Thresholds, read_fractions_or_thresholds, read_schedule
from paumer.strategies.reductions import Reduction
from paumer.strategies.tokens import complement, gather_rows, scatter_add_rows
from paumer.system.errors import PaumerError
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")


def parse_merging(text: str) -> Schedule:
    """Read fractions to merge away; one block merges at most half of its tokens, as pairs do."""
    schedule = read_schedule(text)
    _check_pairs(schedule, 0)
    return schedule


def parse_local_merging(text: str) -> Schedule | Thresholds:
    """Read fractions or thresholds; the first location merges 2 x 2 neighbours, the others pairs."""
    schedule = read_fractions_or_thresholds(text)
    if isinstance(schedule, Thresholds):
        return schedule
    if schedule.locations[0].fraction > 0.75:
        raise PaumerError(
            f"schedule {schedule}: merging 2 x 2 neighbours removes 0.75 of all patches at most; lower it"
        )
    _check_pairs(schedule, 1)
    return schedule


def _check_pairs(schedule: Schedule, start: int) -> None:
    """Refuse locations from number `start` on that merge more than half of what runs there."""
    left = 1.0 - sum(location.fraction for location in schedule.locations[:start])
    for location in schedule.locations[start:]:
        if location.fraction > left / 2 + 10**-DECIMALS:
            raise PaumerError(
                f"schedule {schedule}: merging {location.fraction:g} in block {location.block} is more than half of "
                f"the {left:.{DECIMALS}g} that run there; spread it over more blocks"
            )
        left -= location.fraction


@dataclass(frozen=True)
class MergedTokens(Reduction):
    """Several patches became one token, the mean of their values weighted by their sizes.

    Attributes:
        gone: patches that merged away, (batch, count).
        kept: all others, rising, (batch, after).
        target: the token that each of `gone` became a part of, (batch, count).
        index: the token that each patch became, (batch, before).
        sizes: how many patches each patch stood for before, (batch, before).
        merged_sizes: how many each token stands for, (batch, after).
    """

    gone: Tensor
    kept: Tensor
    target: Tensor
    index: Tensor
    sizes: Tensor
    merged_sizes: Tensor

    @classmethod
    def of(cls, by: str, gone: Tensor, partner: Tensor, sizes: Tensor) -> MergedTokens:
        """Merge every patch of `gone` (batch, count) into its partner (batch, count), which is not gone itself."""
        before = sizes.shape[1]
        kept = complement(gone, before)
        numbers = torch.arange(before - gone.shape[1], device=kept.device).expand_as(kept)
        index = kept.new_zeros(kept.shape[0], before).scatter(1, kept, numbers)
        target = index.gather(1, partner)
        merged_sizes = scatter_add_rows(gather_rows(sizes, kept), target, gather_rows(sizes, gone))
        return cls(by, gone, kept, target, index.scatter(1, gone, target), sizes, merged_sizes)

    @property
    def before(self) -> int:
        """Patches before."""
        return int(self.index.shape[1])

    def reduce(self, values: Tensor) -> Tensor:
        """The sums over the patches of every token."""
        return scatter_add_rows(gather_rows(values, self.kept), self.target, gather_rows(values, self.gone))

    def reduce_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """The prefix, and the means over the patches of every token."""
        summed = self.reduce(tokens[:, prefix:] * self.sizes.unsqueeze(-1))
        return torch.cat([tokens[:, :prefix], summed / self.merged_sizes.unsqueeze(-1)], dim=1)

    def reduce_positions(self, positions: Tensor) -> Tensor:
        """The position of the first patch of every token."""
        first = positions.new_zeros(self.merged_sizes.shape)
        return first.scatter_reduce(1, self.index, positions, "amin", include_self=False)

    def reduce_sizes(self, sizes: Tensor | None) -> Tensor:
        """How many patches each token stands for."""
        return self.merged_sizes

    def restore(self, values: Tensor) -> Tensor:
        """Give every patch a copy of its token's values."""
        return gather_rows(values, self.index)


class Merge(Strategy):
    """Merge the most similar pairs inside the blocks of the schedule; fractions are of all patches it receives.

    Merged tokens count by their size in every later attention, and are copied back to their places in the end.
    """

    name = "merge"
    description = "similar patches merge by bipartite matching and are copied back before the decoder (after ToMe)"
    examples = ("1-8:0.05",)
    recipes = ("dense",)
    within_block = True

    parameters: Schedule
    parse = staticmethod(parse_merging)

    def within(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Merge; returns prefix and merged patches."""
        running = state.running(tokens)
        count = running - state.num_kept(self.name, self.parameters, block, running)
        state.add_macs(lambda: match_macs(running, keys.shape[-1]))
        gone, partner = most_similar_pairs(keys[:, state.prefix :], count, 0.0)
        return merge(tokens, gone, partner, state, self.name)


class LocalMerge(Strategy):
    """At the first location merge 2 x 2 neighbours into one token, at the later ones the most similar pairs.

    A square merges where the mean cosine similarity of its patches is highest (fractions) or above the threshold.
    """

    name = "local-merge"
    description = (
        "alike 2 x 2 neighbours merge early, pairs anywhere later; copied back before the decoder (after ALGM)"
    )
    examples = ("1:0.3+6:0.2", "1@0.9+6@0.9")
    recipes = ("dense", "merge")
    within_block = True
    needs_full_grid = True

    parameters: Schedule | Thresholds
    parse = staticmethod(parse_local_merging)

    def within(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Merge; returns prefix and merged patches."""
        running, count = state.running(tokens), None
        if isinstance(self.parameters, Schedule):
            count = running - state.num_kept(self.name, self.parameters, block, running)
        threshold = self.parameters.values[block]
        if block == self.parameters.blocks[0]:
            gone, partner = alike_squares(tokens[:, state.prefix :], state.grid, count, threshold)
        else:
            state.add_macs(lambda: match_macs(running, keys.shape[-1]))
            gone, partner = most_similar_pairs(keys[:, state.prefix :], count, threshold)
        return merge(tokens, gone, partner, state, self.name)


def match(keys: Tensor) -> tuple[Tensor, Tensor]:
    """For every second patch the most similar one of the others, by the cosine of their keys.

    Bipartite matching as described in Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023. In float32 at
    least, under autocast too: in bfloat16 many similarities are equal, and chance decides which patches merge.

    Args:
        keys: (batch, running, channels).

    Returns:
        Similarity of patches 0, 2, 4, ... to their best match, (batch, half), and the match's place among all
        running patches, (batch, half).
    """
    units = unit_vectors(keys)
    similarity, match = products(units[:, ::2], units[:, 1::2]).max(dim=-1)
    return similarity, 2 * match + 1


def unit_vectors(values: Tensor) -> Tensor:
    """The values (..., channels) at length 1, in float32 where they are less precise."""
    return torch.nn.functional.normalize(values.to(torch.promote_types(values.dtype, torch.float32)), dim=-1)


def products(first: Tensor, second: Tensor) -> Tensor:
    """Products (batch, some, others) of vectors (batch, some, channels) and (batch, others, channels), unrounded."""
    with torch.autocast(first.device.type, enabled=False):
        return first @ second.transpose(1, 2)


def match_macs(running: int, channels: int) -> float:
    """Multiply-accumulates of `match` for one image."""
    return (running - running // 2) * (running // 2) * channels


def most_similar_pairs(keys: Tensor, count: int | None, threshold: float) -> tuple[Tensor, Tensor]:
    """Choose which patches merge away into which.

    Args:
        keys: (batch, running, channels).
        count: pairs per image; None: all above the threshold, of one image.
        threshold: on the cosine of the keys.

    Returns:
        Patches that go, and where each goes to, both (batch, pairs) among the running patches.
    """
    if keys.shape[1] < 2:
        return (empty := keys.new_zeros(keys.shape[0], 0, dtype=torch.long)), empty
    similarity, target = match(keys)
    if count is None:
        count = int((similarity > threshold).sum())
    pairs = similarity.topk(min(count, similarity.shape[1]), dim=1, sorted=False).indices
    return 2 * pairs, target.gather(1, pairs)


def merge(tokens: Tensor, gone: Tensor, partner: Tensor, state: State, by: str, proportional: bool = True) -> Tensor:
    """Average patches by their sizes.

    Args:
        tokens: (batch, prefix + running, width).
        gone: patches that merge away, (batch, count), each once.
        partner: the patch that each merges into, (batch, count); none of these is gone.
        state: the forward pass.
        by: name of the strategy.
        proportional: whether the tokens count in attention by their sizes from now on.

    Returns:
        Tokens (batch, prefix + running - count, width), in the old order.
    """
    if gone.shape[1] == 0:
        return tokens
    patches = state.patches_of(tokens)
    sizes = patches.new_ones(patches.shape[:2]) if state.sizes is None else state.sizes
    state.proportional = proportional
    return state.apply(MergedTokens.of(by, gone, partner, sizes), tokens)


def squares_of(grid: tuple[int, int], device: torch.device) -> Tensor:
    """The four patches of every whole square of 2 x 2 on a grid, upper left first, (squares, 4)."""
    corners = torch.arange(grid[0] // 2, device=device)[:, None] * 2 * grid[1]
    corners = (corners + 2 * torch.arange(grid[1] // 2, device=device)).flatten()
    return torch.stack([corners, corners + 1, corners + grid[1], corners + grid[1] + 1], dim=1)


def alike_squares(patches: Tensor, grid: tuple[int, int], count: int | None, threshold: float) -> tuple[Tensor, Tensor]:
    """Choose the squares of 2 x 2 patches whose patches are most similar.

    Args:
        patches: (batch, patches, width), the whole grid; a last odd row or column takes no part.
        grid: patches along height and width.
        count: patches to merge away per image, rounded to whole squares of three; None: all squares above the
            threshold, of one image.
        threshold: on the mean cosine similarity of the pairs of a square.

    Returns:
        Patches that go, and where each goes to (the upper left one of its square), both (batch, 3 x squares).
    """
    members = squares_of(grid, patches.device)
    # Sum over all ordered pairs of a square, each patch with itself included: the squared length of the sum.
    similarity = (unit_vectors(patches)[:, members].sum(dim=2).square().sum(dim=-1) - 4) / 12
    chosen = int((similarity > threshold).sum()) if count is None else min(round(count / 3), len(members))
    squares = members[similarity.topk(chosen, dim=1, sorted=False).indices]
    return squares[..., 1:].flatten(1), squares[..., :1].expand(-1, -1, 3).flatten(1)
