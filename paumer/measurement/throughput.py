"""Stage `throughput`: images/s of every operating point, relative to dense, in one process.

The scope says what is timed, from images on the device: logits at their resolution, class ids there, logits of patches,
or class ids of full images that are cut into windows. Where evaluation runs on windows, all other scopes time windows;
images/s are then windows/s divided by the windows of an image, without cutting and merging. For each backbone, input
size, number type, mode, scope and batch size there are two kinds of groups that are timed together:

- operating points of fixed cost, all on one network, over one batch;
- for each recipe, in the first mode alone, the operating points whose cost depends on the image, on the network of that
  recipe, over many different images, batch by batch; their rows name recipe and criterion.

Each group holds dense twice (the second time as `dense-again`, the null variant): where that ratio is not near 1, or
its interval wide or without 1, the machine was too noisy. `floor_ratio` is the time of pausing over the time of the
same blocks on tokens that were dropped beforehand.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from paumer.config.base import Size
from paumer.config.measuring import Evaluation
from paumer.config.network import Backbone, NetworkSettings
from paumer.config.runs import CostSettings
from paumer.data.images import stored_size
from paumer.data.loading import SegmentationData, evenly
from paumer.data.manifest import samples
from paumer.measurement.floor import floors
from paumer.measurement.modes import callable_of, on_batches, with_explicit_attention
from paumer.measurement.timing import COLUMNS, ROUND_COLUMNS, BenchmarkSetting, Timing, measure
from paumer.models.build import build, load_run
from paumer.models.graphs import require_onnx
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.registry import (
    DENSE_AGAIN,
    EXPLICIT_ATTENTION,
    SMALLER_BACKBONE,
    Label,
    OperatingPoint,
    runnable,
)
from paumer.system.errors import PaumerError
from paumer.system.files import (
    WEIGHTS,
    data_checksums,
    read_json,
    require_writable,
    sha256,
    write_json,
    write_text,
)
from paumer.system.machine import clocks, describe_code, describe_environment, find_device

NULL = Label(DENSE_AGAIN)
Runs = dict[tuple[str, str], Path]
Networks = dict[tuple[str, str], Segmenter]
Candidate = tuple[Label, Segmenter, Strategy]


@dataclass(frozen=True)
class Input:
    """Sizes at which a network is measured.

    Attributes:
        size: height and width of one forward pass.
        image: height and width of a full image.
        windows: forward passes per image; the mean where images of the split differ in size.
    """

    size: Size
    image: Size
    windows: float = 1.0


def throughput(settings: CostSettings, manifest: Path, runs: Runs, output: Path, rounds: Path, machine: Path) -> None:
    """Measure, and write the table, the times of all rounds, and a record of the machine.

    A run that was killed resumes after its last finished group, from a file beside the table.

    Args:
        settings: what to measure.
        manifest: `data.json`; images of its evaluation split are the input.
        runs: folders of trained networks by backbone and recipe; without one of recipe paumer, operating points of
            fixed cost are timed on an untrained network.
        output: the table.
        rounds: seconds in every round, each for `images` full images.
        machine: code revision, versions, device, and its clock rates before and after.

    Raises:
        PaumerError: onnxruntime is asked for and not installed, the device is not there, or a file cannot be written.
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
    cache = ResumeCache(output.with_suffix(".partial.json"), described)
    timings = [
        measured
        for backbone in settings.main_backbones
        for of in inputs_of(settings, backbone, data)
        for measured in _measure_network(settings, backbone, of, networks, data, device, cache)
    ]
    described["environment"] |= {"clocks before": before, "clocks after": clocks(device)}
    every = [row for timed in timings for row in timed.rounds]
    write_text(rounds, pd.DataFrame(every, columns=ROUND_COLUMNS).to_csv(index=False, float_format="%.6g"))
    write_json(machine, described)
    rows = [row for timed in timings for row in timed.rows]
    write_text(output, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, float_format="%.4f"))
    cache.remove()


class ResumeCache:
    """Timings of finished groups, kept in a file until the tables are written.

    Ratios are taken within a group, so that an interruption between two groups changes none of them. The file is
    ignored if it was made by other code, settings, weights or images, or on another machine.
    """

    def __init__(self, path: Path, made_by: dict[str, Any]) -> None:
        self.path, self.made_by = path, made_by
        self.groups: dict[str, dict[str, Any]] = {}
        try:
            content = read_json(path, made_by=dict, groups=dict)
        except PaumerError:
            return
        if content["made_by"] == made_by:
            self.groups = content["groups"]
            print(f"{path}: {len(self.groups)} groups were timed before, and are kept")

    def get(self, setting: BenchmarkSetting) -> Timing | None:
        """The timing of a group; None if it is not finished."""
        found = self.groups.get(setting.title())
        return None if found is None else Timing(**found)

    def put(self, setting: BenchmarkSetting, timing: Timing) -> Timing:
        """Store the timing of a group, and return it."""
        self.groups[setting.title()] = asdict(timing)
        write_json(self.path, {"made_by": self.made_by, "groups": self.groups})
        return timing

    def remove(self) -> None:
        """Remove the file once the tables are written."""
        self.path.unlink(missing_ok=True)


