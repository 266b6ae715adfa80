"""What merging strategies share: matching patches, averaging them, and remembering who went where."""

from collections.abc import Hashable

import torch
from torch import Tensor
from torch.nn import functional

from paumer.schedule import Schedule, Thresholds
from paumer.strategies.contract import Strategy
from paumer.strategies.reductions import Merged, add_at, complement, take
from paumer.strategies.state import State


class Merging(Strategy):
    """Merges patches between the attention and the feed-forward network of a block."""

    parameters: Schedule | Thresholds

    @property
    def schedule_text(self) -> str:
        """Fractions or thresholds, `1-8:0.05`."""
        return str(self.parameters)

    @property
    def per_image(self) -> bool:  # type: ignore[override]
        """How many patches exceed a threshold depends on the image."""
        return isinstance(self.parameters, Thresholds)

    @property
    def halves(self) -> bool:
        """Patches merge between the halves of a block."""
        return True

    def inside(self, block: int) -> Hashable:
        """Fraction or threshold at this block; None where nothing merges."""
        values = self.parameters.values
        return (self.name, self.per_image, values[block]) if block in values else None

    def count(self, block: int, running: int, state: State) -> int:
        """How many of the running patches a fraction merges away in a block."""
        assert isinstance(self.parameters, Schedule)
        return running - state.left_by(self.name, self.parameters, block, running)


def match(keys: Tensor) -> tuple[Tensor, Tensor]:
    """For every second patch the most similar one of the others, by the cosine of their keys.

    Bipartite matching as described in Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023. In float32 at
    least, under autocast too: in bfloat16 patches that are alike are all as similar, and it is chance who merges.

    Args:
        keys: (batch, running, channels).

    Returns:
        Similarity of patches 0, 2, 4, ... to their best match, (batch, half), and the match's place among all
        running patches, (batch, half).
    """
    unit = functional.normalize(at_least_float32(keys), dim=-1)
    with torch.autocast(keys.device.type, enabled=False):
        similarity, match = (unit[:, ::2] @ unit[:, 1::2].transpose(1, 2)).max(dim=-1)
    return similarity, 2 * match + 1


def at_least_float32(values: Tensor) -> Tensor:
    """The values in float32 where they are less precise."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def match_macs(running: int, channels: int) -> float:
    """Multiply-accumulates of `match` for one image."""
    return (running - running // 2) * (running // 2) * channels


def most_similar_pairs(keys: Tensor, count: int | None, threshold: float) -> tuple[Tensor, Tensor]:
    """Choose which patches merge away into which.

    Args:
        keys: (batch, running, channels).
        count: pairs per image; None: as many as exceed the threshold, of one image.
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


def merge(tokens: Tensor, gone: Tensor, target: Tensor, state: State, by: str) -> Tensor:
    """Average patches by their sizes; the state remembers how to undo it.

    Args:
        tokens: (batch, prefix + running, width).
        gone: patches that merge away, (batch, count), each once.
        target: where each goes to, (batch, count); none of these is gone.
        state: the forward pass.
        by: name of the strategy.

    Returns:
        Tokens (batch, prefix + running - count, width), in the old order.
    """
    if gone.shape[1] == 0:
        return tokens
    patches, running = tokens[:, state.prefix :], state.running(tokens)
    kept = complement(gone, running)
    places = torch.arange(running - gone.shape[1], device=kept.device).expand_as(kept)
    place = kept.new_zeros(kept.shape[0], running).scatter(1, kept, places)
    goal = place.gather(1, target)
    place = place.scatter(1, gone, goal)
    sizes = patches.new_ones(patches.shape[:2]) if state.sizes is None else state.sizes

    def add(values: Tensor) -> Tensor:
        """Add the values (batch, running, ...) of those that go to those that stay."""
        return add_at(take(values, kept), goal, take(values, gone))

    summed, merged_sizes = add(patches * sizes.unsqueeze(-1)), add(sizes)
    state.merge(add, merged_sizes, Merged(by, place))
    return torch.cat([tokens[:, : state.prefix], summed / merged_sizes.unsqueeze(-1)], dim=1)
