"""Stage `maps`: pictures of what pauses where."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from torch import Tensor

from paumer.data.datasets import Dataset
from paumer.data.loading import SegmentationData
from paumer.data.preparation import samples
from paumer.data.transforms import normalize
from paumer.errors import PaumerError
from paumer.evaluation.pauses import pause_blocks
from paumer.files import writing
from paumer.models.build import load_run
from paumer.models.segmenter import Segmenter
from paumer.parameters import Exit
from paumer.reporting.colours import colourise
from paumer.runtime import find_device
from paumer.schedule import Schedule
from paumer.stages import MapsSettings
from paumer.strategies.criteria import scores
from paumer.strategies.early_exit import EarlyExit
from paumer.strategies.pause import Pause

mpl.use("Agg")
import matplotlib.pyplot as plt

LOCATION_COLOURS = ("#E69F00", "#56B4E9", "#CC79A7")  # Okabe and Ito, safe for the colour-blind
MOST_LOCATIONS = len(LOCATION_COLOURS)


@dataclass(frozen=True)
class PauseMap:
    """What pausing did to one image.

    Attributes:
        entropy: of every patch at the first location, (grid height, grid width), 0..1.
        paused_at: number of the location where a patch paused, counted from 1, 0 where it ran on; same shape.
        prediction: class ids at image resolution.
    """

    entropy: np.ndarray
    paused_at: np.ndarray
    prediction: np.ndarray


def draw_pause_maps(settings: MapsSettings, manifest: Path, run_folder: Path, output: Path) -> None:
    """Draw images spread evenly over the evaluation split, one row each.

    Raises:
        PaumerError: the schedule has no location, or more than colours.
    """
    model, run = load_run(run_folder)
    model.to(find_device(settings.device))
    schedule = Schedule.parse(settings.figures.pause_schedule)
    if not 1 <= len(schedule.locations) <= MOST_LOCATIONS:
        raise PaumerError(
            f"figures.pause_schedule: {schedule} must have 1 to {MOST_LOCATIONS} locations; choose another"
        )
    schedule.check_depth(model.encoder.depth)
    data = SegmentationData(*samples(manifest, settings.split))
    count = min(settings.figures.pause_maps, len(data))
    chosen = [round((number + 0.5) * len(data) / count - 0.5) for number in range(count)]
    items = [data[index] for index in chosen]
    maps = [pause_map(model, image, schedule, run["network"]["backbone"]["normalization"]) for image, _ in items]
    _draw(items, maps, schedule, data.dataset, output)


@torch.inference_mode()
def pause_map(model: Segmenter, image: Tensor, schedule: Schedule, normalization: str) -> PauseMap:
    """Run one image, (3, height, width) uint8, under entropy pausing and keep what happened."""
    device = next(model.parameters()).device
    images = normalize(image[None].to(device), normalization)
    blocks, patch_logits = pause_blocks(model, images, Pause(schedule))
    numbers = {block: number for number, block in enumerate((0, *schedule.blocks))}
    first = first_scores(model, images, schedule.blocks[0])
    return PauseMap(
        entropy=first.view(blocks.shape).cpu().numpy(),
        paused_at=np.vectorize(numbers.__getitem__)(blocks.numpy()),
        prediction=model.label(patch_logits, images)[0].cpu().numpy(),
    )


def first_scores(model: Segmenter, images: Tensor, block: int) -> Tensor:
    """Entropy of every patch of one image after `block`, where nothing has paused yet, (patches,)."""
    tokens, state = model.encode(images, EarlyExit(Exit(block)))
    return scores("entropy", block, tokens, state)[0]


def _draw(
    items: list[tuple[Tensor, Tensor]], maps: list[PauseMap], schedule: Schedule, dataset: Dataset, output: Path
) -> None:
    """Draw one row per image: image, entropy, paused patches, prediction, ground truth."""
    rows = max(1, len(items))
    height, width = items[0][0].shape[-2:] if items else (1, 1)
    size = (15, 15 / 5 * rows * height / width + 0.9)
    figure, axes = plt.subplots(rows, 5, figsize=size, squeeze=False, layout="constrained")
    block = schedule.blocks[0]
    titles = ("image", f"entropy after block {block}", f"paused under {schedule}", "prediction", "ground truth")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=11)
    for row, (image, label), seen in zip(axes, items, maps, strict=False):
        pixels = image.permute(1, 2, 0).numpy()
        area = (0, seen.entropy.shape[1], seen.entropy.shape[0], 0)
        row[0].imshow(pixels)
        row[1].imshow(seen.entropy, cmap="viridis", vmin=0, vmax=1)
        row[2].imshow(np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2) / 255, extent=_extent(seen, image))
        paused = np.ma.masked_equal(seen.paused_at, 0)
        colours = ListedColormap(LOCATION_COLOURS)
        row[2].imshow(paused, cmap=colours, vmin=1, vmax=MOST_LOCATIONS, alpha=0.65, extent=area, interpolation="none")
        row[3].imshow(colourise(seen.prediction, dataset))
        row[4].imshow(colourise(label.numpy(), dataset))
    for axis in axes.flat:
        axis.set_axis_off()
    handles = [
        Patch(color=colour, alpha=0.65, label=f"paused after block {block}")
        for block, colour in zip(schedule.blocks, LOCATION_COLOURS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=MOST_LOCATIONS, frameon=False)
    with writing(output) as temporary:
        figure.savefig(temporary, dpi=110)
    plt.close(figure)


def _extent(seen: PauseMap, image: Tensor) -> tuple[float, float, float, float]:
    """The image's place in units of patches; padding lies beyond its right and lower border."""
    rows, columns = seen.entropy.shape
    height, width = image.shape[-2:]
    patch = max(-(-height // rows), -(-width // columns))
    return (0, width / patch, height / patch, 0)
