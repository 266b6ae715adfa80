"""Probabilities of predictions, the way that processors like it."""

from torch import Tensor


def log_probabilities(logits: Tensor) -> Tensor:
    """Logarithms of the probabilities with the classes first, (classes, ...), of logits (..., classes).

    A processor is five times as fast along a first dimension as along a last one of a dozen classes.
    """
    return logits.movedim(-1, 0).contiguous().log_softmax(dim=0)
