"""Pausing: patches whose auxiliary prediction is certain skip all remaining blocks.

The floor of pausing: the same blocks on tokens already cut, and nothing else. For measuring only.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from paumer.strategies.contract import Network, Strategy
from paumer.strategies.criteria import scores
from paumer.strategies.notation import Schedule, Thresholds
from paumer.strategies.parameters import BatchBudget
from paumer.strategies.registry import BALANCED, head_blocks
from paumer.strategies.state import State


@dataclass(frozen=True)
class Pause(Strategy):
    """Pause the patches with the lowest scores where the parameters say so.

    With a schedule shapes depend on it alone: every image of a batch keeps as many patches as the others. With a budget
    over the batch the patches of all its images compete, so hard images keep more of them and the total stays. With
    thresholds those pause that are more certain. In both cases images of different lengths run in one sequence, and
    every image keeps at least its least certain patch.

    Fractions are of the patches that it receives: all N, or those that an earlier part of a composition leaves.
    """

    parameters: Schedule | BatchBudget | Thresholds
    criterion_name: str = "entropy"
    name = "pause"

    @property
    def schedule_text(self) -> str:
        """The parameters, `3:0.4`."""
        return str(self.parameters)

    @property
    def reads(self) -> tuple[int, ...]:
        """The blocks of the parameters; criterion `random` needs no head."""
        return head_blocks(self.criterion_name, self.parameters.blocks)

    @property
    def halves(self) -> bool:
        """Where the cost depends on the image, images get different lengths."""
        return self.parameters.depends_on_image

    def skip(self, network: Network) -> str:
        """Why this network cannot run it: also where it lacks what the criterion needs."""
        if reason := super().skip(network):
            return reason
        unknown = self.criterion_name in BALANCED and network.class_weights is None
        return "the network does not know how frequent the classes are" if unknown else ""

    def action(self, block: int) -> Hashable:
        """Parameters and criterion at this block; None where nothing pauses."""
        kind = type(self.parameters).__name__
        values = self.parameters.values
        return (self.name, kind, self.criterion_name, values[block]) if block in values else None

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Let the least uncertain patches wait; give prefix and running patches."""
        if block not in self.parameters.blocks:
            return tokens
        needs = scores(self.criterion_name, block, tokens, state)
        running, waiting = state.running(tokens), state.adapt(block, tokens)
        if isinstance(self.parameters, Schedule):
            keep = state.left_by(self.name, self.parameters, block, running)
            chosen = needs.topk(keep, dim=1, sorted=False).indices
            return state.select(tokens, chosen, self.name, waiting=waiting)
        each = state.by_image(needs)
        least_certain = torch.cat([_largest(one) for one in each], dim=1).view_as(needs)
        if isinstance(self.parameters, Thresholds):
            stays = (1 - needs <= self.parameters.values[block]) | least_certain
        else:
            keep = len(each) * state.left_by(self.name, self.parameters.where, block, running)
            rows = needs.masked_fill(least_certain, torch.inf).flatten().topk(keep, sorted=False).indices
            stays = torch.zeros_like(needs, dtype=torch.bool).flatten().index_fill(0, rows, True).view_as(needs)
        return state.pack(tokens, stays, self.name, waiting=waiting)


def _largest(values: Tensor) -> Tensor:
    """Mark the largest of (1, values)."""
    return functional.one_hot(values.argmax(dim=1), values.shape[1]).bool()


class Floor(Strategy):
    """Runs the blocks on as many tokens as a schedule leaves, without head, criterion, gather or write-back.

    Its logits mean nothing. The cut tokens are kept from the first forward pass of a shape. A compiler would then
    remove blocks whose results nobody uses; for it the floor cuts by slicing and fills up with zeros, which it fuses
    with what follows.
    """

    name = "floor"

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self._kept: dict[tuple[int, int, int], Tensor] = {}

    @property
    def schedule_text(self) -> str:
        """The schedule whose floor this is."""
        return str(self.schedule)

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Go on with fewer tokens, which were cut before."""
        keep = self.schedule.running(state.patches).get(block)
        if keep is None:
            return tokens
        if block == self.schedule.blocks[0]:
            self._keep(0, tokens[:, state.prefix :], state)
        return self._keep(block, tokens[:, : state.prefix + keep], state)

    def classify(self, network: Network, patches: Tensor, state: State) -> Tensor:
        """Decode as many patches as the image has."""
        if torch.compiler.is_compiling():
            return network.classify(functional.pad(patches, (0, 0, 0, state.patches - patches.shape[1])), state)
        return network.classify(self._keep(0, patches, state), state)

    def _keep(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """The tokens kept for this place and shape; those given, the first time."""
        if torch.compiler.is_compiling():
            return tokens
        key = (block, len(tokens), state.patches)
        if key not in self._kept:
            self._kept[key] = tokens.contiguous()
        return self._kept[key]
