"""Token exit: certain patches take the auxiliary head's prediction as final.

After the description of DToP (Tang et al., "Dynamic Token Pruning in Plain Vision Transformers for Semantic
Segmentation", ICCV 2023): the best patches of every predicted class keep running, so that the others still see what
the classes look like. Fractions instead of a threshold are ours.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from paumer.parameters import TokenExitParameters
from paumer.schedule import Schedule, Thresholds
from paumer.strategies.contract import State, Strategy
from paumer.strategies.criteria import scores
from paumer.strategies.reductions import Finished, complement


@dataclass(frozen=True)
class TokenExit(Strategy):
    """Finish the most certain patches where the parameters say so; the decoder never sees them.

    A fraction finishes as many patches in every image. A threshold finishes those that are more certain than it;
    above 1 none is.
    """

    parameters: TokenExitParameters
    criterion_name: str = "confidence"
    name = "token-exit"

    @property
    def schedule_text(self) -> str:
        """Where and how much, `3:0.4` or `3@0.95`."""
        return str(self.parameters)

    @property
    def reads(self) -> tuple[int, ...]:
        """The blocks where patches may finish."""
        return self.parameters.blocks

    @property
    def per_image(self) -> bool:  # type: ignore[override]
        """How many patches exceed a threshold depends on the image."""
        return isinstance(self.parameters.where, Thresholds)

    def action(self, block: int) -> Hashable:
        """Criterion, parameters and threshold or fraction at this block; None where nothing may finish."""
        where = self.parameters.where
        if isinstance(where, Thresholds):
            values = dict(where.locations)
        else:
            values = {location.block: location.fraction for location in where.locations}
        if block not in values:
            return None
        return (self.name, self.criterion_name, self.per_image, self.parameters.keep, values[block])

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Let certain patches finish; give prefix and running patches."""
        if block not in self.parameters.blocks:
            return tokens
        running = state.running(tokens)
        certainty = 1 - scores(self.criterion_name, block, tokens, state)
        logits = state.predict(block, tokens)
        kept = best_of_each_class(certainty, logits, self.parameters.keep)
        if isinstance(self.parameters.where, Schedule):
            count = running - state.left_by(self.name, self.parameters.where, block, running)
            finished = certainty.masked_fill(kept, -1).topk(count, dim=1).indices  # the kept ones come last
            chosen = complement(finished, running)
        else:
            threshold = dict(self.parameters.where.locations)[block]
            chosen = ((certainty <= threshold) | kept).nonzero()[:, 1].unsqueeze(0)  # one image
            if chosen.shape[1] == running:
                return tokens
        return state.select(tokens, chosen, Finished(self.name, logits, chosen))


def best_of_each_class(certainty: Tensor, logits: Tensor, keep: int) -> Tensor:
    """Mark the `keep` most certain patches of every predicted class.

    Args:
        certainty: (batch, patches).
        logits: (batch, patches, cells, classes); a patch's class is the most probable one over its cells.
        keep: how many of each.

    Returns:
        (batch, patches), True for those.
    """
    order = certainty.argsort(dim=1, descending=True, stable=True)
    classes = logits.float().softmax(dim=-1).mean(dim=2).argmax(dim=-1)
    members = functional.one_hot(classes.gather(1, order), logits.shape[-1])
    rank = (members.cumsum(dim=1) * members).sum(dim=-1)
    return torch.zeros_like(rank, dtype=torch.bool).scatter(1, order, rank <= keep)
