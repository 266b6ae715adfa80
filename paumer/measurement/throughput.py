"""Stage `throughput`: images/s of every operating point, against dense, in one process.

The scope is `logits`: from images on the device to logits at their resolution. Two groups are timed for each backbone,
batch size and number type:

- operating points of fixed cost, all on one network, over one batch;
- for each recipe the operating points whose cost depends on the image, on that recipe's network, over many different
  images, batch by batch; their rows name recipe and criterion.

Each group holds dense twice (the second time as `dense-again`, the null variant): where the interval of that ratio
leaves out 1, the machine was too noisy. `floor_ratio` is the time of pausing over the time of the same blocks on tokens
already cut.
"""

import itertools
from functools import partial
from pathlib import Path

import pandas as pd
from torch import Tensor

from paumer.config import Backbone, Size, Throughput
from paumer.data.loading import SegmentationData
from paumer.data.preparation import samples
from paumer.data.transforms import normalize
from paumer.files import write_text
from paumer.measurement.inputs import Points, input_images, input_size, untrained
from paumer.measurement.timing import COLUMNS, ROUND_COLUMNS, Condition, Timing, Variant, measure
from paumer.models.build import load_run
from paumer.models.segmenter import Segmenter
from paumer.registry import SMALLER_BACKBONE, Point
from paumer.runtime import find_device
from paumer.stages import CostSettings
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.floor import Floor
from paumer.strategies.pause import Pause
from paumer.strategies.points import runnable

NULL = Point("dense-again")
Runs = dict[tuple[str, str], Path]


def throughput(settings: CostSettings, manifest: Path, runs: Runs, output: Path, rounds_output: Path) -> None:
    """Measure every backbone, batch size and number type; write the table and all rounds.

    Args:
        settings: what to measure.
        manifest: `data.json`; real images of its evaluation split are the input.
        runs: folders of trained networks by backbone and recipe; where none of recipe paumer is there, fixed costs
            are timed on a network without trained weights.
        output: the table.
        rounds_output: seconds in every round, for so many `images`.
    """
    device = find_device(settings.device)
    timing = settings.throughput or Throughput()
    data = SegmentationData(*samples(manifest, settings.split))
    size = input_size(settings.evaluation, data[0][0])
    classes = len(data.dataset.classes)
    pictures = input_images(data, max(timing.images, *timing.batches), size)
    timings: list[Timing] = []
    for backbone in settings.studied:
        images = normalize(pictures, backbone.normalization).to(device)
        for dtype, batch in itertools.product(timing.dtypes, timing.batches):
            fixed = _fixed_group(settings, backbone, runs, classes, size, images[:batch])
            condition = Condition(backbone.name, "", batch, batch, dtype, device)
            timings.append(measure(fixed, condition, timing))
            several = max(1, timing.images // batch) * batch
            for recipe in settings.recipes:
                group = _image_group(settings, backbone, recipe, runs, images[:several], batch)
                if group:
                    condition = Condition(backbone.name, recipe, batch, several, dtype, device)
                    timings.append(measure(group, condition, timing))
    rounds = [row for timed in timings for row in timed.rounds]
    write_text(rounds_output, pd.DataFrame(rounds, columns=ROUND_COLUMNS).to_csv(index=False, float_format="%.6g"))
    rows = [row for timed in timings for row in timed.rows]
    write_text(output, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, float_format="%.4f"))


def _fixed_group(
    settings: CostSettings, backbone: Backbone, runs: Runs, classes: int, size: Size, images: Tensor
) -> list[Variant]:
    """Dense, every operating point of fixed cost, floors of pausing, and the controls, over one batch."""
    model, points = _network(settings, backbone, runs, classes, size)
    model.to(images.device)
    variants = [_fixed(Point(point.strategy, "", point.schedule), model, images, runs_it) for point, runs_it in points]
    for control in settings.controls(backbone):
        smaller, _ = untrained(settings, control, classes, size)
        variants.append(_fixed(Point(SMALLER_BACKBONE, "", control.name), smaller.to(images.device), images, Dense()))
    variants.append(_fixed(NULL, model, images, Dense()))
    floors = [Floor(strategy.schedule) for _, strategy in points if isinstance(strategy, Pause)]
    return variants + [_fixed(Point("floor", "", floor.schedule_text), model, images, floor) for floor in floors]


def _fixed(point: Point, model: Segmenter, images: Tensor, strategy: Strategy) -> Variant:
    return Variant(point, partial(model, images, strategy))


def _network(
    settings: CostSettings, backbone: Backbone, runs: Runs, classes: int, size: Size
) -> tuple[Segmenter, Points]:
    """A network that can run every strategy, trained where there is one, and its operating points."""
    if (backbone.name, "paumer") not in runs:
        return untrained(settings, backbone, classes, size)
    model, _ = load_run(runs[backbone.name, "paumer"])
    return model, runnable(model, settings.fixed_points(), backbone.name)


def _image_group(
    settings: CostSettings, backbone: Backbone, recipe: str, runs: Runs, images: Tensor, batch: int
) -> list[Variant]:
    """Dense and the operating points of a recipe whose cost depends on the image, over several batches; or nothing."""
    points = settings.image_points(recipe)
    if not points or (backbone.name, recipe) not in runs:
        return []
    model, _ = load_run(runs[backbone.name, recipe])
    model.to(images.device)
    strategies = runnable(model, points, f"{backbone.name} {recipe}")
    batches = images.split(batch)
    every = [(Point(), Dense()), *strategies, (NULL, Dense())]
    return [Variant(point, partial(_run_all, model, batches, strategy)) for point, strategy in every]


def _run_all(model: Segmenter, batches: tuple[Tensor, ...], strategy: Strategy) -> None:
    for images in batches:
        model(images, strategy)
