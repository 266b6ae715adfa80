"""Merging by bipartite matching on keys.

Written from the description in Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023; the fractions of a
schedule stand for its number of merged pairs per block.
"""

from dataclasses import dataclass

from torch import Tensor

from paumer.schedule import Schedule
from paumer.strategies.merging import Merging, match_macs, merge, most_similar_pairs
from paumer.strategies.state import State


@dataclass(frozen=True)
class Merge(Merging):
    """Merge the most similar pairs inside the blocks of the schedule; fractions are of all patches it receives.

    Merged tokens count by their size in every later attention, and are copied back to their places in the end.
    """

    parameters: Schedule
    name = "merge"

    def inside_block(self, block: int, tokens: Tensor, keys: Tensor, state: State) -> Tensor:
        """Merge; give prefix and merged patches."""
        running = state.running(tokens)
        state.charge(lambda: match_macs(running, keys.shape[-1]))
        gone, target = most_similar_pairs(keys[:, state.prefix :], self.count(block, running, state), 0.0)
        return merge(tokens, gone, target, state, self.name)
