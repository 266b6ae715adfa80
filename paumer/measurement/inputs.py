"""The inputs and networks whose cost is measured."""

from torch import Tensor

from paumer.config import Backbone, Evaluation, Size
from paumer.stages import CostSettings, NetworkSettings


def input_size(evaluation: Evaluation, image: Tensor) -> Size:
    """Height and width of one forward pass: a whole image, or a window."""
    if evaluation.inference == "sliding":
        return evaluation.window
    return int(image.shape[-2]), int(image.shape[-1])


def network_settings(settings: CostSettings, backbone: Backbone, classes: int, size: Size) -> NetworkSettings:
    """The shape of a network with heads, built for images of `size`."""
    return NetworkSettings(
        backbone=backbone, decoder=settings.decoder, heads=settings.heads, classes=classes, image_size=size
    )
