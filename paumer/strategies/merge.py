"""Merging: similar patches become one token, which is copied back to their positions before the decoder.

`merge`: bipartite matching on keys, written from the description in Bolya et al., "Token Merging: Your ViT But Faster",
ICLR 2023; the fractions of a schedule replace its number of merged pairs per block.

`local-merge`: neighbours first, any pairs later, after the description of ALGM (Norouzi et al., "ALGM: Adaptive
Local-then-Global Token Merging for Efficient Semantic Segmentation with Plain Vision Transformers", CVPR 2024).
Fractions instead of thresholds, the sizes in the attention, and what the similarity is taken of are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paumer.strategies.contract import Strategy
from paumer.strategies.families import Family
from paumer.strategies.merged_tokens import merge
from paumer.strategies.notation import (
    DECIMALS,
    Schedule,
    Thresholds,
    WithSchedule,
    read_fractions_or_thresholds,
    read_schedule,
)
from paumer.system.errors import PaumerError
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")


UNWEIGHTED, DEVIATIONS = "unweighted", "std"


@dataclass(frozen=True)
class Otherwise(WithSchedule):
    """Merging with an option, written behind the schedule.

    Attributes:
        option: `unweighted`: tokens do not count by their sizes in attention; `std`: thresholds are standard deviations
            above the mean of an image's similarities.
    """

    option: str

    def __str__(self) -> str:
        """The notation."""
        return f"{self.schedule} {self.option}"

    @property
    def options(self) -> str:
        """The option."""
        return self.option


def parse_merging(text: str) -> Schedule | Otherwise:
    """Read fractions to merge away; one block merges at most half of its tokens, as pairs do."""
    schedule = read_schedule(text.removesuffix(f" {UNWEIGHTED}"))
    _check_pairs(schedule, 0)
    return Otherwise(schedule, UNWEIGHTED) if text.endswith(f" {UNWEIGHTED}") else schedule


def parse_local_merging(text: str) -> Schedule | Thresholds | Otherwise:
    """Read fractions or thresholds; the first location merges 2 x 2 neighbours, the others pairs."""
    if text.endswith(f" {DEVIATIONS}"):
        return Otherwise(Thresholds.parse(text.removesuffix(f" {DEVIATIONS}")), DEVIATIONS)
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


class Merge(Strategy):
    """Merge the most similar pairs inside the blocks of the schedule; fractions are of all patches it receives.

    Merged tokens count by their size in every later attention, unless `unweighted`, and are copied back to their places
    in the end.
    """

    name = "merge"
    description = "similar patches merge by bipartite matching and are copied back before the decoder (after ToMe)"
    examples = ("1-8:0.05", "1-8:0.05 unweighted")
    recipes = ("dense",)
    within_block = True

    parameters: Schedule | Otherwise
    parse = staticmethod(parse_merging)

    @classmethod
    def families(cls, heads: Sequence[int], depth: int) -> tuple[Family, ...]:
        """The same share in each of the first half, two thirds, or nearly all of the blocks."""
        lasts = dict.fromkeys((max(1, depth // 2), max(1, 2 * depth // 3), max(1, depth - 1)))
        return tuple(Family(f"1-{last}:{{}}", (1 / last,), most=0.85) for last in lasts)

    def within(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Merge; returns prefix and merged patches."""
        running, weighted = state.running(tokens), isinstance(self.parameters, Schedule)
        schedule = self.parameters if isinstance(self.parameters, Schedule) else self.parameters.schedule
        assert isinstance(schedule, Schedule)
        count = running - state.num_kept(self.name, schedule, block, running)
        state.add_macs(lambda: match_macs(running, keys.shape[-1]))
        gone, partner = most_similar_pairs(keys[:, state.prefix :], count, 0.0)
        return merge(tokens, gone, partner, state, self.name, proportional=weighted)


