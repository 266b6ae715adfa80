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

from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import scores
from paumer.strategies.notation import Schedule
from paumer.strategies.parameters import TokenExitParameters
from paumer.strategies.state import State
from paumer.strategies.tokens import complement, of_two


@dataclass(frozen=True)
class TokenExit(Strategy):
    """Finish the most certain patches where the parameters say so; the decoder never sees them.

    A fraction finishes as many patches in every image. A threshold finishes those that are more certain than it;
    above 1 none is. Images of different lengths then run in one sequence.
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
    def halves(self) -> bool:
        """Where the cost depends on the image, images get different lengths."""
        return self.parameters.depends_on_image

    def action(self, block: int) -> Hashable:
        """Criterion, parameters and threshold or fraction at this block; None where nothing may finish."""
        values, kind = self.parameters.values, type(self.parameters.where).__name__
        if block not in values:
            return None
        return (self.name, kind, self.criterion_name, self.parameters.keep, values[block])

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Let certain patches finish; give prefix and running patches."""
        if block not in self.parameters.blocks:
            return tokens
        running = state.running(tokens)
        certainty = 1 - scores(self.criterion_name, block, tokens, state)
        logits = state.predict(block, tokens)
        if isinstance(self.parameters.where, Schedule):
            kept = best_of_each_class(certainty, logits, self.parameters.keep)
            count = running - state.left_by(self.name, self.parameters.where, block, running)
            # The kept ones come last, in an order that no tie leaves open.
            gone = torch.where(kept, certainty - 2, certainty).topk(count, dim=1).indices
            return state.select(tokens, complement(gone, running), self.name, logits)
        images = zip(state.by_image(certainty), state.by_image(logits), strict=True)
        kept = torch.cat([best_of_each_class(*image, self.parameters.keep) for image in images], dim=1)
        stays = (certainty <= self.parameters.values[block]) | kept.view_as(certainty)
        return state.pack(tokens, stays, self.name, logits)


def best_of_each_class(certainty: Tensor, logits: Tensor, keep: int) -> Tensor:
    """Mark the `keep` most certain patches of every predicted class.

    Args:
        certainty: (batch, patches).
        logits: (batch, patches, cells, classes); a patch's class is the most probable one over its cells.
        keep: how many of each.

    Returns:
        (batch, patches), True for those.
    """
    if torch.compiler.is_exporting():  # ONNX has one sort, which leaves what is equal in its order
        order = certainty.sort(dim=1, descending=True).indices
    else:
        order = certainty.argsort(dim=1, descending=True, stable=True)
    probabilities = of_two(logits.float()).softmax(dim=-1).mean(dim=2)
    classes = probabilities.argmax(dim=-1)
    members = functional.one_hot(classes.gather(1, order), probabilities.shape[-1])
    rank = (members.cumsum(dim=1) * members).sum(dim=-1)
    return torch.zeros_like(rank, dtype=torch.bool).scatter(1, order, rank <= keep)
