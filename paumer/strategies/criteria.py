"""Criteria: a score per patch from its auxiliary prediction, high where it needs more computation.

Every function maps logits (batch, patches, cells, classes) to scores (batch, patches), the mean over the cells. Those
of predictions lie in 0..1 (where `spaced` does not add 1); one minus them is the certainty that thresholds are compared
with. A single logit is that of a sigmoid, and counts as two classes. A prediction that is no number scores above all
others, so that its patch runs on.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from paumer.strategies.registry import BALANCED, CHANCE, ORACLE
from paumer.strategies.state import State
from paumer.strategies.tokens import Places, log_probabilities, of_two

BALANCE = 0.5  # classes count by their frequency to the power of minus this
SMALLEST = 1e-8  # where nothing runs around, which nobody asks for
MOST = 2.0  # no prediction scores more
SPACING = 4  # patches, in height and width, from one that keeps running to the next

Criterion = Callable[[Tensor], Tensor]


def entropy(logits: Tensor) -> Tensor:
    """Shannon entropy of the prediction, divided by the log of the class count."""
    terms = _entropy_terms(logits)
    return terms.sum(dim=0).mean(dim=-1) / math.log(len(terms))


def confidence(logits: Tensor) -> Tensor:
    """One minus the largest probability."""
    return 1 - log_probabilities(logits.float()).amax(dim=0).exp().mean(dim=-1)


def margin(logits: Tensor) -> Tensor:
    """One minus the distance between the two largest probabilities."""
    first, second = of_two(logits.float()).softmax(dim=-1).topk(2, dim=-1).values.unbind(dim=-1)
    return 1 - (first - second).mean(dim=-1)


def balanced(logits: Tensor, weights: Tensor) -> Tensor:
    """Entropy to which every class adds by its weight (classes,); 1 for an even prediction, and never more."""
    shares = (weights / weights.mean()).view(-1, 1, 1, 1)
    summed = (_entropy_terms(logits) * shares).sum(dim=0).mean(dim=-1)
    return (summed / math.log(len(weights))).clamp(max=1)


def _entropy_terms(logits: Tensor) -> Tensor:
    """What every class adds to the entropy, (classes, batch, patches, cells)."""
    logarithms = log_probabilities(logits.float())
    return -(logarithms.exp() * logarithms)


def smooth(needs: Tensor, places: Places) -> Tensor:
    """The mean of every running patch's score and of the mean over the running ones of the 3 x 3 around it.

    Args:
        needs: (batch, running).
        places: where they lie.
    """
    pool = partial(functional.avg_pool2d, kernel_size=3, stride=1, padding=1)
    values = needs.unsqueeze(-1)
    around = pool(places.to_map(values)) / pool(places.to_map(torch.ones_like(values))).clamp(min=SMALLEST)
    return (needs + places.from_map(around).squeeze(-1)) / 2


def space(needs: Tensor, places: Places) -> Tensor:
    """The scores (batch, running), and 1 more in the middle of every square of so many patches."""
    along = [torch.arange(side, device=needs.device) % SPACING == SPACING // 2 for side in places.grid]
    sample = (along[0][:, None] & along[1]).to(needs.dtype).expand(places.images, 1, -1, -1)
    return needs + places.from_map(sample).squeeze(-1)


def oracle(logits: Tensor, truth: Tensor, final_loss: Tensor) -> Tensor:
    """How much loss running to the end would save: knows the ground truth and the dense network's prediction.

    For analysis only: what no criterion can pass, up to interactions between patches.

    Args:
        logits: (batch, patches, cells, classes).
        truth: pixels of each class in every cell, same shape.
        final_loss: loss of the dense network's prediction, (batch, patches).
    """
    return patch_loss(logits, truth) - final_loss


def patch_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy summed over the pixels of each patch, (batch, patches)."""
    return -(truth * of_two(logits.float()).log_softmax(dim=-1)).sum(dim=(-2, -1))


CRITERIA: dict[str, Criterion] = {"entropy": entropy, "confidence": confidence, "margin": margin}


@torch.no_grad()
def scores(criterion: str, block: int, tokens: Tensor, state: State) -> Tensor:
    """How much each running patch needs more computation, (batch, running).

    `random`, the control that every other has to beat, needs no head; `oracle` needs the ground truth.
    """
    if criterion == CHANCE:
        return torch.rand(state.patches_of(tokens).shape[:2], device=tokens.device)
    logits = state.predict(block, tokens)
    if criterion in CRITERIA:
        needs = CRITERIA[criterion](logits)
    elif criterion == "spaced":
        needs = space(entropy(logits), state.places(logits))
    elif criterion in BALANCED:
        assert state.class_weights is not None  # Pause is skipped where it is
        needs = balanced(logits, state.class_weights)
        if criterion == "smoothed":
            needs = torch.where(needs.isnan(), needs, smooth(needs.nan_to_num(nan=1.0), state.places(needs)))
    else:
        needs = _oracle(logits, state)
    return needs.nan_to_num(nan=MOST if criterion != ORACLE else torch.finfo(needs.dtype).max)


def _oracle(logits: Tensor, state: State) -> Tensor:
    # Measuring images/s needs no ground truth: what the score is does not change what it costs.
    truth = torch.zeros_like(of_two(logits)) if state.truth is None else state.truth
    final_loss = truth.new_zeros(truth.shape[:2]) if state.final_loss is None else state.final_loss
    return oracle(logits, truth, final_loss)
