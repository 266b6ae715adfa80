"""Whole-image and sliding-window inference under several strategies at once."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from paumer.config import Evaluation, Size
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy


def predict(
    model: Segmenter, images: Tensor, strategies: Sequence[Strategy], settings: Evaluation
) -> Iterator[tuple[int, Tensor]]:
    """Predict class ids.

    Args:
        model: a network in eval mode.
        images: normalised, (batch, 3, height, width).
        strategies: operating points.
        settings: whole images or sliding windows.

    Yields:
        The position of a strategy, and its predictions (batch, height, width) int64.
    """
    if settings.inference == "whole":
        for index, logits in enumerate(model.sweep(images, strategies)):
            yield index, model.upsample(logits.float(), images).argmax(dim=1)
    else:
        sums = sliding_logits(model, images, strategies, settings.window, settings.stride, settings.batch)
        for index, logits in enumerate(sums):
            yield index, logits.argmax(dim=1)


def sliding_logits(
    model: Segmenter, images: Tensor, strategies: Sequence[Strategy], window: Size, stride: Size, batch: int
) -> list[Tensor]:
    """Logits averaged over overlapping windows, the last of each row and column aligned to the border.

    Images smaller than the window are padded on the right and bottom. Each window is paused by itself.

    Args:
        model: a network in eval mode.
        images: normalised, (batch, 3, height, width).
        strategies: operating points.
        window: height and width of a window.
        stride: steps between windows.
        batch: windows per forward pass.

    Returns:
        For each strategy (batch, classes, height, width) float32.
    """
    height, width = images.shape[-2:]
    padded = functional.pad(images, (0, max(0, window[1] - width), 0, max(0, window[0] - height)))
    corners = [
        (image, top, left)
        for image in range(len(padded))
        for top in window_starts(padded.shape[-2], window[0], stride[0])
        for left in window_starts(padded.shape[-1], window[1], stride[1])
    ]
    sums: list[Tensor] = []
    counts = padded.new_zeros(len(padded), 1, *padded.shape[-2:])
    for group in (corners[first : first + batch] for first in range(0, len(corners), batch)):
        crops = torch.stack([padded[i, :, top : top + window[0], left : left + window[1]] for i, top, left in group])
        outputs = [model.upsample(logits.float(), crops) for logits in model.sweep(crops, strategies)]
        if not sums:
            sums = [crops.new_zeros(len(padded), logits.shape[1], *padded.shape[-2:]) for logits in outputs]
        for position, (i, top, left) in enumerate(group):
            area = (i, slice(None), slice(top, top + window[0]), slice(left, left + window[1]))
            counts[area] += 1
            for total, logits in zip(sums, outputs, strict=True):
                total[area] += logits[position]
    return [(total / counts)[..., :height, :width] for total in sums]


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows start along a side; the last one ends at the border."""
    last = max(0, length - window)
    return [*range(0, last, stride), last]
