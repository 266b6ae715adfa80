"""Stage `maps`: what pauses where, as a picture and as data for the viewer of the report."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from paumer.config import Normalization
from paumer.config.measuring import MOST_LOCATIONS
from paumer.data.loading import SegmentationData
from paumer.data.preparation import samples
from paumer.data.transforms import normalize
from paumer.errors import PaumerError
from paumer.evaluation.pauses import watch_pauses
from paumer.files import require_writable, write_json
from paumer.models.build import load_run, network_of, require_classes
from paumer.models.segmenter import Segmenter
from paumer.progress import progress
from paumer.reporting.interactive.viewer import viewer_data
from paumer.reporting.plots_maps import PauseMap, Sample, save_maps
from paumer.runtime import find_device
from paumer.schedule import Schedule
from paumer.stages import MapsSettings
from paumer.strategies.pause import Pause


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
    normalization = network_of(run, run_folder).backbone.normalization
    work = progress(product(items, schedules), title="pause maps", total=len(items) * len(schedules))
    seen = [pause_map(model, sample.image, schedule, normalization, _watched(schedules)) for sample, schedule in work]
    maps = [seen[number * len(schedules) :][: len(schedules)] for number in range(len(items))]
    save_maps(items, [row[schedules.index(shown)] for row in maps], shown, data.dataset, output)
    if paper:
        return
    network = "/".join(str(run.get(name, "?")) for name in ("backbone", "recipe")) + f", seed {run.get('seed', '?')}"
    write_json(output.with_suffix(".json"), viewer_data(network, items, schedules, maps, data.dataset))


def _shown(text: str, model: Segmenter) -> Schedule:
    """The schedule of the picture."""
    schedule = Schedule.parse(text)
    schedule.check_depth(model.encoder.depth)
    if reason := Pause(schedule).skip(model):
        raise PaumerError(f"figures.pause_schedule: {schedule} cannot run, {reason}; choose another")
    return schedule


def _of_viewer(texts: Sequence[str], shown: Schedule, model: Segmenter) -> list[Schedule]:
    """None, and what the network can run of the others, from the mildest to the strongest."""
    schedules = {shown, *(Schedule.parse(text) for text in texts)}
    fitting = [item for item in schedules if len(item.locations) <= MOST_LOCATIONS and not Pause(item).skip(model)]
    return [Schedule(), *sorted(fitting, key=lambda item: (item.paused, [-block for block in item.blocks], str(item)))]


def _watched(schedules: Sequence[Schedule]) -> tuple[int, ...]:
    """All blocks after which some schedule pauses."""
    return tuple(sorted({block for schedule in schedules for block in schedule.blocks}))


@torch.inference_mode()
def pause_map(
    model: Segmenter, image: Tensor, schedule: Schedule, normalization: Normalization, watched: Sequence[int] = ()
) -> PauseMap:
    """Run one image, (3, height, width) uint8, under entropy pausing and keep what happened.

    Args:
        model: the network.
        image: the image.
        schedule: where and how much to pause.
        normalization: of the image.
        watched: the blocks after which to look where nothing pauses.
    """
    device = next(model.parameters()).device
    images = normalize(image[None].to(device), normalization)
    seen = watch_pauses(model, images, Pause(schedule), schedule.blocks or watched)
    numbers = {block: number for number, block in enumerate((0, *schedule.blocks))}
    return PauseMap(
        entropy={block: values.numpy() for block, values in seen.entropy.items()},
        paused_at=np.vectorize(numbers.__getitem__, otypes=[np.uint8])(seen.blocks.numpy()),
        prediction=model.label(seen.patch_logits, images)[0].cpu().numpy().astype(np.uint8),
    )
