"""The operating points whose cost is measured, and the networks they run in."""

from torch import Tensor

from paumer.config import Backbone, Evaluation, Size, Sweep
from paumer.evaluation.sweep import check_points
from paumer.models.segmenter import Segmenter
from paumer.schedule import Schedule
from paumer.stages import CostSettings, NetworkSettings
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.early_exit import EarlyExit
from paumer.strategies.pause import Pause


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


def cost_points(sweep: Sweep, model: Segmenter) -> list[Strategy]:
    """Dense, every exit, and every schedule under the first criterion: what is paused does not change the cost.

    Raises:
        PaumerError: a schedule pauses at or after the last block.
    """
    criterion = next((name for name in sweep.criteria if name != "random"), "entropy")
    points: list[Strategy] = [Dense()]
    points += [EarlyExit(block) for block in sweep.exits]
    points += [Pause(Schedule.parse(text), criterion) for text in sweep.schedules]
    check_points(points, model)
    return points