def _measure_network(
    settings: CostSettings,
    backbone: Backbone,
    of: Input,
    networks: Networks,
    data: SegmentationData,
    device: torch.device,
    cache: ResumeCache,
) -> Iterator[Timing]:
    """Time every group of variants of a backbone on one input."""
    protocol, evaluation = settings.throughput, settings.evaluation
    fixed = _fixed_costs(settings, backbone, of.size, networks, len(data.dataset.classes), device)
    varying = _costs_by_image(settings, backbone, networks)
    count = max(protocol.images, *protocol.batches)
    sizes = {scope: of.image if scope == "image" else of.size for scope in protocol.scopes}
    model = fixed[0][1]  # images are normalised before any time is taken
    pictures = {size: model.normalize(input_images(data, count, size).to(device)) for size in set(sizes.values())}
    for dtype, mode, scope in itertools.product(protocol.dtypes, protocol.modes, protocol.scopes):
        images, windows = pictures[sizes[scope]], 1.0 if scope == "image" else of.windows
        groups = {"": fixed} | (varying if mode == protocol.modes[0] else {})
        calls = {
            recipe: [
                (point, callable_of(one, strategy, scope, mode, evaluation, dtype)) for point, one, strategy in group
            ]
            for recipe, group in groups.items()
        }  # shared by all batch sizes
        for batch, (recipe, named) in itertools.product(protocol.batches, calls.items()):
            several = images[: max(1, protocol.images // batch) * batch] if recipe else images[:batch]
            common = (device, dtype, mode, scope, of.size, batch)
            setting = BenchmarkSetting(backbone.name, recipe, *common, len(several), windows)
            batches = several.split(batch)
            variants = {point: on_batches(run, batches) for point, run in named}
            yield cache.get(setting) or cache.put(setting, measure(variants, setting, protocol))


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
        candidates.append((Label(EXPLICIT_ATTENTION), with_explicit_attention(model), Dense()))
    candidates.append((NULL, model, Dense()))
    return candidates + [(label, model, floor) for label, floor in floors(strategy for _, strategy in points)]


def _costs_by_image(settings: CostSettings, backbone: Backbone, networks: Networks) -> dict[str, list[Candidate]]:
    """By recipe: dense and the operating points whose cost depends on the image; recipes without any are left out."""
    found: dict[str, list[Candidate]] = {}
    for recipe in settings.recipes:
        points, model = settings.image_points(recipe), networks.get((backbone.name, recipe))
        if points and model is not None:
            named = runnable(model, points, f"{backbone.name} {recipe}")
            every = [(Label(), Dense()), *((point.label, strategy) for point, strategy in named), (NULL, Dense())]
            found[recipe] = [(label, model, strategy) for label, strategy in every]
    return found


def input_size(evaluation: Evaluation, image: Tensor) -> Size:
    """Height and width of one forward pass at scale 1: a whole image, or a window."""
    return evaluation.window_size(evaluation.seen_size(image.shape[-2:]))


def inputs_of(settings: CostSettings, backbone: Backbone, data: SegmentationData) -> list[Input]:
    """Inputs of a backbone: the sizes that the configuration names, each a whole image, or the input of evaluation."""
    named = settings.sizes_of(backbone)
    if named:
        return [Input(size, size) for size in named]
    first = data[0][0]
    image = int(first.shape[-2]), int(first.shape[-1])
    return [Input(input_size(settings.evaluation, first), image, mean_windows(settings.evaluation, data))]


def mean_windows(evaluation: Evaluation, data: SegmentationData) -> float:
    """Windows per image at scale 1, mean over the split; reads only the headers of the image files."""
    if evaluation.inference == "whole":
        return 1.0
    sizes = [evaluation.seen_size(stored_size(sample.image)) for sample in data.samples]
    counts = [len(evaluation.window_corners(size)) for size in sizes]
    return sum(counts) / len(counts)


def untrained(
    settings: CostSettings, backbone: Backbone, classes: int, size: Size
) -> tuple[Segmenter, list[tuple[OperatingPoint, Strategy]]]:
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
    """`count` different images of a split, (count, 3, height, width) uint8, cropped to `size`.

    They are spread evenly over the split, as neighbours may be frames of one video, and repeat where the split has
    fewer. Smaller images are enlarged first.
    """
    loaded = [_fit(data[index][0], size) for index in evenly(len(data), count)]
    return torch.stack([loaded[index % len(loaded)] for index in range(count)])


def _fit(image: Tensor, size: Size) -> Tensor:
    """An image (3, any height, any width) cropped to `size`, enlarged first where it is smaller."""
    scale = max(1.0, *(wanted / had for wanted, had in zip(size, image.shape[-2:], strict=True)))
    if scale > 1:
        image = resize(image, [math.ceil(scale * side) for side in image.shape[-2:]])
    return image[..., : size[0], : size[1]]
