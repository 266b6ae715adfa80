"""How much classes count, where rare ones shall not be lost among frequent ones."""

from collections.abc import Sequence

import torch
from torch import Tensor


def balance_classes(frequencies: Sequence[float], power: float) -> Tensor | None:
    """Weights frequency ** -power, scaled so that the mean over the pixels is 1; None where all are the same.

    A class that no pixel has gets the weight of the rarest one that occurs.
    """
    if power == 0:
        return None
    shares = torch.tensor(frequencies, dtype=torch.float32)
    weights = shares.clamp(min=float(shares[shares > 0].min())) ** -power
    return weights / (weights * shares).sum()
