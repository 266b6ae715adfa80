"""Whole-image, sliding-window and multi-scale inference under several strategies at once.

All strategies share the forward passes. Only logits of patches are held of each pass; those of pixels are made for one
strategy, one image and a band of its rows at a time, so that memory hardly depends on the size of images.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from paumer.config.base import Size
from paumer.config.measuring import Evaluation
from paumer.models.labels import BAND, CHUNK, FLOAT, Rows, bands, source_rows, upsample, upsample_rows
from paumer.models.segmenter import Output, Segmenter
from paumer.strategies.contract import Strategy
from paumer.strategies.tokens import of_two
from paumer.system.errors import PaumerError


@dataclass(frozen=True)
class View:
    """Images at one size, perhaps mirrored.

    Attributes:
        size: height and width at which they are seen.
        mirrored: whether left and right are exchanged.
    """

    size: Size
    mirrored: bool = False

    def apply(self, images: Tensor) -> Tensor:
        """Images (batch, 3, any height, any width) as they are seen, bilinearly resized with antialiasing."""
        if images.shape[-2:] != self.size:
            images = functional.interpolate(images, self.size, mode="bilinear", antialias=True)
        return images.flip(-1) if self.mirrored else images

    def apply_to_labels(self, labels: Tensor) -> Tensor:
        """Class ids (batch, any height, any width) as they are seen, by the nearest pixel."""
        if labels.shape[-2:] != self.size:
            labels = functional.interpolate(labels[:, None].float(), self.size, mode="nearest")[:, 0].to(labels.dtype)
        return labels.flip(-1) if self.mirrored else labels

    def source_rows(self, size: Size, rows: Rows) -> Rows:
        """The rows of the view from which some rows of images of `size` are interpolated."""
        return rows if self.size == size else source_rows(self.size[0], size[0], rows)

    def invert(self, logits: Tensor, size: Size, rows: Rows | None = None) -> Tensor:
        """Logits of the view at their places in images of `size`, bilinearly resized.

        Args:
            logits: (batch, classes, *self.size), or only those rows that `source_rows` gives.
            size: height and width of the images.
            rows: the rows of the images to return; None: all.
        """
        logits = logits.flip(-1) if self.mirrored else logits
        if self.size == size:
            return logits
        if rows in (None, (0, size[0])):
            return upsample(logits, size)
        return upsample_rows(logits, size, rows, self.size[0], self.source_rows(size, rows)[0])


def views(settings: Evaluation, size: Size) -> list[View]:
    """All views of images of `size` (height, width) that an evaluation averages over."""
    mirrored = (False, True) if settings.flip else (False,)
    return [View(settings.seen_size(size, scale), flip) for scale in settings.scales for flip in mirrored]


class WindowMean:
    """The mean over overlapping windows.

    Attributes:
        size: number, height and width of the images.
    """

    def __init__(self, size: tuple[int, int, int]) -> None:
        self.size = size
        self._total = self._windows = torch.empty(0)

    def add(self, values: Tensor, image: int, top: int, left: int) -> None:
        """Add one window, (channels, height, width), at its place in an image."""
        (images, *sides), (channels, height, width) = self.size, values.shape
        if not self._total.numel():
            self._total = values.new_zeros(images, channels, *sides)
            self._windows = torch.zeros(images, 1, *sides, device=values.device)
        area = (image, ..., slice(top, top + height), slice(left, left + width))
        self._total[area] += values
        self._windows[area] += 1

    def value(self) -> Tensor:
        """The mean, (images, channels, height, width)."""
        return self._total / self._windows


@dataclass(frozen=True)
class Predictions:
    """The predictions of one strategy for a batch.

    Attributes:
        classes: ids (batch, height, width) int64.
        macs: multiply-accumulates of each image, (batch,), over all its windows and views.
    """

    classes: Tensor
    macs: Tensor


@dataclass
class WindowLogits:
    """Logits of every window of images of one size in one view, under several strategies.

    Attributes:
        model: the network.
        view: how the images are seen.
        crops: images of the size of a window.
        corners: of the windows of each image, (top, left).
        macs: multiply-accumulates, (strategies, images).
        logits: of patches, by strategy, (images x windows, classes, grid height, grid width).
    """

    model: Segmenter
    view: View
    crops: Tensor
    corners: list[tuple[int, int]]
    macs: Tensor
    logits: list[Tensor] = field(default_factory=list)

    @property
    def window(self) -> Size:
        """Height and width of a window."""
        height, width = self.crops.shape[-2:]
        return height, width

    def of_image(self, index: int, image: int, scale: float, rows: Rows | None = None) -> Tensor:
        """Logits of one image under one strategy, averaged where windows overlap, (1, classes, *view.size) float32.

        Args:
            index: of the strategy.
            image: its position in the batch.
            scale: of the strategy's input.
            rows: the rows of the view to return; None: all.
        """
        count, height = len(self.corners), self.window[0]
        patches = self.logits[index][image * count : (image + 1) * count].float()
        if count == 1:
            return self.model.upsample(patches, self.crops, scale, rows)
        first, last = rows or (0, self.view.size[0])
        mean = WindowMean((1, last - first, self.view.size[1]))
        for (top, left), window in zip(self.corners, patches.split(1), strict=True):
            above, below = max(first, top), min(last, top + height)
            if above < below:
                upsampled = self.model.upsample(window, self.crops, scale, (above - top, below - top))
                mean.add(upsampled[0], 0, above - first, left)
        return mean.value()


def predict(
    model: Segmenter,
    images: Tensor,
    strategies: Sequence[Strategy],
    settings: Evaluation,
    labels: Tensor | None = None,
) -> Iterator[tuple[int, Predictions]]:
    """Predict class ids at the size of the images and count multiply-accumulates.

    Args:
        model: a network in eval mode.
        images: (batch, 3, height, width), as the network takes them.
        strategies: operating points.
        settings: whole images or sliding windows, and the views whose class probabilities are averaged.
        labels: class ids (batch, height, width), for criterion `oracle`.

    Yields:
        The position of a strategy, and its predictions.
    """
    height, width = images.shape[-2:]
    seen = [run_windows(model, images, strategies, settings, one, labels) for one in views(settings, (height, width))]
    direct = len(seen) == len(seen[0].corners) == 1 and seen[0].window == (height, width) and not seen[0].view.mirrored
    for index, strategy in enumerate(strategies):
        if direct:
            at_once = max(1, BAND // (FLOAT * CHUNK * height * width))
            parts = seen[0].logits[index].float().split(at_once)
            each = [model.label(part, images, strategy.input_scale) for part in parts]
        else:
            each = [_labels(seen, index, image, strategy.input_scale, (height, width)) for image in range(len(images))]
        yield index, Predictions(torch.cat(each), torch.stack([one.macs[index] for one in seen]).sum(dim=0))


def _labels(seen: Sequence[WindowLogits], index: int, image: int, scale: float, size: Size) -> Tensor:
    """Class ids (1, height, width) of one image: of the largest logits, or mean probabilities of several views."""
    classes = max(2, seen[0].logits[index].shape[1])
    widest = max(one.view.size[1] * max(1, math.ceil(one.view.size[0] / size[0])) for one in seen)
    several = bands(size[0], classes * max(widest, size[1]))
    return torch.cat([_scores(seen, index, image, scale, size, rows).max(dim=1).indices for rows in several], dim=1)


def _scores(seen: Sequence[WindowLogits], index: int, image: int, scale: float, size: Size, rows: Rows) -> Tensor:
    """Logits of some rows of one image, or mean probabilities of several views, (1, classes, rows, width)."""
    parts = [(one, one.view.source_rows(size, rows)) for one in seen]
    logits = (
        of_two(one.view.invert(one.of_image(index, image, scale, part), size, rows), dim=1) for one, part in parts
    )
    if len(seen) == 1:
        return next(logits)
    total = next(logits).softmax(dim=1)
    for others in logits:
        total += others.softmax(dim=1)
    return total


def run_windows(
    model: Segmenter,
    images: Tensor,
    strategies: Sequence[Strategy],
    settings: Evaluation,
    view: View,
    labels: Tensor | None = None,
) -> WindowLogits:
    """Run a network on every window of one view; each window is reduced by itself.

    Args:
        model: a network in eval mode.
        images: (batch, 3, height, width), as the network takes them.
        strategies: operating points.
        settings: whole images or sliding windows, and how many at a time.
        view: how the images are seen.
        labels: class ids (batch, height, width), for criterion `oracle`.
    """
    seen = view.apply(model.normalize(images))
    truth = None if labels is None else view.apply_to_labels(labels)
    window, corners = settings.window_size(view.size), settings.window_corners(view.size)
    places = [(image, *corner) for image in range(len(images)) for corner in corners]
    macs = torch.zeros(len(strategies), len(images), dtype=torch.float64)
    parts: list[list[Tensor]] = [[] for _ in strategies]
    for group in (places[first : first + settings.batch] for first in range(0, len(places), settings.batch)):
        crops = _cut(seen, group, window)
        owners = torch.tensor([image for image, _, _ in group])
        outputs = model.sweep(crops, strategies, None if truth is None else _cut(truth, group, window), count=True)
        for index, output in enumerate(outputs):
            assert output.macs is not None  # they are counted
            parts[index].append(output.logits)
            macs[index].index_add_(0, owners, output.macs)
    return WindowLogits(model, view, crops[:1], corners, macs, [torch.cat(several) for several in parts])


def _cut(pictures: Tensor, corners: Sequence[tuple[int, int, int]], window: Size) -> Tensor:
    """The windows at `corners` (image, top, left) as a batch."""
    return torch.stack([pictures[i, ..., top : top + window[0], left : left + window[1]] for i, top, left in corners])


def sliding_logits(
    model: Segmenter, images: Tensor, strategies: Sequence[Strategy], window: Size, stride: Size, batch: int
) -> list[Output]:
    """Logits averaged over overlapping windows; arguments as `sliding_window_logits`, for several strategies.

    Returns:
        For each strategy logits (batch, classes, height, width) float32, and multiply-accumulates of each image.
    """
    settings = Evaluation(inference="sliding", window=window, stride=stride, batch=batch)
    height, width = images.shape[-2:]
    seen = run_windows(model, images, strategies, settings, View((height, width)))
    return [
        Output(torch.cat([seen.of_image(index, image, one.input_scale) for image in range(len(images))]), macs)
        for index, (one, macs) in enumerate(zip(strategies, seen.macs, strict=True))
    ]


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

    Each window's logits are upsampled to the window before they are averaged. Where an image is smaller than the
    window, the window is as small as the image.

    Args:
        model: a network in eval mode.
        image: (3, height, width) or (batch, 3, height, width), of uint8 or normalised already.
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
