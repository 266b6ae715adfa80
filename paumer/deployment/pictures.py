"""Predictions, pauses and comparisons as pictures."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from paumer.data.cityscapes_labels import EVALUATED
from paumer.deployment.description import Description
from paumer.deployment.network import HubSegmenter
from paumer.evaluation.pauses import PAUSE_COLOURS, watch_pauses
from paumer.models.inference import View, WindowMean
from paumer.strategies.pause import Pause
from paumer.system.errors import PaumerError
from paumer.system.machine import autocast

OPACITY = 0.55
GAP = 4  # pixels between panels


def drawn(kind: str, picture: np.ndarray, classes: np.ndarray, description: Description) -> np.ndarray:
    """Class ids (height, width) of an image (height, width, 3) in a format: `overlay`, `ids` or `cityscapes`."""
    if kind == "overlay":
        return overlay(picture, classes, description)
    return label_ids(classes) if kind == "cityscapes" else classes.astype(np.uint8)


def overlay(picture: np.ndarray, classes: np.ndarray, description: Description) -> np.ndarray:
    """Class colours over an image, both (height, width[, 3])."""
    palette = np.array(description.colours, dtype=np.float32)
    return np.rint((1 - OPACITY) * picture + OPACITY * palette[classes]).astype(np.uint8)


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


@torch.inference_mode()
def draw_pauses(network: HubSegmenter, image: Tensor, pause: Pause) -> np.ndarray:
    """Where patches paused, in colours with a legend, at the size at which the network sees the image.

    Overlapping windows are averaged.

    Args:
        network: in eval mode.
        image: (3, height, width) uint8.
        pause: how patches pause.

    Returns:
        (height of the picture and its legend, width, 3) uint8.
    """
    evaluation, colours = network.evaluation, {block: n for n, block in enumerate(pause.parameters.blocks)}
    view = View(evaluation.seen_size(image.shape[-2:]))
    inputs = view.apply(network.normalize(image[None].to(network.device)))
    seen = view.apply(image[None].float()).round().clamp(0, 255)[0]
    mean, (height, width) = WindowMean((1, *view.size)), evaluation.window_size(view.size)
    for top, left in evaluation.window_corners(view.size):
        area = (..., slice(top, top + height), slice(left, left + width))
        with autocast(inputs.device, evaluation.precision):
            pauses = watch_pauses(network, inputs[area], pause)
        blocks = pauses.blocks_of_pixels(network.encoder.patch_size, seen[area].shape[-2:])
        mean.add(_paint_pauses(seen[area], blocks, colours), 0, top, left)
    painted = mean.value()[0].round().byte().permute(1, 2, 0).numpy()
    return _with_legend(painted, colours)


def _paint_pauses(image: Tensor, blocks: Tensor, colours: dict[int, int]) -> Tensor:
    """Where patches paused, in colours over the image in grey.

    Args:
        image: (3, height, width) float32, the pixels that the network saw.
        blocks: the block after which the patch of each pixel paused, 0 where it did not, (height, width).
        colours: number of the colour of each block.

    Returns:
        (3, height, width) float32.
    """
    painted = image.mean(dim=0, keepdim=True).repeat(3, 1, 1)
    for block, number in colours.items():
        paused = blocks == block
        colour = torch.tensor(PAUSE_COLOURS[number % len(PAUSE_COLOURS)])[:, None]
        painted[:, paused] = (1 - OPACITY) * painted[:, paused] + OPACITY * colour
    return painted


def _with_legend(picture: np.ndarray, colours: dict[int, int]) -> np.ndarray:
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
    return joined(titled, axis=1)


def joined(pictures: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures below (axis 0) or beside each other (axis 1), with white gaps in between."""
    height, width, _ = pictures[0].shape
    gap = np.full((GAP, width, 3) if axis == 0 else (height, GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis=axis)


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
