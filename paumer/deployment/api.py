"""What one calls from Python: load a network, compare its operating points, draw scenes to try them on.

An operating point is written as on the command line: `dense`; a schedule of pausing, `3:0.4` or a `Schedule`; or
`STRATEGY PARAMETERS`, `merge 1-8:0.04`.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from paumer.config.base import parse
from paumer.config.measuring import Throughput
from paumer.data.scenes import TRAIN_IDS, draw_scene
from paumer.deployment.images import Images, Labels, labelled_batches, of_one_size
from paumer.evaluation.evaluate import evaluate_batches, mean_iou
from paumer.measurement.floor import floors
from paumer.measurement.modes import callable_of, on_batches
from paumer.measurement.timing import SPEEDUP, BenchmarkSetting
from paumer.measurement.timing import measure as time_variants
from paumer.models.segmenter import Segmenter, name_of
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.criteria import ORACLE
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import DENSE_AGAIN, Label, OperatingPoint, read_point
from paumer.system.errors import PaumerError
from paumer.system.machine import keep_freed_memory

Schedules = Sequence[str | Schedule]
NEW = 2  # after the numbers of the splits, train and val: scenes that no network was trained or scored on
MEASURED = (*Label._fields, "batch", "images_per_s", *SPEEDUP, "floor_ratio", "other_load", "status")


class Scenes(NamedTuple):
    """Drawn street scenes.

    Attributes:
        images: (n, 3, height, width) uint8.
        labels: class ids (n, height, width) int64, 255 where a pixel has none.
    """

    images: Tensor
    labels: Tensor


def scenes(count: int, seed: int = 0, height: int = 96, width: int = 192) -> Scenes:
    """Draw street scenes with the 19 classes of Cityscapes; the same seed draws the same, and none that trains.

    Raises:
        PaumerError: a count or a size is not possible.
    """
    for value in (count, seed, height, width):
        if not isinstance(value, int | np.integer):
            raise PaumerError(f"scenes: {value!r} is no whole number; give whole numbers")
    if count < 1 or seed < 0 or min(height, width) < 32:
        raise PaumerError(
            f"scenes: {count} of {height} x {width} pixels, seed {seed}; give 1 or more, of 32 x 32 or more"
        )
    drawn = [draw_scene(np.random.default_rng([seed, NEW, number]), height, width) for number in range(count)]
    images = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image, _ in drawn])
    return Scenes(images, torch.stack([torch.from_numpy(TRAIN_IDS[labels]).long() for _, labels in drawn]))


def sweep(
    network: Segmenter,
    images: Images,
    schedules: Schedules,
    labels: Labels | None = None,
    criterion: str | None = "",
) -> pd.DataFrame:
    """Run a network at several operating points, in one pass over the images.

    Args:
        network: as `load`, `wrap` and `load_segmenter` give it; on the device that it is on.
        images: RGB uint8, (n, 3, height, width), or a sequence of (3, height, width) of any size; or the name of an
            image or of a folder of them.
        schedules: the operating points; dense is always run, too.
        labels: class ids of the images, (n, height, width) or a sequence of (height, width), 255 where there is none.
        criterion: by which patches are chosen; empty: the strategy's usual one.

    Returns:
        A row for every operating point, dense first: `strategy`, `criterion`, `schedule`, `images`; with labels `miou`
        and `drop` below dense, in points; `agreement`, the share of pixels that get the class that dense gives them;
        `gmac` of an image, its mean; and `gmac_ratio`, how many times as much dense takes.

    Raises:
        PaumerError: an operating point is not possible, or images and labels do not fit.
    """
    _require_network(network)
    points = _points(schedules, criterion)
    if labels is None and any(point.criterion == ORACLE for point in points):
        raise PaumerError("criterion oracle needs the ground truth; give labels, or use another")
    evaluation, strategies = network.evaluation, [network.strategy_of(point) for point in points]
    total, batches = labelled_batches(images, labels, network.classes, evaluation.images_at_once)
    with torch.random.fork_rng(devices=[]):
        results = evaluate_batches(network, batches, total, strategies, evaluation)
    table = pd.DataFrame([point.label for point in points]).assign(images=total)
    if labels is not None:
        miou = [mean_iou(result.matrix) for result in results]
        table = table.assign(miou=miou, drop=[miou[0] - one for one in miou])
    gmac = [float(result.macs.mean()) / 1e9 for result in results]
    agreement = [result.agreement for result in results]
    return table.assign(agreement=agreement, gmac=gmac, gmac_ratio=[gmac[0] / one for one in gmac])


def measure(
    network: Segmenter,
    images: Images,
    schedules: Schedules,
    *,
    batch: int = 1,
    rounds: int = 31,
    block_seconds: float = 0.1,
    mode: str = "eager",
    criterion: str | None = "",
) -> pd.DataFrame:
    """Time a network at several operating points against dense, interleaved, as docs/measuring.md says.

    Args:
        network: as `load`, `wrap` and `load_segmenter` give it; on the device that it is on.
        images: as for `sweep`, all of one size; every variant runs all of them.
        schedules: the operating points; dense is always timed, twice: `dense-again` shows the noise. Where the interval
            of its speed-up leaves out 1 or is wide, the machine was too noisy to believe the others.
        batch: images per forward pass.
        rounds: each times every variant once, in random order; 3 or more.
        block_seconds: shortest time of a timed block.
        mode: `eager`, `optimized` (the inference form), `compile`, `cuda-graphs` or `onnxruntime`.
        criterion: by which patches are chosen; empty: the strategy's usual one.

    Returns:
        A row for every operating point, and `dense-again`: `strategy`, `criterion`, `schedule`, `batch`;
        `images_per_s`; `speedup` over dense, the median over the rounds, with its 95% interval `speedup_low` and
        `speedup_high`; `floor_ratio`, the time over that of the same blocks on tokens already cut; `other_load`, how
        many processors other programs kept busy; and `status`: `ok`, `oom` or `skipped`.

    Raises:
        PaumerError: an operating point or a setting is not possible.
    """
    asked = {"batches": (batch,), "modes": (mode,), "rounds": rounds, "block_seconds": block_seconds}
    settings: Throughput = parse(Throughput, asked, "measure")
    _require_network(network)
    pictures = of_one_size(images)
    if batch > len(pictures):
        raise PaumerError(f"batch: {batch} of {len(pictures)} images; give as many images, or a smaller batch")
    evaluation, size = network.evaluation, (int(pictures.shape[-2]), int(pictures.shape[-1]))
    scope = "logits" if evaluation.is_one_pass(size) and evaluation.seen_size(size) == size else "image"
    points = _points(schedules, criterion)
    strategies: list[tuple[Label, Strategy]] = [(point.label, network.strategy_of(point)) for point in points]
    strategies += [(Label(DENSE_AGAIN), Dense()), *floors([strategy for _, strategy in strategies])]
    batches = network.normalize(pictures.to(network.device)).split(batch)
    variants = {
        point: on_batches(callable_of(network, strategy, scope, mode, evaluation, evaluation.precision), batches)
        for point, strategy in strategies
    }
    keep_freed_memory()
    common = (network.device, evaluation.precision, mode, scope, size)
    timed = time_variants(variants, BenchmarkSetting("network", "", *common, batch, len(pictures)), settings)
    rows = pd.DataFrame(timed.rows)
    return rows[[column for column in MEASURED if column in rows]]


def _require_network(network: Any) -> None:
    """Refuse what is no network.

    Raises:
        PaumerError: it is something else.
    """
    if not isinstance(network, Segmenter):
        raise PaumerError(f"network: {type(network).__name__}; give what load, wrap or load_segmenter gives")


def _points(schedules: Schedules, criterion: str | None) -> list[OperatingPoint]:
    """Dense, and the operating points that were asked for, each once."""
    criterion = name_of(criterion, "criterion")
    if isinstance(schedules, str | Schedule) or not isinstance(schedules, Iterable):
        raise PaumerError(f"schedules: {str(schedules)!r} is one; give a list of them")
    return list(
        dict.fromkeys([OperatingPoint(), *(read_point(str(schedule), criterion=criterion) for schedule in schedules)])
    )
