"""The inputs and networks whose cost is measured."""

import math

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from paumer.config import Backbone, Evaluation, Size
from paumer.data.loading import SegmentationData
from paumer.evaluation.views import seen_size, window_size
from paumer.models.build import build
from paumer.models.segmenter import Segmenter
from paumer.registry import Point
from paumer.stages import CostSettings, NetworkSettings
from paumer.strategies.contract import Strategy
from paumer.strategies.points import runnable

Points = list[tuple[Point, Strategy]]


def input_size(evaluation: Evaluation, image: Tensor) -> Size:
    """Height and width of one forward pass at scale 1: a whole image, or a window."""
    return window_size(evaluation, seen_size(evaluation, image.shape[-2:]))


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

    Images that are smaller are enlarged before; they start over where the split has fewer.
    """
    loaded = [_fit(data[index][0], size) for index in range(min(count, len(data)))]
    return torch.stack([loaded[index % len(loaded)] for index in range(count)])


def _fit(image: Tensor, size: Size) -> Tensor:
    """An image (3, any height, any width) cut to `size`, enlarged before where it is smaller."""
    scale = max(1.0, *(wanted / had for wanted, had in zip(size, image.shape[-2:], strict=True)))
    if scale > 1:
        image = resize(image, [math.ceil(scale * side) for side in image.shape[-2:]])
    return image[..., : size[0], : size[1]]
