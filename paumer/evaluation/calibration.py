"""Calibration of predictions: whether their confidence is the share of the pixels that they get right.

By equal bins of confidence, with the expected calibration error (Guo et al., "On Calibration of Modern Neural
Networks", ICML 2017). Each cell counts with its labelled pixels.
"""

import pandas as pd
import torch
from torch import Tensor

BINS = 10
FINAL = 0  # the number that stands for the final prediction where heads have that of their block


class Calibration:
    """Sums over the cells of many images, by block and bin of confidence."""

    def __init__(self) -> None:
        self.sums: dict[int, Tensor] = {}

    def add(self, block: int, logits: Tensor, truth: Tensor) -> None:
        """Count the predictions of one head.

        Args:
            block: that of the head; `FINAL` for the decoder.
            logits: (..., classes).
            truth: pixels of each class in every cell, same shape.
        """
        confidence, predicted = logits.double().softmax(dim=-1).max(dim=-1)
        pixels = truth.sum(dim=-1).double()
        right = truth.gather(-1, predicted[..., None])[..., 0].double()
        values = torch.stack([pixels, pixels * confidence, right], dim=-1).flatten(0, -2)
        bins = (confidence * BINS).long().clamp(max=BINS - 1).flatten()
        sums = values.new_zeros(BINS, 3).index_add(0, bins, values).cpu()
        self.sums[block] = self.sums.get(block, torch.zeros_like(sums)) + sums

    def table(self) -> pd.DataFrame:
        """A row for each block and bin, heads first.

        Returns:
            Columns block, bin, pixels (labelled), confidence (their mean), accuracy (share of them that is right), both
            NaN in an empty bin, and ece, the expected calibration error of the block: the sum over its bins of their
            share of the pixels times |accuracy - confidence|.
        """
        blocks = sorted(self.sums, key=lambda block: (block == FINAL, block))
        return pd.concat([_block_table(block, self.sums[block]) for block in blocks], ignore_index=True)


def _block_table(block: int, sums: Tensor) -> pd.DataFrame:
    pixels, confidence, right = sums.T
    gaps = (right - confidence).abs().sum() / pixels.sum()
    columns = {
        "bin": [f"{number / BINS:.1f} to {(number + 1) / BINS:.1f}" for number in range(BINS)],
        "pixels": pixels.long().numpy(),
        "confidence": (confidence / pixels).numpy(),
        "accuracy": (right / pixels).numpy(),
    }
    return pd.DataFrame({"block": block, **columns, "ece": float(gaps)})
