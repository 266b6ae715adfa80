"""The inputs and networks whose cost is measured."""

import torch
from torch import Tensor

from paumer.config import Backbone, Evaluation, Size
from paumer.data.loading import SegmentationData
from paumer.models.build import build
from paumer.models.segmenter import Segmenter
from paumer.registry import Point
from paumer.stages import CostSettings, NetworkSettings
from paumer.strategies.contract import Strategy
from paumer.strategies.points import runnable

Points = list[tuple[Point, Strategy]]


def input_size(evaluation: Evaluation, image: Tensor) -> Size:
    """Height and width of one forward pass: a whole image, or a window."""
    if evaluation.inference == "sliding":
        return evaluation.window
    return int(image.shape[-2]), int(image.shape[-1])


def untrained(settings: CostSettings, backbone: Backbone, classes: int, size: Size) -> tuple[Segmenter, Points]:
    """A network with heads for images of `size`, in eval mode, and its operating points of fixed cost."""
    described = NetworkSettings(
        backbone=backbone,
        decoder=settings.decoder,
        heads=settings.heads if backbone.control_for is None else None,
        classes=classes,
        image_size=size,
    )
    model = build(described, pretrained=False).eval()
    points = settings.fixed_points() if backbone.control_for is None else []
    return model, runnable(model, points, backbone.name)


def input_images(data: SegmentationData, count: int, size: Size) -> Tensor:
    """`count` different images of a split, (count, 3, height, width) uint8, cut to `size` where they are larger.

    They start over where the split has fewer.
    """
    loaded = [data[index][0][..., : size[0], : size[1]] for index in range(min(count, len(data)))]
    return torch.stack([loaded[index % len(loaded)] for index in range(count)])
