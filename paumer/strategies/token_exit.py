"""Token exit: certain patches take the auxiliary head's prediction as final.

After the description of DToP (Tang et al., "Dynamic Token Pruning in Plain Vision Transformers for Semantic
Segmentation", ICCV 2023): the best patches of every predicted class keep running, so that the others still see what
the classes look like. Fractions instead of a threshold are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import log_probabilities, of_two
from paumer.strategies.families import Family, by_fractions
from paumer.strategies.notation import Schedule, WithSchedule, read_with_number
from paumer.strategies.reductions import KeptTokens
from paumer.strategies.tokens import complement, scatter_rows
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")


@dataclass(frozen=True)
class TokenExitParameters(WithSchedule):
    """Where patches take the auxiliary head's prediction as final, and how many of every class never do.

    Attributes:
        keep: the best patches of every predicted class that keep running.
    """

    keep: int = 5

    def __str__(self) -> str:
        """The notation, `3:0.4` or `3:0.4 keep 10`."""
        return str(self.schedule) if self.keep == TokenExitParameters.keep else f"{self.schedule} keep {self.keep}"

    @property
    def options(self) -> int:
        """How many to keep."""
        return self.keep


def parse_token_exit(text: str) -> TokenExitParameters:
    """Read fractions or thresholds, and how many patches of every class to keep."""
    schedule, keep = read_with_number(text, "keep")
    return TokenExitParameters(schedule) if keep is None else TokenExitParameters(schedule, keep)


class ExitedTokens(KeptTokens):
    """The others took a head's prediction as final: `values` are its logits, (batch, before, cells, classes)."""

    of_logits: ClassVar[bool] = True

    def restore(self, values: Tensor) -> Tensor:
        """Log-probabilities, the scale that a head and the decoder have in common; a single logit is on it already."""
        if self.values.shape[-1] == 1:
            return super().restore(values)
        heads, decoded = (log_probabilities(logits).movedim(0, -1) for logits in (self.values, values))
        return scatter_rows(heads, self.kept.rows, decoded)


class TokenExit(Strategy):
    """Exit the most certain patches at the blocks of the parameters; the decoder never sees them.

    With a fraction the same number of patches of every image exits. With a threshold those exit that are more certain
    than it; above 1 none is. Images of different lengths then run in one sequence.
    """

    name = "token-exit"
    description = "certain patches take the auxiliary head's prediction as final; the best of every class keep running"
    examples = ("3:0.4", "3@0.95+6@0.95", "3:0.4 keep 10")
    recipes = ("multi-exit", "token-exit")
    criteria = ("confidence", "entropy", "margin")
    reads_heads = True
    outputs_logits = True
    ragged = True

    parameters: TokenExitParameters
    parse = staticmethod(parse_token_exit)

    @classmethod
    def families(cls, heads: Sequence[int], depth: int) -> tuple[Family, ...]:
        """Any share of the patches, after one head or two."""
        return by_fractions(heads)

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Exit the certain patches; returns prefix and running patches."""
        running, schedule = state.running(tokens), self.parameters.schedule
        certainty = 1 - state.scores(self.criterion_name, block, tokens)
        logits = state.predict(block, tokens)
        if isinstance(schedule, Schedule):
            kept = best_of_each_class(certainty, logits, self.parameters.keep)
            count = running - state.num_kept(self.name, schedule, block, running)
            # The kept ones come last, in an order that no tie leaves open.
            gone = torch.where(kept, certainty - 2, certainty).topk(count, dim=1).indices
            chosen = state.keep(tokens, complement(gone, running))
            return state.apply(ExitedTokens(self.name, chosen, logits), tokens)
        images = zip(state.by_image(certainty), state.by_image(logits), strict=True)
        kept = torch.cat([best_of_each_class(*image, self.parameters.keep) for image in images], dim=1)
        stays = (certainty <= schedule.values[block]) | kept.view_as(certainty)
        packed = state.keep_where(tokens, stays)
        return tokens if packed is None else state.apply(ExitedTokens(self.name, packed, logits), tokens)


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
    members = torch.nn.functional.one_hot(classes.gather(1, order), probabilities.shape[-1])
    rank = (members.cumsum(dim=1) * members).sum(dim=-1)
    return torch.zeros_like(rank, dtype=torch.bool).scatter(1, order, rank <= keep)
