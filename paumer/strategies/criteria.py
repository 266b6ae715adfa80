"""Criteria: a score per patch from its auxiliary prediction, high where it needs more computation.

Every function maps logits (batch, patches, cells, classes) to scores (batch, patches) in 0..1, the mean over the cells.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

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


def random(logits: Tensor) -> Tensor:
    """A random number: the control that every criterion has to beat. Needs no head."""
    return torch.rand(logits.shape[:2], device=logits.device)


CRITERIA: dict[str, Criterion] = {
    "entropy": entropy,
    "confidence": confidence,
    "margin": margin,
    "random": random,
}
