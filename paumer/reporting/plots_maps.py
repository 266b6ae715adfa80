"""Pictures of what pauses where."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from paumer.data.datasets import Dataset
from paumer.reporting.colours import LOCATION_COLOURS, colourise
from paumer.reporting.style import PAPER, SCREEN, figure_width, new_figure, save_as, sized, style
from paumer.schedule import Schedule

COLUMNS = 5
SIDE = 15 / COLUMNS  # inches of one picture's width


@dataclass(frozen=True)
class PauseMap:
    """What pausing did to one image.

    Attributes:
        entropy: of every patch after each location's block, (grid height, grid width), 0..1; NaN where it had paused.
        paused_at: number of the location where a patch paused, counted from 1, 0 where it ran on; same shape.
        prediction: class ids at image resolution.
    """

    entropy: dict[int, np.ndarray]
    paused_at: np.ndarray
    prediction: np.ndarray


@dataclass(frozen=True)
class Sample:
    """An image, (3, height, width) uint8, with its labels (height, width)."""

    name: str
    image: Tensor
    labels: Tensor


def save_maps(
    samples: Sequence[Sample], maps: Sequence[PauseMap], schedule: Schedule, dataset: Dataset, output: Path
) -> None:
    """Write the picture: a `.pdf` is as wide as two columns of a paper."""
    with style(PAPER[-1] if output.suffix == ".pdf" else SCREEN):
        save_as(_draw(samples, maps, schedule, dataset), [output])


def _draw(samples: Sequence[Sample], maps: Sequence[PauseMap], schedule: Schedule, dataset: Dataset) -> Figure:
    """One row per image: image, entropy at the first location, paused patches, prediction, ground truth."""
    rows = max(1, len(samples))
    height, width = samples[0].image.shape[-2:] if samples else (1, 1)
    across = figure_width(COLUMNS * SIDE)
    figure = new_figure(across, across / COLUMNS * rows * height / width + sized(65) / 72)
    axes = figure.subplots(rows, COLUMNS, squeeze=False)
    block = schedule.blocks[0]
    titles = ("image", f"entropy after block {block}", f"paused under {schedule}", "prediction", "ground truth")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=sized(11))
    colours = ListedColormap(LOCATION_COLOURS)
    for row, sample, seen in zip(axes, samples, maps, strict=False):
        pixels = sample.image.permute(1, 2, 0).numpy()
        grey = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2) / 255
        area = (0, seen.paused_at.shape[1], seen.paused_at.shape[0], 0)
        row[0].imshow(pixels)
        row[1].imshow(seen.entropy[block], cmap="viridis", vmin=0, vmax=1)
        row[2].imshow(grey, extent=_extent(seen, sample))
        paused = np.ma.masked_equal(seen.paused_at, 0)
        row[2].imshow(paused, cmap=colours, vmin=1, vmax=colours.N, alpha=0.65, extent=area, interpolation="none")
        row[3].imshow(colourise(seen.prediction, dataset))
        row[4].imshow(colourise(sample.labels.numpy(), dataset))
    for axis in axes.flat:
        axis.set_axis_off()
    handles = [
        Patch(color=colour, alpha=0.65, label=f"paused after block {block}")
        for block, colour in zip(schedule.blocks, LOCATION_COLOURS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=colours.N)
    return figure


def _extent(seen: PauseMap, sample: Sample) -> tuple[float, float, float, float]:
    """The image's place in units of patches; padding lies beyond its right and lower border."""
    rows, columns = seen.paused_at.shape
    height, width = sample.image.shape[-2:]
    patch = max(-(-height // rows), -(-width // columns))
    return (0, width / patch, height / patch, 0)
