"""Where patches pause in an image, as a picture."""

import numpy as np
import torch

from paumer.deployment.network import HubSegmenter
from paumer.deployment.pictures import paint_pauses, with_legend
from paumer.evaluation.pauses import watch_pauses
from paumer.models.views import View, seen_size, window_corners, window_size
from paumer.runtime import autocast
from paumer.strategies.pause import Pause


@torch.inference_mode()
def draw_pauses(network: HubSegmenter, pixels: np.ndarray, pause: Pause) -> np.ndarray:
    """Where patches paused, in colours that a line below names, at the size at which the network sees the image.

    Overlapping windows are averaged.

    Args:
        network: in eval mode.
        pixels: the image, (height, width, 3) uint8.
        pause: how patches pause.

    Returns:
        (height, width, 3) uint8, of that size and the line.
    """
    evaluation, patch = network.description.evaluation, network.encoder.patch_size
    colours = {block: number for number, block in enumerate(pause.parameters.blocks)}
    size = seen_size(evaluation, pixels.shape[:2])
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    inputs = View(size).of(network.inputs(image))
    seen = View(size).of(image.float()).round().clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()
    total, times = np.zeros((*size, 3), dtype=np.float32), np.zeros((*size, 1), dtype=np.float32)
    height, width = window_size(evaluation, size)
    for top, left in window_corners(size, (height, width), evaluation.stride):
        area = (slice(top, top + height), slice(left, left + width))
        with autocast(inputs.device, evaluation.precision):
            blocks = watch_pauses(network, inputs[:, :, area[0], area[1]], pause).blocks
        total[area] += paint_pauses(seen[area], blocks.numpy(), (patch, patch), colours)
        times[area] += 1
    return with_legend(np.rint(total / times).astype(np.uint8), colours)
