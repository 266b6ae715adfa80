"""The inputs and networks whose cost is measured."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from paumer.config import Backbone, Evaluation, Size
from paumer.data.loading import SegmentationData
from paumer.images import upright_size
from paumer.models.build import build
from paumer.models.segmenter import Segmenter
from paumer.models.views import seen_size, window_corners, window_size
from paumer.registry import Point
from paumer.stages import CostSettings, NetworkSettings
from paumer.strategies.contract import Strategy
from paumer.strategies.points import runnable

Points = list[tuple[Point, Strategy]]


def input_size(evaluation: Evaluation, image: Tensor) -> Size:
    """Height and width of one forward pass at scale 1: a whole image, or a window."""
    return window_size(evaluation, seen_size(evaluation, image.shape[-2:]))


@dataclass(frozen=True)
class Input:
    """What is measured.

    Attributes:
        size: height and width of one forward pass.
        image: height and width of the image that it is of.
        windows: forward passes for one image; their mean where images of the split differ in size.
    """

    size: Size
    image: Size
    windows: float = 1.0


def inputs_of(settings: CostSettings, backbone: Backbone, data: SegmentationData) -> list[Input]:
    """The inputs of a backbone: sizes that are named, which are images, or what evaluation runs on."""
    named = settings.sizes_of(backbone)
    if named:
        return [Input(size, size) for size in named]
    first = data[0][0]
    image = int(first.shape[-2]), int(first.shape[-1])
    return [Input(input_size(settings.evaluation, first), image, mean_windows(settings.evaluation, data))]


def mean_windows(evaluation: Evaluation, data: SegmentationData) -> float:
    """Windows of an image at scale 1, mean over the split; only the headers of its files are read."""
    if evaluation.inference == "whole":
        return 1.0
    counts = []
    for sample in data.samples:
        size = seen_size(evaluation, upright_size(sample.image))
        counts.append(len(window_corners(size, window_size(evaluation, size), evaluation.stride)))
    return sum(counts) / len(counts)


def untrained(settings: CostSettings, backbone: Backbone, classes: int, size: Size) -> tuple[Segmenter, Points]:
    """A network with heads for images of `size`, in eval mode, and its operating points of fixed cost."""
    described = NetworkSettings(
        backbone=backbone,
        decoder=settings.decoder_of(backbone),
        heads=settings.heads_of(backbone),
        classes=classes,
        class_frequencies=(1 / classes,) * classes,
        image_size=size,
    )
    model = build(described, pretrained=False).eval()
    points = settings.fixed_points() if backbone.control_for is None else []
    return model, runnable(model, points, backbone.name)


def input_images(data: SegmentationData, count: int, size: Size) -> Tensor:
    """`count` different images of a split, (count, 3, height, width) uint8, cut to `size`.

    They are taken evenly from it: neighbours may be frames of one video. Images that are smaller are enlarged before;
    they start over where the split has fewer.
    """
    loaded = [_fit(data[index][0], size) for index in evenly(len(data), count)]
    return torch.stack([loaded[index % len(loaded)] for index in range(count)])


def evenly(total: int, count: int) -> list[int]:
    """`count` places among `total`, or all where there are no more, at equal distances from the first on."""
    count = min(count, total)
    return [place * total // count for place in range(count)]


def _fit(image: Tensor, size: Size) -> Tensor:
    """An image (3, any height, any width) cut to `size`, enlarged before where it is smaller."""
    scale = max(1.0, *(wanted / had for wanted, had in zip(size, image.shape[-2:], strict=True)))
    if scale > 1:
        image = resize(image, [math.ceil(scale * side) for side in image.shape[-2:]])
    return image[..., : size[0], : size[1]]
