"""Logits of whole images from overlapping windows."""

import torch
from torch import Tensor

from paumer.config.base import Size, both_sides, parse
from paumer.config.measuring import Evaluation
from paumer.models.inference import LAYOUT, View, run_windows
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy
from paumer.system.errors import PaumerError


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
        raise PaumerError(f"image: shape {tuple(image.shape)}; give {LAYOUT}")
    windows = {"inference": "sliding", "window": both_sides(window), "stride": both_sides(stride), "batch": batch}
    settings: Evaluation = parse(Evaluation, windows, "sliding_window_logits")
    images = image if image.ndim == 4 else image[None]
    view = View((images.shape[-2], images.shape[-1]))
    seen = run_windows(model, images, [strategy or model.strategy], settings, view)
    logits = torch.cat([seen.of_image(0, number) for number in range(len(images))])
    return logits if image.ndim == 4 else logits[0]
