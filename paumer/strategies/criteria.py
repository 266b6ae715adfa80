"""Criteria: a score per patch from its auxiliary prediction, high where it needs more computation.

Every function maps logits (batch, patches, cells, classes) to scores (batch, patches), the mean over the cells. Those
of predictions lie in 0..1; one minus them is the certainty that thresholds are compared with.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from paumer.registry import LEARNED
from paumer.strategies.state import State

Criterion = Callable[[Tensor], Tensor]


def entropy(logits: Tensor) -> Tensor:
    """Shannon entropy of the prediction, divided by the log of the class count."""
    logarithms = logits.float().log_softmax(dim=-1)
    return -(logarithms.exp() * logarithms).sum(dim=-1).mean(dim=-1) / math.log(logits.shape[-1])


def confidence(logits: Tensor) -> Tensor:
    """One minus the largest probability."""
    return 1 - logits.float().softmax(dim=-1).amax(dim=-1).mean(dim=-1)


def margin(logits: Tensor) -> Tensor:
    """One minus the distance between the two largest probabilities."""
    first, second = logits.float().softmax(dim=-1).topk(2, dim=-1).values.unbind(dim=-1)
    return 1 - (first - second).mean(dim=-1)


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
    return -(truth * logits.float().log_softmax(dim=-1)).sum(dim=(-2, -1))


CRITERIA: dict[str, Criterion] = {"entropy": entropy, "confidence": confidence, "margin": margin}


@torch.no_grad()
def scores(criterion: str, block: int, tokens: Tensor, state: State) -> Tensor:
    """How much each running patch needs more computation, (batch, running).

    Criterion `gain` asks what the head has learnt to predict. `random`, the control that every other has to beat, needs
    no head; `oracle` needs the ground truth.
    """
    if criterion == "random":
        return torch.rand(state.patches_of(tokens).shape[:2], device=tokens.device)
    if criterion == LEARNED:
        return state.expect(block, tokens)
    logits = state.predict(block, tokens)
    if criterion != "oracle":
        return CRITERIA[criterion](logits)
    # Measuring images/s needs no ground truth: what the score is does not change what it costs.
    truth = torch.zeros_like(logits) if state.truth is None else state.truth
    final_loss = truth.new_zeros(truth.shape[:2]) if state.final_loss is None else state.final_loss
    return oracle(logits, truth, final_loss)


def head_blocks(criterion: str, blocks: tuple[int, ...]) -> tuple[int, ...]:
    """Of `blocks` those whose heads a criterion reads."""
    return () if criterion == "random" else blocks
