"""Early exit at a fixed block: the whole image leaves through the auxiliary head there.

Adaptive exit: each image leaves after the first block where the auxiliary head is certain enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from paumer.strategies.contract import Network, Strategy
from paumer.strategies.families import Family
from paumer.strategies.notation import WHOLE, Parameters, Thresholds
from paumer.strategies.reductions import Reduction
from paumer.strategies.tokens import Head
from paumer.system.errors import PaumerError
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.state import State
else:
    torch = lazy("torch")


@dataclass(frozen=True)
class Exit(Parameters):
    """The block after which the whole image leaves, written `exit:6`; nothing happens at blocks before."""

    block: int

    def __str__(self) -> str:
        """The notation."""
        return f"exit:{self.block}"

    @property
    def blocks(self) -> tuple[int, ...]:
        """The block of the exit."""
        return (self.block,)

    def check_depth(self, depth: int) -> None:
        """Refuse a block that the network lacks."""
        if self.block > depth:
            raise PaumerError(f"{self}: no block {self.block} in a network of {depth} blocks; use 1 to {depth}")


def parse_exit(text: str) -> Exit:
    """Read the block of an early exit."""
    number = text.removeprefix("exit:").strip()
    if not WHOLE.fullmatch(number):
        raise PaumerError(f"{text!r} is no early exit; write it like exit:6 (the whole image leaves after block 6)")
    return Exit(int(number))


class EarlyExit(Strategy):
    """Stop after a block; the auxiliary head's prediction is final."""

    name = "early-exit"
    description = "the whole image leaves after a fixed block; the auxiliary head there is final"
    examples = ("exit:6",)
    recipes = ("multi-exit", "paumer")
    reads_heads = True
    outputs_logits = True
    ends_pass = True

    parameters: Exit
    parse = staticmethod(parse_exit)

    @classmethod
    def families(cls, heads: Sequence[int], depth: int) -> tuple[Family, ...]:
        """An exit at each head, the last one first."""
        return (Family("exit:{}", choices=tuple(reversed(heads))),) if heads else ()

    def last_block(self, depth: int) -> int:
        """The block of the exit."""
        return self.parameters.block

    def classify(self, network: Network, patches: Tensor, state: State) -> Tensor:
        """The head's logits."""
        head = cast(Head, network.heads[str(self.parameters.block)])
        state.add_macs(lambda: head.macs(state.patch_counts(patches)))
        if head.adapter is not None:
            patches = state.apply_adapter(head.adapter, patches, state.token_positions(patches))
        return head(patches)


@dataclass(frozen=True)
class ExitedImages(Reduction):
    """Some images of the batch took a head's prediction as final.

    Attributes:
        logits: the head's, of all images before, (images, patches, cells, classes).
        stay: the images that still run, (images after,).
    """

    logits: Tensor
    stay: Tensor

    of_logits: ClassVar[bool] = True
    of_images: ClassVar[bool] = True

    @property
    def before(self) -> int:
        """Patches before; the same number as after."""
        return int(self.logits.shape[1])

    def reduce(self, values: Tensor) -> Tensor:
        """The values of the images that stay."""
        return values[self.stay]

    def reduce_tokens(self, tokens: Tensor, prefix: int) -> Tensor:
        """The tokens of the images that stay."""
        return tokens[self.stay]

    def restore(self, values: Tensor) -> Tensor:
        """Put the images that stayed beside those that left."""
        exact = torch.promote_types(self.logits.dtype, values.dtype)
        return self.logits.to(exact).index_copy(0, self.stay, values.to(exact))


class AdaptiveExit(Strategy):
    """An image exits where the mean certainty of its patches exceeds the threshold; the others are re-batched.

    The head's prediction is final for images that exit. A threshold of 1 or more is never exceeded.
    """

    name = "adaptive-exit"
    description = "each image leaves after the first block where the auxiliary head is certain enough on average"
    examples = ("3@0.9+6@0.9",)
    recipes = ("multi-exit", "paumer")
    criteria = ("entropy", "confidence", "margin")
    reads_heads = True
    outputs_logits = True

    parameters: Thresholds
    parse = staticmethod(Thresholds.parse)

    def after_block(self, block: int, tokens: Tensor, state: State) -> Tensor:
        """Exit the certain images; returns the tokens of the others."""
        needs = state.scores(self.criterion_name, block, tokens)
        weights = needs.new_ones(needs.shape) if state.sizes is None else state.sizes
        certainty = 1 - (needs * weights).sum(dim=1) / weights.sum(dim=1)
        stay = (certainty <= self.parameters.values[block]).nonzero().squeeze(1)
        # Recorded even where no image exits: what is classified at which size must not depend on the rest of the batch.
        return state.apply(ExitedImages(self.name, state.predict(block, tokens), stay), tokens)
