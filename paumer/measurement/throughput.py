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
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from paumer.config import Backbone, Evaluation, Size
from paumer.data.loading import SegmentationData
from paumer.data.preparation import samples
from paumer.data.transforms import normalize
from paumer.environment import describe_code, describe_environment
from paumer.files import require_writable, write_json, write_text
from paumer.graphs.onnx_model import require_onnx
from paumer.measurement.finished import Finished
from paumer.measurement.inputs import Input, input_images, inputs_of, untrained
from paumer.measurement.machine import clocks
from paumer.measurement.modes import callable_of, on_batches, with_explicit_attention
from paumer.measurement.timing import COLUMNS, ROUND_COLUMNS, Condition, Timing, Variant, measure
from paumer.models.build import load_run
from paumer.models.normalization import normalization_of
from paumer.models.segmenter import Segmenter
from paumer.provenance import WEIGHTS, data_checksums, sha256
from paumer.registry import DENSE_AGAIN, EXPLICIT_ATTENTION, SMALLER_BACKBONE, Point
from paumer.runtime import find_device
from paumer.schedule import Schedule
from paumer.stages import CostSettings
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.floor import Floor
from paumer.strategies.pause import Pause
from paumer.strategies.points import runnable

NULL, EXPLICIT = Point(DENSE_AGAIN), Point(EXPLICIT_ATTENTION)
Runs = dict[tuple[str, str], Path]
Networks = dict[tuple[str, str], Segmenter]
Candidate = tuple[Point, Segmenter, Strategy]


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
    candidates: list[Candidate] = [(Point(point.strategy, "", point.schedule), model, one) for point, one in points]
    for control in settings.controls(backbone):
        smaller, _ = untrained(settings, control, classes, size)
        candidates.append((Point(SMALLER_BACKBONE, "", control.name), smaller.to(device), Dense()))
    if settings.throughput.explicit_attention:
        candidates.append((EXPLICIT, with_explicit_attention(model), Dense()))
    candidates.append((NULL, model, Dense()))
    pauses = [strategy.parameters for _, strategy in points if isinstance(strategy, Pause)]
    schedules = [parameters for parameters in pauses if isinstance(parameters, Schedule)]
    return candidates + [(Point("floor", "", str(one)), model, Floor(one)) for one in schedules]


def _costs_by_image(settings: CostSettings, backbone: Backbone, networks: Networks) -> dict[str, list[Candidate]]:
    """For each recipe dense and its operating points whose cost depends on the image, where there are some."""
    found: dict[str, list[Candidate]] = {}
    for recipe in settings.recipes:
        points, model = settings.image_points(recipe), networks.get((backbone.name, recipe))
        if points and model is not None:
            named = runnable(model, points, f"{backbone.name} {recipe}")
            every = [(Point(), Dense()), *named, (NULL, Dense())]
            found[recipe] = [(point, model, strategy) for point, strategy in every]
    return found


def _calls(
    candidates: list[Candidate], scope: str, mode: str, evaluation: Evaluation
) -> list[tuple[Point, Callable[[Tensor], Tensor]]]:
    """The candidates as functions of images, the same ones for every batch size."""
    return [(point, callable_of(model, strategy, scope, mode, evaluation)) for point, model, strategy in candidates]
