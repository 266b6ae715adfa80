"""Stage `throughput`: images/s of every operating point, against dense, in one process.

Timed is from images on the device to what the scope says: logits at their resolution, class ids there, logits of
patches, or class ids of full images that are cut into windows. Where evaluation runs on windows, all other scopes time
windows; images/s are then windows/s over the windows of an image, without cutting and putting together. What is timed
together for each backbone, input size, number type, mode, scope and batch size:

- operating points of fixed cost, all on one network, over one batch;
- for each recipe, in the first mode alone, the operating points whose cost depends on the image, on that recipe's
  network, over many different images, batch by batch; their rows name recipe and criterion.

Each group holds dense twice (the second time as `dense-again`, the null variant): where that ratio is not near 1, or
its interval wide or without 1, the machine was too noisy. `floor_ratio` is the time of pausing over the time of the
same blocks on tokens already cut.

The inputs and networks whose cost is measured.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from paumer.config import Backbone, Evaluation, Size
from paumer.config.network import NetworkSettings
from paumer.config.runs import CostSettings
from paumer.data.images import upright_size
from paumer.data.loading import SegmentationData
from paumer.data.preparation import samples
from paumer.data.transforms import normalize
from paumer.measurement.modes import callable_of, on_batches, with_explicit_attention
from paumer.measurement.timing import COLUMNS, ROUND_COLUMNS, Condition, Finished, Timing, Variant, measure
from paumer.models.build import build, load_run
from paumer.models.graphs import require_onnx
from paumer.models.segmenter import Segmenter
from paumer.models.shipped import normalization_of
from paumer.models.views import seen_size, window_corners, window_size
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Floor, Pause
from paumer.strategies.registry import (
    DENSE_AGAIN,
    EXPLICIT_ATTENTION,
    SMALLER_BACKBONE,
    Label,
    OperatingPoint,
    runnable,
)
from paumer.system.files import WEIGHTS, require_writable, sha256, write_json, write_text
from paumer.system.machine import clocks, data_checksums, describe_code, describe_environment, find_device

Points = list[tuple[OperatingPoint, Strategy]]


def input_size(evaluation: Evaluation, image: Tensor) -> Size:
    """Height and width of one forward pass at scale 1: a whole image, or a window."""
    return window_size(evaluation, seen_size(evaluation, image.shape[-2:]))


@dataclass(frozen=True)
class Input:
    """What is measured.

    Attributes:
        size: height and width of one forward pass.
        image: height and width of the image that it is of.
        windows: forward passes for one image; their mean where images of the split differ in size.
    """

    size: Size
    image: Size
    windows: float = 1.0


def inputs_of(settings: CostSettings, backbone: Backbone, data: SegmentationData) -> list[Input]:
    """The inputs of a backbone: sizes that are named, which are images, or what evaluation runs on."""
    named = settings.sizes_of(backbone)
    if named:
        return [Input(size, size) for size in named]
    first = data[0][0]
    image = int(first.shape[-2]), int(first.shape[-1])
    return [Input(input_size(settings.evaluation, first), image, mean_windows(settings.evaluation, data))]


def mean_windows(evaluation: Evaluation, data: SegmentationData) -> float:
    """Windows of an image at scale 1, mean over the split; only the headers of its files are read."""
    if evaluation.inference == "whole":
        return 1.0
    counts = []
    for sample in data.samples:
        size = seen_size(evaluation, upright_size(sample.image))
        counts.append(len(window_corners(size, window_size(evaluation, size), evaluation.stride)))
    return sum(counts) / len(counts)


def untrained(settings: CostSettings, backbone: Backbone, classes: int, size: Size) -> tuple[Segmenter, Points]:
    """A network with heads for images of `size`, in eval mode, and its operating points of fixed cost."""
    described = NetworkSettings(
        backbone=backbone,
        decoder=settings.decoder_of(backbone),
        heads=settings.heads_of(backbone),
        classes=classes,
        class_frequencies=(1 / classes,) * classes,
        image_size=size,
    )
    model = build(described, pretrained=False).eval()
    points = settings.fixed_points() if backbone.control_for is None else []
    return model, runnable(model, points, backbone.name)


def input_images(data: SegmentationData, count: int, size: Size) -> Tensor:
    """`count` different images of a split, (count, 3, height, width) uint8, cut to `size`.

    They are taken evenly from it: neighbours may be frames of one video. Images that are smaller are enlarged before;
    they start over where the split has fewer.
    """
    loaded = [_fit(data[index][0], size) for index in evenly(len(data), count)]
    return torch.stack([loaded[index % len(loaded)] for index in range(count)])


def evenly(total: int, count: int) -> list[int]:
    """`count` places among `total`, or all where there are no more, at equal distances from the first on."""
    count = min(count, total)
    return [place * total // count for place in range(count)]


def _fit(image: Tensor, size: Size) -> Tensor:
    """An image (3, any height, any width) cut to `size`, enlarged before where it is smaller."""
    scale = max(1.0, *(wanted / had for wanted, had in zip(size, image.shape[-2:], strict=True)))
    if scale > 1:
        image = resize(image, [math.ceil(scale * side) for side in image.shape[-2:]])
    return image[..., : size[0], : size[1]]


NULL, EXPLICIT = Label(DENSE_AGAIN), Label(EXPLICIT_ATTENTION)
Runs = dict[tuple[str, str], Path]
Networks = dict[tuple[str, str], Segmenter]
Candidate = tuple[Label, Segmenter, Strategy]


def throughput(settings: CostSettings, manifest: Path, runs: Runs, output: Path, rounds: Path, machine: Path) -> None:
    """Measure, and write the table, the times of all rounds, and what measured them.

    Killed, it keeps the groups that are finished, beside the table, and goes on with the others.

    Args:
        settings: what to measure.
        manifest: `data.json`; real images of its evaluation split are the input.
        runs: folders of trained networks by backbone and recipe; where none of recipe paumer is there, fixed costs
            are timed on a network without trained weights.
        output: the table.
        rounds: seconds in every round, for so many `images`.
        machine: code revision, versions, device, and its clock rates before and after.

    Raises:
        PaumerError: a mode asks for onnxruntime, which is not installed; or a device for what is not here.
    """
    if "onnxruntime" in settings.throughput.modes:
        require_onnx()
    device = find_device(settings.device)
    networks = {key: load_run(folder)[0].to(device) for key, folder in runs.items()}
    data = SegmentationData(*samples(manifest, settings.split))
    for path, ending in ((output, ".csv"), (rounds, ".csv"), (machine, ".json")):
        require_writable(path, ending)
    before = clocks(device)
    described = {"code": describe_code(), "environment": describe_environment(device)}
    described |= {"settings": settings.model_dump(mode="json")}
    described |= {"weights": {str(folder): sha256(folder / WEIGHTS) for folder in runs.values()}}
    described |= {"data": data_checksums(manifest)}
    finished = Finished(output.with_suffix(".partial.json"), described)
    timings = [
        measured
        for backbone in settings.studied
        for of in inputs_of(settings, backbone, data)
        for measured in _measure_network(settings, backbone, of, networks, data, device, finished)
    ]
    described["environment"] |= {"clocks before": before, "clocks after": clocks(device)}
    every = [row for timed in timings for row in timed.rounds]
    write_text(rounds, pd.DataFrame(every, columns=ROUND_COLUMNS).to_csv(index=False, float_format="%.6g"))
    write_json(machine, described)
    rows = [row for timed in timings for row in timed.rows]
    write_text(output, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, float_format="%.4f"))
    finished.remove()


def _measure_network(
    settings: CostSettings,
    backbone: Backbone,
    of: Input,
    networks: Networks,
    data: SegmentationData,
    device: torch.device,
    finished: Finished,
) -> Iterator[Timing]:
    """Every group of variants of a backbone on one input."""
    timing, evaluation = settings.throughput, settings.evaluation
    fixed = _fixed_costs(settings, backbone, of.size, networks, len(data.dataset.classes), device)
    varying = _costs_by_image(settings, backbone, networks)
    count = max(timing.images, *timing.batches)
    sizes = {scope: of.image if scope == "image" else of.size for scope in timing.scopes}
    pictures = {
        size: normalize(input_images(data, count, size), normalization_of(backbone)).to(device)
        for size in set(sizes.values())
    }
    for dtype, mode, scope in itertools.product(timing.dtypes, timing.modes, timing.scopes):
        images, windows = pictures[sizes[scope]], 1.0 if scope == "image" else of.windows
        groups = {"": fixed} | (varying if mode == timing.modes[0] else {})
        calls = {recipe: _calls(group, scope, mode, evaluation) for recipe, group in groups.items()}
        for batch, (recipe, named) in itertools.product(timing.batches, calls.items()):
            several = images[: max(1, timing.images // batch) * batch] if recipe else images[:batch]
            common = (device, dtype, mode, scope, of.size, batch)
            condition = Condition(backbone.name, recipe, *common, len(several), windows)
            batches = several.split(batch)
            variants = [Variant(point, on_batches(run, batches)) for point, run in named]
            yield finished.take(condition) or finished.keep(condition, measure(variants, condition, timing))


def _fixed_costs(
    settings: CostSettings, backbone: Backbone, size: Size, networks: Networks, classes: int, device: torch.device
) -> list[Candidate]:
    """Dense, every operating point of fixed cost, the controls, dense once more, and the floors of pausing."""
    trained = networks.get((backbone.name, "paumer"))  # which can run every strategy
    if trained is None:
        model, points = untrained(settings, backbone, classes, size)
        model.to(device)
    else:
        model, points = trained, runnable(trained, settings.fixed_points(), backbone.name)
    candidates: list[Candidate] = [(point.label._replace(criterion=""), model, one) for point, one in points]
    for control in settings.controls(backbone):
        smaller, _ = untrained(settings, control, classes, size)
        candidates.append((Label(SMALLER_BACKBONE, "", control.name), smaller.to(device), Dense()))
    if settings.throughput.explicit_attention:
        candidates.append((EXPLICIT, with_explicit_attention(model), Dense()))
    candidates.append((NULL, model, Dense()))
    pauses = [strategy.parameters for _, strategy in points if isinstance(strategy, Pause)]
    schedules = [parameters for parameters in pauses if isinstance(parameters, Schedule)]
    return candidates + [(Label("floor", "", str(one)), model, Floor(one)) for one in schedules]


def _costs_by_image(settings: CostSettings, backbone: Backbone, networks: Networks) -> dict[str, list[Candidate]]:
    """For each recipe dense and its operating points whose cost depends on the image, where there are some."""
    found: dict[str, list[Candidate]] = {}
    for recipe in settings.recipes:
        points, model = settings.image_points(recipe), networks.get((backbone.name, recipe))
        if points and model is not None:
            named = runnable(model, points, f"{backbone.name} {recipe}")
            every = [(Label(), Dense()), *((point.label, strategy) for point, strategy in named), (NULL, Dense())]
            found[recipe] = [(label, model, strategy) for label, strategy in every]
    return found


def _calls(
    candidates: list[Candidate], scope: str, mode: str, evaluation: Evaluation
) -> list[tuple[Label, Callable[[Tensor], Tensor]]]:
    """The candidates as functions of images, the same ones for every batch size."""
    return [(point, callable_of(model, strategy, scope, mode, evaluation)) for point, model, strategy in candidates]
