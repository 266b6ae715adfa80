"""Whole-image and sliding-window inference under several strategies at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from paumer.config import Evaluation, Size
from paumer.data.datasets import IGNORE
from paumer.errors import PaumerError
from paumer.models.segmenter import Output, Segmenter
from paumer.strategies.contract import Strategy


@dataclass(frozen=True)
class Predictions:
    """What one strategy predicts for a batch.

    Attributes:
        classes: ids (batch, height, width) int64.
        macs: multiply-accumulates of each image, (batch,), over all its windows.
    """

    classes: Tensor
    macs: Tensor


def predict(
    model: Segmenter,
    images: Tensor,
    strategies: Sequence[Strategy],
    settings: Evaluation,
    labels: Tensor | None = None,
) -> Iterator[tuple[int, Predictions]]:
    """Predict class ids and count what it costs.

    Args:
        model: a network in eval mode.
        images: normalised, (batch, 3, height, width).
        strategies: operating points.
        settings: whole images or sliding windows.
        labels: class ids (batch, height, width), for criterion `oracle`.

    Yields:
        The position of a strategy, and its predictions.
    """
    if settings.inference == "whole":
        for index, output in enumerate(model.sweep(images, strategies, labels, count=True)):
            classes = model.label(output.logits.float(), images, strategies[index].input_scale)
            yield index, Predictions(classes, _counted(output.macs))
    else:
        sums = sliding_logits(model, images, strategies, settings.window, settings.stride, settings.batch, labels)
        for index, output in enumerate(sums):
            yield index, Predictions(output.logits.max(dim=1).indices, _counted(output.macs))


def sliding_logits(
    model: Segmenter,
    images: Tensor,
    strategies: Sequence[Strategy],
    window: Size,
    stride: Size,
    batch: int,
    labels: Tensor | None = None,
) -> list[Output]:
    """Logits averaged over overlapping windows, the last of each row and column aligned to the border.

    Images smaller than the window are padded on the right and bottom. Each window is reduced by itself.

    Args:
        model: a network in eval mode.
        images: normalised, (batch, 3, height, width).
        strategies: operating points.
        window: height and width of a window.
        stride: steps between windows.
        batch: windows per forward pass.
        labels: class ids (batch, height, width), for criterion `oracle`.

    Returns:
        For each strategy logits (batch, classes, height, width) float32, and what each image cost.
    """
    height, width = images.shape[-2:]
    padding = (0, max(0, window[1] - width), 0, max(0, window[0] - height))
    padded = functional.pad(images, padding)
    truth = None if labels is None else functional.pad(labels, padding, value=IGNORE)
    corners = [
        (image, top, left)
        for image in range(len(padded))
        for top in window_starts(padded.shape[-2], window[0], stride[0])
        for left in window_starts(padded.shape[-1], window[1], stride[1])
    ]
    sums: list[Tensor] = []
    macs = torch.zeros(len(strategies), len(padded), dtype=torch.float64)
    counts = padded.new_zeros(len(padded), 1, *padded.shape[-2:])
    for group in (corners[first : first + batch] for first in range(0, len(corners), batch)):
        crops = _cut(padded, group, window)
        outputs = model.sweep(crops, strategies, None if truth is None else _cut(truth, group, window), count=True)
        scales = [strategy.input_scale for strategy in strategies]
        full = [
            model.upsample(output.logits.float(), crops, scale) for output, scale in zip(outputs, scales, strict=True)
        ]
        if not sums:
            sums = [crops.new_zeros(len(padded), logits.shape[1], *padded.shape[-2:]) for logits in full]
        for position, (i, top, left) in enumerate(group):
            area = (i, slice(None), slice(top, top + window[0]), slice(left, left + window[1]))
            counts[area] += 1
            for index, (total, logits, output) in enumerate(zip(sums, full, outputs, strict=True)):
                total[area] += logits[position]
                macs[index, i] += _counted(output.macs)[position]
    return [Output((total / counts)[..., :height, :width], spent) for total, spent in zip(sums, macs, strict=True)]


def _cut(pictures: Tensor, corners: Sequence[tuple[int, int, int]], window: Size) -> Tensor:
    """The windows at `corners` (image, top, left) as a batch."""
    return torch.stack([pictures[i, ..., top : top + window[0], left : left + window[1]] for i, top, left in corners])


def _counted(macs: Tensor | None) -> Tensor:
    assert macs is not None  # it was asked to count
    return macs


@torch.inference_mode()
def sliding_window_logits(
    model: Segmenter,
    image: Tensor,
    window: int | Size,
    stride: int | Size,
    batch: int = 8,
    strategy: Strategy | None = None,
) -> Tensor:
    """Logits of a whole network averaged over overlapping windows, the last of each row and column at the border.

    Each window's logits are upsampled to the window before they are averaged. Images smaller than the window are padded
    with zeros on the right and bottom.

    Args:
        model: a network in eval mode.
        image: normalised, (3, height, width) or (batch, 3, height, width).
        window: height and width of a window; one number for both.
        stride: steps between windows along height and width, at most the window's; one number for both.
        batch: windows per forward pass.
        strategy: how to run the network; by default its own `strategy`.

    Returns:
        (classes, height, width) for a single image, otherwise (batch, classes, height, width).

    Raises:
        PaumerError: an image of another shape, or windows that would not cover it.
    """
    if image.ndim not in (3, 4):
        raise PaumerError(f"image: shape {tuple(image.shape)}; give (3, height, width) or (batch, 3, height, width)")
    window, stride = _height_and_width(window), _height_and_width(stride)
    if not all(0 < step <= side for step, side in zip(stride, window, strict=True)) or batch < 1:
        raise PaumerError(
            f"window {window}, stride {stride}, batch {batch}: give strides of 1 to the window's size and a batch of 1 "
            "or more"
        )
    images = image if image.ndim == 4 else image[None]
    [output] = sliding_logits(model, images, [strategy or model.strategy], window, stride, batch)
    return output.logits if image.ndim == 4 else output.logits[0]


def _height_and_width(size: int | Size) -> Size:
    return (size, size) if isinstance(size, int) else size


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows start along a side; the last one ends at the border."""
    last = max(0, length - window)
    return [*range(0, last, stride), last]
