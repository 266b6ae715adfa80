"""Whole-image, sliding-window and multi-scale inference under several strategies at once.

All strategies share the forward passes. Only logits of patches are held of each pass; those of pixels are made for one
strategy, one image and a band of its rows at a time, so that memory hardly depends on the size of images.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from paumer.config.base import Size
from paumer.models.base import EncoderDecoder
from paumer.models.labels import BAND, CHUNK, FLOAT, Rows, bands, source_rows, upsample, upsample_rows
from paumer.strategies.contract import Strategy
from paumer.strategies.criteria import of_two
from paumer.system.errors import PaumerError

if TYPE_CHECKING:
    from paumer.config.measuring import Evaluation

LAYOUT = "(3, height, width) or (batch, 3, height, width)"


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


def views(settings: "Evaluation", size: Size) -> list[View]:
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


@dataclass(frozen=True)
class WindowLogits:
    """Logits of every window of images of one size in one view, under several strategies.

    Attributes:
        model: the network.
        strategies: operating points.
        view: how the images are seen.
        crop: one image of the size of a window.
        corners: of the windows of each image, (top, left).
        logits: of patches, by strategy, (images x windows, classes, grid height, grid width).
        macs: multiply-accumulates, (strategies, images).
    """

    model: EncoderDecoder
    strategies: Sequence[Strategy]
    view: View
    crop: Tensor
    corners: list[tuple[int, int]]
    logits: list[Tensor]
    macs: Tensor

    def of_image(self, index: int, image: int, rows: Rows | None = None) -> Tensor:
        """Logits of one image under one strategy, averaged where windows overlap, (1, classes, *view.size) float32.

        Args:
            index: of the strategy.
            image: its position in the batch.
            rows: the rows of the view to return; None: all.
        """
        count, height, scale = len(self.corners), self.crop.shape[-2], self.strategies[index].input_scale
        patches = self.logits[index][image * count : (image + 1) * count].float()
        if count == 1:
            return self.model.upsample(patches, self.crop, scale, rows)
        first, last = rows or (0, self.view.size[0])
        mean = WindowMean((1, last - first, self.view.size[1]))
        for (top, left), window in zip(self.corners, patches.split(1), strict=True):
            above, below = max(first, top), min(last, top + height)
            if above < below:
                upsampled = self.model.upsample(window, self.crop, scale, (above - top, below - top))
                mean.add(upsampled[0], 0, above - first, left)
        return mean.value()


def predict(
    model: EncoderDecoder,
    images: Tensor,
    strategies: Sequence[Strategy],
    settings: "Evaluation",
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
    only = seen[0]
    direct = len(seen) == len(only.corners) == 1 and only.crop.shape[-2:] == (height, width) and not only.view.mirrored
    for index, strategy in enumerate(strategies):
        if direct:
            at_once = max(1, BAND // (FLOAT * CHUNK * height * width))
            parts = only.logits[index].float().split(at_once)
            each = [model.label(part, images, strategy.input_scale) for part in parts]
        else:
            each = [_labels(seen, index, image, (height, width)) for image in range(len(images))]
        yield index, Predictions(torch.cat(each), torch.stack([one.macs[index] for one in seen]).sum(dim=0))


def _labels(seen: Sequence[WindowLogits], index: int, image: int, size: Size) -> Tensor:
    """Class ids (1, height, width) of one image: of the largest logits, or mean probabilities of several views."""
    classes = max(2, seen[0].logits[index].shape[1])
    widest = max(one.view.size[1] * max(1, math.ceil(one.view.size[0] / size[0])) for one in seen)
    several = bands(size[0], classes * max(widest, size[1]))
    return torch.cat([_scores(seen, index, image, size, rows).max(dim=1).indices for rows in several], dim=1)


def _scores(seen: Sequence[WindowLogits], index: int, image: int, size: Size, rows: Rows) -> Tensor:
    """Logits of some rows of one image, or mean probabilities of several views, (1, classes, rows, width)."""
    parts = [(one, one.view.source_rows(size, rows)) for one in seen]
    logits = (of_two(one.view.invert(one.of_image(index, image, part), size, rows), dim=1) for one, part in parts)
    if len(seen) == 1:
        return next(logits)
    total = next(logits).softmax(dim=1)
    for others in logits:
        total += others.softmax(dim=1)
    return total


def run_windows(
    model: EncoderDecoder,
    images: Tensor,
    strategies: Sequence[Strategy],
    settings: "Evaluation",
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
    groups = [places[first : first + settings.batch] for first in range(0, len(places), settings.batch)]
    macs = torch.zeros(len(strategies), len(images), dtype=torch.float64)
    logits: list[list[Tensor]] = [[] for _ in strategies]
    for group in groups:
        known = None if truth is None else _cut(truth, group, window)
        images_of = torch.tensor([image for image, _, _ in group])
        for index, output in enumerate(model.sweep(_cut(seen, group, window), strategies, known, count=True)):
            assert output.macs is not None  # they are counted
            logits[index].append(output.logits)
            macs[index].index_add_(0, images_of, output.macs)
    crop = _cut(seen, places[:1], window)
    return WindowLogits(model, strategies, view, crop, corners, [torch.cat(parts) for parts in logits], macs)


def _cut(pictures: Tensor, corners: Sequence[tuple[int, int, int]], window: Size) -> Tensor:
    """The windows at `corners` (image, top, left) as a batch."""
    return torch.stack([pictures[i, ..., top : top + window[0], left : left + window[1]] for i, top, left in corners])


def require_images(images: Any) -> None:
    """Refuse values that are no images, (batch, 3, height, width) uint8, one or more.

    Raises:
        PaumerError: names their type and shape.
    """
    if not isinstance(images, Tensor):
        raise PaumerError(f"images: {type(images).__name__}; give a tensor of uint8, {LAYOUT}")
    shape = tuple(images.shape)
    if images.dtype != torch.uint8 or images.ndim != 4 or shape[1] != 3 or not images.numel():
        hint = "; channels come first" if shape[-1:] == (3,) else ""
        raise PaumerError(f"images: {images.dtype} of shape {shape}; give uint8, {LAYOUT}, one or more{hint}")
