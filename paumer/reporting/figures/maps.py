"""Stage `maps`: what pauses where on a few images, as a picture and as data for the viewer of the page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.colors import ListedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image
from torch import Tensor

from paumer.config.measuring import MOST_LOCATIONS
from paumer.config.runs import MapsSettings
from paumer.data.datasets import Dataset
from paumer.data.loading import SegmentationData
from paumer.data.manifest import samples
from paumer.evaluation.pauses import PAUSE_COLOURS, watch_pauses
from paumer.models.build import load_run, require_classes
from paumer.models.segmenter import Segmenter
from paumer.reporting.figures.drawing import PAPER, SCREEN, figure_width, new_figure, save_as, sized, style
from paumer.reporting.figures.samples import colourise
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.system.errors import PaumerError
from paumer.system.files import require_writable, write_json
from paumer.system.machine import find_device
from paumer.system.progress import progress


def _hex(colour: Sequence[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


LOCATIONS = [_hex(colour) for colour in PAUSE_COLOURS[:MOST_LOCATIONS]]
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
    colours = ListedColormap(LOCATIONS)
    for row, sample, seen in zip(axes, samples, maps, strict=False):
        pixels = sample.image.permute(1, 2, 0).numpy()
        grey = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2) / 255
        area = (0, seen.paused_at.shape[1], seen.paused_at.shape[0], 0)
        row[0].imshow(pixels)
        row[1].imshow(seen.entropy[block], cmap="viridis", vmin=0, vmax=1)
        side = _patch(seen, sample)  # padding lies beyond the right and lower border of the image
        row[2].imshow(grey, extent=(0, pixels.shape[1] / side, pixels.shape[0] / side, 0))
        paused = np.ma.masked_equal(seen.paused_at, 0)
        row[2].imshow(paused, cmap=colours, vmin=1, vmax=colours.N, alpha=0.65, extent=area, interpolation="none")
        row[3].imshow(colourise(seen.prediction, dataset))
        row[4].imshow(colourise(sample.labels.numpy(), dataset))
    for axis in axes.flat:
        axis.set_axis_off()
    handles = [
        Patch(color=colour, alpha=0.65, label=f"paused after block {block}")
        for block, colour in zip(schedule.blocks, LOCATIONS, strict=False)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=colours.N)
    return figure


def _patch(seen: PauseMap, sample: Sample) -> int:
    """The side of a patch in pixels of the image."""
    (rows, columns), (height, width) = seen.paused_at.shape, sample.image.shape[-2:]
    return max(-(-height // rows), -(-width // columns))


# Longer side of a picture in pixels; more would show nothing more.
LARGEST = 640
# Entropy 0..1 in steps of a byte; the last value says that a patch had paused before.
STEPS, PAUSED = 250, 255
SHADES = 64


def viewer_data(
    network: str,
    samples: Sequence[Sample],
    schedules: Sequence[Schedule],
    maps: Sequence[Sequence[PauseMap]],
    dataset: Dataset,
) -> dict[str, Any]:
    """Everything that the viewer draws.

    Args:
        network: its name.
        samples: images and labels.
        schedules: from none to the strongest.
        maps: for each sample what each schedule did.
        dataset: names and colours of the classes.

    Returns:
        `network`, `classes` and their `colours`, `locations` (a colour for each), `shades` (of entropy, from 0 to 1),
        `schedules` (text, blocks, paused), and `samples`: name, width, height, grid (rows, columns), patch (pixels of
        its side in the picture), image, truth, and `runs`, one a schedule: prediction, paused_at, and entropy by block.
        Pictures are data URIs, those of class ids grey. Grids are base64 of a byte a patch, row after row.
    """
    return {
        "network": network,
        "classes": list(dataset.classes),
        "colours": [_hex(colour) for colour in dataset.colours],
        "locations": LOCATIONS,
        "shades": [to_hex(colour) for colour in mpl.colormaps["viridis"](np.linspace(0, 1, SHADES))],
        "schedules": [
            {"text": str(schedule), "blocks": list(schedule.blocks), "paused": round(schedule.paused, 4)}
            for schedule in schedules
        ],
        "samples": [_sample(sample, seen) for sample, seen in zip(samples, maps, strict=True)],
    }


def _sample(sample: Sample, maps: Sequence[PauseMap]) -> dict[str, Any]:
    height, width = sample.image.shape[-2:]
    scale = min(1.0, LARGEST / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = Image.fromarray(sample.image.permute(1, 2, 0).numpy()).resize(size, Image.Resampling.LANCZOS)
    return {
        "name": sample.name,
        "width": size[0],
        "height": size[1],
        "grid": list(maps[0].paused_at.shape),
        "patch": scale * _patch(maps[0], sample),
        "image": _uri(image, "webp"),
        "truth": _ids(sample.labels.numpy().astype(np.uint8), size),
        "runs": [
            {
                "prediction": _ids(seen.prediction, size),
                "paused_at": _grid(seen.paused_at),
                "entropy": {str(block): _grid(_steps(values)) for block, values in seen.entropy.items()},
            }
            for seen in maps
        ],
    }


def _steps(entropy: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(entropy), PAUSED, np.nan_to_num(entropy).clip(0, 1) * STEPS).round()


def _grid(values: np.ndarray) -> str:
    return base64.b64encode(values.astype(np.uint8).tobytes()).decode()


def _ids(classes: np.ndarray, size: tuple[int, int]) -> str:
    """Class ids as grey values, the nearest where the picture is smaller."""
    return _uri(Image.fromarray(classes, "L").resize(size, Image.Resampling.NEAREST), "png")


def _uri(image: Image.Image, kind: str) -> str:
    content = io.BytesIO()
    image.save(content, kind, **({"quality": 88} if kind == "webp" else {"optimize": True}))
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


def draw_pause_maps(settings: MapsSettings, manifest: Path, run_folder: Path, output: Path) -> None:
    """Look at images spread evenly over the evaluation split, under several schedules.

    Args:
        settings: what to look at.
        manifest: data.json.
        run_folder: of the trained network.
        output: the picture, one row for each image under one schedule: a `.png`, and beside it, with ending `.json`,
            all schedules for the viewer; or a `.pdf` as wide as two columns of a paper, and nothing else.

    Raises:
        PaumerError: the schedule has no location, more than colours, or one that the network cannot pause at.
    """
    model, run = load_run(run_folder)
    require_writable(output, ".png", ".svg", ".pdf")
    model.to(find_device(settings.device))
    shown = _shown(settings.figures.pause_schedule, model)
    paper = output.suffix == ".pdf"
    schedules = [shown] if paper else _of_viewer(settings.schedules, shown, model)
    data = SegmentationData(*samples(manifest, settings.split))
    require_classes(model, data.dataset.classes, run_folder)
    count = min(settings.figures.pause_maps, len(data))
    chosen = [round((number + 0.5) * len(data) / count - 0.5) for number in range(count)]
    items = [Sample(f"image {index + 1} of {len(data)} ({settings.split})", *data[index]) for index in chosen]
    work = progress(product(items, schedules), title="pause maps", total=len(items) * len(schedules))
    seen = [pause_map(model, sample.image, schedule, _watched(schedules)) for sample, schedule in work]
    maps = [seen[number * len(schedules) :][: len(schedules)] for number in range(len(items))]
    save_maps(items, [row[schedules.index(shown)] for row in maps], shown, data.dataset, output)
    if paper:
        return
    network = "/".join(str(run.get(name, "?")) for name in ("backbone", "recipe")) + f", seed {run.get('seed', '?')}"
    write_json(output.with_suffix(".json"), viewer_data(network, items, schedules, maps, data.dataset))


def _shown(schedule: Schedule, model: Segmenter) -> Schedule:
    """The schedule of the picture, which the network must be able to run."""
    schedule.check_depth(model.encoder.depth)
    if reason := Pause(schedule).skip(model):
        raise PaumerError(f"figures.pause_schedule: {schedule} cannot run, {reason}; choose another")
    return schedule


def _of_viewer(others: Sequence[Schedule], shown: Schedule, model: Segmenter) -> list[Schedule]:
    """None, and what the network can run of the others, from the mildest to the strongest."""
    fitting = [
        item for item in {shown, *others} if len(item.locations) <= MOST_LOCATIONS and not Pause(item).skip(model)
    ]
    return [Schedule(), *sorted(fitting, key=lambda item: (item.paused, [-block for block in item.blocks], str(item)))]


def _watched(schedules: Sequence[Schedule]) -> tuple[int, ...]:
    """All blocks after which some schedule pauses."""
    return tuple(sorted({block for schedule in schedules for block in schedule.blocks}))


@torch.inference_mode()
def pause_map(model: Segmenter, image: Tensor, schedule: Schedule, watched: Sequence[int] = ()) -> PauseMap:
    """Run one image, (3, height, width) uint8, under entropy pausing and keep what happened.

    Args:
        model: the network.
        image: the image.
        schedule: where and how much to pause.
        watched: the blocks after which to look where nothing pauses.
    """
    images = image[None].to(model.device)
    seen = watch_pauses(model, images, Pause(schedule), schedule.blocks or watched)
    numbers = {block: number for number, block in enumerate((0, *schedule.blocks))}
    return PauseMap(
        entropy={block: values.numpy() for block, values in seen.entropy.items()},
        paused_at=np.vectorize(numbers.__getitem__, otypes=[np.uint8])(seen.blocks.numpy()),
        prediction=model.label(seen.patch_logits, images)[0].cpu().numpy().astype(np.uint8),
    )
