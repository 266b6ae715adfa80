"""A trained network on the images that a schedule is chosen on: its mIoU, multiply-accumulates and speed."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from paumer.config.runs import EvaluateSettings
from paumer.data.loading import SegmentationData
from paumer.data.preparation import samples
from paumer.deployment.settings import TuneSettings
from paumer.deployment.tuning.search import UNPAUSED, Reduction, Speed
from paumer.evaluation.evaluate import evaluate_split, mean_iou
from paumer.measurement.modes import callable_of
from paumer.measurement.throughput import evenly, input_images, input_size, mean_windows
from paumer.measurement.timing import BenchmarkSetting, Variant, measure
from paumer.models.build import load_run, require_classes
from paumer.models.encoder import block_macs
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Strategy
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import DENSE_AGAIN, Label, build_strategy
from paumer.system.errors import PaumerError
from paumer.system.files import read_json
from paumer.system.machine import find_device

SCOPE, MODE = "logits", "eager"  # as the main tables show speed


class Bench:
    """Scores, counts and times reductions of one network.

    Attributes:
        blocks: the blocks after which it can pause: those with a head that others follow.
        images: how many images schedules are scored on, at most.
        size: height and width of the input that is timed.
        windows: how many such inputs make an image, on average.
        unpaused_macs: multiply-accumulates of one timed input in the unpaused network.
        unpaused_per_s: its images/s when it was last timed.
        noise: by which share the unpaused network, timed twice, has differed from itself at most.

    Raises:
        PaumerError: the run or the split is not there, or the network has no head to pause by.
    """

    def __init__(self, settings: TuneSettings, manifest: Path, run_folder: Path) -> None:
        model, self.run = load_run(run_folder)
        self.blocks = pausing_blocks(model, f"{run_folder}: recipe {self.run['recipe']}")
        self.settings, self.device = settings, find_device(settings.device)
        self.model = model.to(self.device)
        self.data = _data(manifest, settings.split)
        require_classes(model, self.data.dataset.classes, run_folder)
        self.images = min(settings.images or len(self.data), len(self.data))
        self.size = input_size(settings.evaluation, self.data[0][0])
        self.windows = mean_windows(settings.evaluation, self.data)
        self.unpaused_macs = self._macs(UNPAUSED)
        self.unpaused_per_s, self.noise = 0.0, 0.0
        self._scores: dict[tuple[Reduction, int], float] = {}

    def score(self, reductions: Sequence[Reduction], images: int) -> list[float]:
        """mIoU of reductions on so many images, spread evenly over the split; in one sweep, each once."""
        new = [reduction for reduction in dict.fromkeys(reductions) if (reduction, images) not in self._scores]
        if new:
            settings = EvaluateSettings(device=self.settings.device, evaluation=self.settings.evaluation)
            chosen = [self.data.samples[place] for place in evenly(len(self.data), images)]
            data = SegmentationData(self.data.dataset, chosen)
            results = evaluate_split(self.model, data, [self._strategy(one) for one in new], settings)
            for reduction, result in zip(new, results, strict=True):
                self._scores[reduction, images] = mean_iou(result.matrix)
        return [self._scores[reduction, images] for reduction in reductions]

    def drops(self, reductions: Sequence[Reduction]) -> list[float]:
        """By how many points mIoU falls below the unpaused network's, on all images."""
        unpaused, *reduced = self.score([UNPAUSED, *reductions], self.images)
        return [unpaused - miou for miou in reduced]

    def macs(self, reduction: Reduction) -> float:
        """Multiply-accumulates of one timed input, as a share of the unpaused network's."""
        return self._macs(reduction) / self.unpaused_macs

    def time(self, reductions: Sequence[Reduction], longer: int = 1) -> list[Speed]:
        """Time reductions interleaved with the unpaused network, twice.

        Args:
            reductions: what to time.
            longer: how many times as many rounds as usual.

        Raises:
            PaumerError: a batch does not fit into the device's memory.
        """
        settings = self.settings
        points = [(Label(), UNPAUSED), (Label(DENSE_AGAIN), UNPAUSED)]
        points += [(reduction.point(settings.criterion).label, reduction) for reduction in reductions]
        images = self.model.normalize(input_images(self.data, settings.batch, self.size).to(self.device))
        runs = [callable_of(self.model, self._strategy(reduction), SCOPE, MODE) for _, reduction in points]
        variants = [Variant(point, partial(run, images)) for (point, _), run in zip(points, runs, strict=True)]
        common = (self.device, settings.evaluation.precision, MODE, SCOPE, self.size, settings.batch, settings.batch)
        setting = BenchmarkSetting(self.run["backbone"], "", *common, self.windows)
        timing = settings.throughput.model_copy(update={"rounds": longer * settings.throughput.rounds})
        rows = measure(variants, setting, timing).rows
        if any(row["status"] != "ok" for row in rows):
            raise PaumerError(f"--batch {settings.batch}: does not fit into the memory of this device; lower it")
        unpaused, again, *reduced = [
            Speed(row["images_per_s"], row["speedup"], row["speedup_low"], row["speedup_high"]) for row in rows
        ]
        self.unpaused_per_s = unpaused.images_per_s
        self.noise = max(self.noise, abs(again.speedup - 1))
        return reduced

    def _macs(self, reduction: Reduction) -> float:
        height, width = self.model.seen_grid(*self.size, reduction.scale)
        return schedule_macs(self.model, height * width, reduction.schedule)

    def _strategy(self, reduction: Reduction) -> Strategy:
        return build_strategy(reduction.point(self.settings.criterion))


def pausing_blocks(model: Segmenter, name: str) -> list[int]:
    """The blocks with an auxiliary head that others follow.

    Raises:
        PaumerError: there is none.
    """
    blocks = [int(block) for block in model.heads if int(block) < model.encoder.depth]
    if not blocks:
        raise PaumerError(
            f"{name} has no auxiliary head before its last block, which pausing reads; train recipe paumer "
            "(or multi-exit) and name its folder"
        )
    return blocks


def schedule_macs(model: Segmenter, patches: int, schedule: Schedule) -> float:
    """Multiply-accumulates of one image of so many patches under pausing, as a sweep counts them."""
    encoder, running, left = model.encoder, patches, schedule.running(patches)
    modules: Any = model
    total = encoder.embed_macs(patches) + modules.decoder.macs(patches)
    for number, block in enumerate(model.blocks, start=1):
        total += block_macs(block, encoder.prefix + running, encoder.prefix + running)
        if number in left:
            head = modules.heads[str(number)]
            adapting = head.adapter.macs(running, patches) if head.adapter else 0
            total += head.macs(running) + adapting
            running = left[number]
    return float(total)


def _data(manifest: Path, split: str) -> SegmentationData:
    """A split that the manifest describes."""
    known = read_json(manifest, splits=dict)["splits"]
    if split not in known:
        raise PaumerError(f"--split {split}: {manifest} describes {', '.join(known)}; name one of them")
    return SegmentationData(*samples(manifest, split))