class LocalMerge(Strategy):
    """At the first location merge 2 x 2 neighbours into one token, at the later ones the most similar pairs.

    A square merges where the mean cosine similarity of its patches is highest (fractions) or above the threshold, which
    may be so many standard deviations above the mean over an image (ALGM takes one, over a training set).
    """

    name = "local-merge"
    description = (
        "alike 2 x 2 neighbours merge early, pairs anywhere later; copied back before the decoder (after ALGM)"
    )
    examples = ("1:0.3+6:0.2", "1@0.9+6@0.9", "1@1+6@1 std")
    recipes = ("dense", "merge")
    within_block = True
    needs_full_grid = True

    parameters: Schedule | Thresholds | Otherwise
    parse = staticmethod(parse_local_merging)

    @classmethod
    def families(cls, heads: Sequence[int], depth: int) -> tuple[Family, ...]:
        """Neighbours after the first or second block, alone or with pairs in the middle."""
        middle = max(3, depth // 2)
        late = [Family(f"{first}:{{}}+{middle}:{{}}", (0.7, 0.3), most=0.75) for first in (1, 2)]
        return (*late, Family("1:{}", most=0.75), Family(f"1:{{}}+{middle}:{{}}", (0.5, 0.5), most=0.66))

    def within(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Merge; returns prefix and merged patches."""
        running, count, relative = state.running(tokens), None, isinstance(self.parameters, Otherwise)
        schedule = self.parameters.schedule if isinstance(self.parameters, Otherwise) else self.parameters
        if isinstance(schedule, Schedule):
            count = running - state.num_kept(self.name, schedule, block, running)
        threshold = schedule.values[block]
        if block == schedule.blocks[0]:
            gone, partner = alike_squares(tokens[:, state.prefix :], state.grid, count, threshold, relative)
        else:
            state.add_macs(lambda: match_macs(running, keys.shape[-1]))
            gone, partner = most_similar_pairs(keys[:, state.prefix :], count, threshold, relative)
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


def most_similar_pairs(
    keys: Tensor, count: int | None, threshold: float, relative: bool = False
) -> tuple[Tensor, Tensor]:
    """Choose which patches merge away into which.

    Args:
        keys: (batch, running, channels).
        count: pairs per image; None: all above the threshold, of one image.
        threshold: on the cosine of the keys.
        relative: in standard deviations above the mean of the image's.

    Returns:
        Patches that go, and where each goes to, both (batch, pairs) among the running patches.
    """
    if keys.shape[1] < 2:
        return (empty := keys.new_zeros(keys.shape[0], 0, dtype=torch.long)), empty
    similarity, target = match(keys)
    if count is None:
        count = _above(similarity, threshold, relative)
    pairs = similarity.topk(min(count, similarity.shape[1]), dim=1, sorted=False).indices
    return 2 * pairs, target.gather(1, pairs)


def squares_of(grid: tuple[int, int], device: torch.device) -> Tensor:
    """The four patches of every whole square of 2 x 2 on a grid, upper left first, (squares, 4)."""
    corners = torch.arange(grid[0] // 2, device=device)[:, None] * 2 * grid[1]
    corners = (corners + 2 * torch.arange(grid[1] // 2, device=device)).flatten()
    return torch.stack([corners, corners + 1, corners + grid[1], corners + grid[1] + 1], dim=1)


def alike_squares(
    patches: Tensor, grid: tuple[int, int], count: int | None, threshold: float, relative: bool = False
) -> tuple[Tensor, Tensor]:
    """Choose the squares of 2 x 2 patches whose patches are most similar.

    Args:
        patches: (batch, patches, width), the whole grid; a last odd row or column takes no part.
        grid: patches along height and width.
        count: patches to merge away per image, rounded to whole squares of three; None: all squares above the
            threshold, of one image.
        threshold: on the mean cosine similarity of the pairs of a square.
        relative: in standard deviations above the mean of the image's squares.

    Returns:
        Patches that go, and where each goes to (the upper left one of its square), both (batch, 3 x squares).
    """
    members = squares_of(grid, patches.device)
    # Sum over all ordered pairs of a square, each patch with itself included: the squared length of the sum.
    similarity = (unit_vectors(patches)[:, members].sum(dim=2).square().sum(dim=-1) - 4) / 12
    chosen = _above(similarity, threshold, relative) if count is None else min(round(count / 3), len(members))
    squares = members[similarity.topk(chosen, dim=1, sorted=False).indices]
    return squares[..., 1:].flatten(1), squares[..., :1].expand(-1, -1, 3).flatten(1)


def _above(similarity: Tensor, threshold: float, relative: bool) -> int:
    """How many similarities lie above a threshold."""
    if not relative:
        return int((similarity > threshold).sum())
    return int((similarity > similarity.mean() + threshold * similarity.std(correction=0)).sum())
