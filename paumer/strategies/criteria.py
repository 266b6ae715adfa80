"""Criteria: a score per patch from its auxiliary prediction, high where it needs more computation.

A criterion is one function, declared by `@criterion` with its description and what it needs beside the prediction.

Every function maps logits (batch, patches, cells, classes) to scores (batch, patches), the mean over the cells. Those
of predictions lie in 0..1 (where `spaced` does not add 1); one minus them is the certainty that thresholds are compared
with. A single logit is that of a sigmoid, and counts as two classes. A prediction that is no number scores above all
others, so that its patch runs on.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from paumer.system.errors import PaumerError
from paumer.system.lazy import lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from paumer.strategies.tokens import TokenPositions
else:
    torch = lazy("torch")

CHANCE, ORACLE = "random", "oracle"  # the controls that bound all others from below and from above
BALANCE = 0.5  # classes count by their frequency to the power of minus this
SMALLEST = 1e-8  # where nothing runs around, which nobody asks for
MOST = 2.0  # no prediction scores more
SPACING = 4  # patches, in height and width, from one that keeps running to the next


@dataclass(frozen=True)
class Criterion:
    """A declared criterion; strategies name it.

    Attributes:
        description: what the score is, as part of a sentence.
        score: from the head's logits (batch, patches, cells, classes), or the patches (batch, patches, width) where it
            needs no head, to scores (batch, patches).
        needs_head: it reads the auxiliary prediction.
        needs_positions: `score` takes `positions`, of the patches on the grid.
        needs_frequencies: `score` takes `weights`, how much each class counts, (classes,).
        needs_labels: `score` takes `truth`, pixels of each class in every cell, and `final_loss` of the dense network's
            prediction, (batch, patches); for analysis only.
    """

    description: str
    score: Callable[..., Tensor]
    needs_head: bool = True
    needs_positions: bool = False
    needs_frequencies: bool = False
    needs_labels: bool = False

    @property
    def is_control(self) -> bool:
        """Whether others are compared with it, because it does not choose by what a head predicts alone."""
        return self.needs_labels or not self.needs_head

    @property
    def cost(self) -> int:
        """A rank of what it costs: of several criteria the dearest is measured, and controls only by themselves."""
        return 0 if self.is_control else 1 + (self.needs_frequencies and self.needs_positions)


CRITERIA: dict[str, Criterion] = {}


def criterion(description: str, name: str = "", **needs: bool) -> Callable[[Callable[..., Tensor]], Any]:
    """Declare a function as the criterion of its name, or of `name`; `needs` are those of `Criterion`.

    Raises:
        PaumerError: the name is taken.
    """

    def declare(score: Callable[..., Tensor]) -> Callable[..., Tensor]:
        if (called := name or score.__name__) in CRITERIA:
            raise PaumerError(f"the criterion name {called!r} is taken; choose another")
        CRITERIA[called] = Criterion(description, score, **needs)
        return score

    return declare


@criterion("the entropy of the prediction, divided by the logarithm of the number of classes.")
def entropy(logits: Tensor) -> Tensor:
    """Shannon entropy of the prediction, divided by the log of the class count."""
    terms = _entropy_terms(logits)
    return terms.sum(dim=0).mean(dim=-1) / math.log(len(terms))


def entropy_order(logits: Tensor) -> Tensor:
    """Scores (batch, patches) in the order of `entropy`, up to rounding, by as few calls as it takes; NaN stays NaN."""
    return torch.special.entr(of_two(logits.float()).softmax(dim=-1)).sum(dim=(-2, -1))


@criterion("one minus the largest probability.")
def confidence(logits: Tensor) -> Tensor:
    """One minus the largest probability."""
    return 1 - log_probabilities(logits.float()).amax(dim=0).exp().mean(dim=-1)


@criterion("one minus the distance between the two largest probabilities.")
def margin(logits: Tensor) -> Tensor:
    """One minus the distance between the two largest probabilities."""
    first, second = of_two(logits.float()).softmax(dim=-1).topk(2, dim=-1).values.unbind(dim=-1)
    return 1 - (first - second).mean(dim=-1)


@criterion(
    "the entropy, to which each class adds by its frequency in training to the power -1/2: mIoU counts rare classes as "
    "much as frequent ones. For `pause` alone, as the next ones.",
    needs_frequencies=True,
)
def balanced(logits: Tensor, weights: Tensor) -> Tensor:
    """Entropy to which every class adds by its weight (classes,); 1 for an even prediction, and never more."""
    shares = (weights / weights.mean()).view(-1, 1, 1, 1)
    summed = (_entropy_terms(logits) * shares).sum(dim=0).mean(dim=-1)
    return (summed / math.log(len(weights))).clamp(max=1)


@criterion(
    "the mean of `balanced` at the patch and of its mean over the running ones of the 3 x 3 patches around.",
    needs_frequencies=True,
    needs_positions=True,
)
def smoothed(logits: Tensor, weights: Tensor, positions: TokenPositions) -> Tensor:
    """As `balanced`, smoothed over the neighbours."""
    needs = balanced(logits, weights)
    return torch.where(needs.isnan(), needs, smooth(needs.nan_to_num(nan=1.0), positions))


@criterion(
    "the entropy, and 1 more in the middle of every square of 4 x 4 patches, so that others still see a sample of "
    "those that pause.",
    needs_positions=True,
)
def spaced(logits: Tensor, positions: TokenPositions) -> Tensor:
    """The entropy, and 1 more for a sample of the patches."""
    return space(entropy(logits), positions)


@criterion("chance, the control that every other criterion has to beat.", name=CHANCE, needs_head=False)
def chance(patches: Tensor) -> Tensor:
    """Evenly distributed random numbers."""
    return torch.rand(patches.shape[:2], device=patches.device)


@criterion(
    "what running on would gain, read off the ground truth; for analysis only, a bound for every criterion.",
    needs_labels=True,
)
def oracle(logits: Tensor, truth: Tensor | None, final_loss: Tensor | None) -> Tensor:
    """How much loss running to the end would save: knows the ground truth and the dense network's prediction.

    For analysis only: what no criterion can pass, up to interactions between patches. Where the truth is not known the
    scores mean nothing, but cost the same: measuring images/s needs no ground truth.

    Args:
        logits: (batch, patches, cells, classes).
        truth: pixels of each class in every cell, same shape.
        final_loss: loss of the dense network's prediction, (batch, patches).
    """
    truth = torch.zeros_like(of_two(logits)) if truth is None else truth
    final_loss = truth.new_zeros(truth.shape[:2]) if final_loss is None else final_loss
    return patch_loss(logits, truth) - final_loss


CONTROLS = tuple(name for name, one in CRITERIA.items() if one.is_control)
INFORMED = tuple(name for name, one in CRITERIA.items() if not one.is_control)


def smooth(needs: Tensor, positions: TokenPositions) -> Tensor:
    """The mean of every running patch's score and of the mean over the running ones of the 3 x 3 around it.

    Args:
        needs: (batch, running).
        positions: of the running patches.
    """
    pool = partial(torch.nn.functional.avg_pool2d, kernel_size=3, stride=1, padding=1)
    values = needs.unsqueeze(-1)
    around = pool(positions.to_map(values)) / pool(positions.to_map(torch.ones_like(values))).clamp(min=SMALLEST)
    return (needs + positions.from_map(around).squeeze(-1)) / 2


def space(needs: Tensor, positions: TokenPositions) -> Tensor:
    """The scores (batch, running), and 1 more in the middle of every square of `SPACING` x `SPACING` patches."""
    along = [torch.arange(side, device=needs.device) % SPACING == SPACING // 2 for side in positions.grid]
    sample = (along[0][:, None] & along[1]).to(needs.dtype).expand(positions.images, 1, -1, -1)
    return needs + positions.from_map(sample).squeeze(-1)


def patch_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy summed over the pixels of each patch, (batch, patches)."""
    return -(truth * of_two(logits.float()).log_softmax(dim=-1)).sum(dim=(-2, -1))


def _entropy_terms(logits: Tensor) -> Tensor:
    """What every class adds to the entropy, (classes, batch, patches, cells)."""
    logarithms = log_probabilities(logits.float())
    return -(logarithms.exp() * logarithms)


def of_two(logits: Tensor, dim: int = -1) -> Tensor:
    """Logits of two classes where there is one logit, which is that of a sigmoid: class 1 where it is above 0.

    More logits stay as they are.
    """
    return torch.cat([torch.zeros_like(logits), logits], dim) if logits.shape[dim] == 1 else logits


def log_probabilities(logits: Tensor) -> Tensor:
    """Logarithms of the probabilities with the classes first, (classes, ...), of logits (..., classes).

    A processor is five times as fast along a first dimension as along a last one of a dozen classes.
    """
    return of_two(logits).movedim(-1, 0).contiguous().log_softmax(dim=0)
