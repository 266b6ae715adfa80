"""Predictions, pauses and comparisons as pictures.

Where patches pause in an image, as a picture.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from paumer.data.cityscapes import EVALUATED
from paumer.deployment.description import Description
from paumer.deployment.network import HubSegmenter
from paumer.evaluation.pauses import PAUSE_COLOURS, watch_pauses
from paumer.models.inference import View, WindowMean
from paumer.strategies.pause import Pause
from paumer.system.errors import PaumerError
from paumer.system.machine import autocast

OPACITY = 0.55
GAP = 4  # pixels between panels


def overlay(picture: np.ndarray, classes: np.ndarray, description: Description) -> np.ndarray:
    """Class colours over an image, both (height, width[, 3])."""
    palette = np.array(description.colours, dtype=np.float32)
    return _blend(picture, palette[classes], OPACITY)


def label_ids(classes: np.ndarray) -> np.ndarray:
    """Class ids as label ids of Cityscapes, (height, width) uint8: what its evaluation server reads."""
    return np.array([label.id for label in EVALUATED], dtype=np.uint8)[classes]


def check_cityscapes(description: Description) -> None:
    """Refuse networks whose classes are not those of Cityscapes.

    Raises:
        PaumerError: they differ.
    """
    if description.classes != tuple(label.name for label in EVALUATED):
        raise PaumerError(
            f"--format cityscapes: the classes of {description.dataset} are not those of Cityscapes; use --format ids"
        )


def paint_pauses(picture: np.ndarray, blocks: np.ndarray, size: tuple[int, int], colours: dict[int, int]) -> np.ndarray:
    """Where patches paused, in colours over the image in grey.

    Args:
        picture: (height, width, 3) uint8, the pixels that the network saw.
        blocks: after which block each patch paused, 0 where it ran on, (grid height, grid width).
        size: height and width of a patch.
        colours: number of the colour of each block.

    Returns:
        (height, width, 3) float32.
    """
    height, width = picture.shape[:2]
    of_pixels = blocks.repeat(size[0], axis=0).repeat(size[1], axis=1)[:height, :width]
    grey = np.repeat(picture.mean(axis=2, keepdims=True, dtype=np.float32), 3, axis=2)
    for block, number in colours.items():
        paused = of_pixels == block
        colour = np.array(PAUSE_COLOURS[number % len(PAUSE_COLOURS)], dtype=np.float32)
        grey[paused] = (1 - OPACITY) * grey[paused] + OPACITY * colour
    return grey


def with_legend(picture: np.ndarray, colours: dict[int, int]) -> np.ndarray:
    """A picture with a line below that names the block of each colour."""
    size = _text_size(picture)
    strip = Image.new("RGB", (picture.shape[1], 2 * size), "white")
    draw, left = ImageDraw.Draw(strip), size // 2
    for block, number in colours.items():
        box = (left, size // 2, left + size, size // 2 + size)
        draw.rectangle(box, fill=PAUSE_COLOURS[number % len(PAUSE_COLOURS)])
        text, font = f"paused after block {block}", ImageFont.load_default(size)
        draw.text((left + 1.4 * size, size), text, "black", font, anchor="lm")
        left += round(2.4 * size + draw.textlength(text, font))
    return np.concatenate([picture, np.asarray(strip)])


def side_by_side(panels: Sequence[np.ndarray], titles: Sequence[str]) -> np.ndarray:
    """Pictures of one size in a row, each under its title."""
    size = _text_size(panels[0])
    titled = [
        np.concatenate([_title(text, panel.shape[1], size), panel]) for panel, text in zip(panels, titles, strict=True)
    ]
    gap = np.full((len(titled[0]), GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([part for panel in titled for part in (gap, panel)][1:], axis=1)


def _title(text: str, width: int, size: int) -> np.ndarray:
    """A line of text, smaller where it would not fit."""
    strip = Image.new("RGB", (width, 2 * size), "white")
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(size)
    if (length := draw.textlength(text, font)) > width - size:
        font = ImageFont.load_default(max(6, size * (width - size) / length))
    draw.text((width / 2, size), text, "black", font, anchor="mm")
    return np.asarray(strip)


def _text_size(picture: np.ndarray) -> int:
    return max(10, picture.shape[1] // 40)


def _blend(picture: np.ndarray, colours: np.ndarray, opacity: float) -> np.ndarray:
    return np.rint((1 - opacity) * picture + opacity * colours).astype(np.uint8)


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
    view = View(evaluation.seen_size(pixels.shape[:2]))
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    inputs = view.apply(network.normalize(image.to(network.device)))
    seen = view.apply(image.float()).round().clamp(0, 255).byte()[0].permute(1, 2, 0).numpy()
    mean, (height, width) = WindowMean((1, *view.size)), evaluation.window_size(view.size)
    for top, left in evaluation.window_corners(view.size):
        area = (..., slice(top, top + height), slice(left, left + width))
        with autocast(inputs.device, evaluation.precision):
            blocks = watch_pauses(network, inputs[area], pause).blocks
        painted = paint_pauses(seen[area[1:]], blocks.numpy(), (patch, patch), colours)
        mean.add(torch.from_numpy(painted).permute(2, 0, 1), 0, top, left)
    painted = mean.value()[0].permute(1, 2, 0).numpy()
    return with_legend(np.rint(painted).astype(np.uint8), colours)
