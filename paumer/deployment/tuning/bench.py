"""A trained network on the images that a schedule is chosen on: its mIoU, multiply-accumulates and speed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paumer.data.loading import SegmentationData, evenly
from paumer.data.manifest import samples
from paumer.deployment.presets import TunedPoint
from paumer.deployment.settings import TuneSettings
from paumer.deployment.tuning.search import UNPAUSED, scale_of, schedule_of
from paumer.evaluation.evaluate import evaluate_split, mean_iou
from paumer.measurement.modes import callable_of, on_batches
from paumer.measurement.throughput import input_images, input_size, mean_windows
from paumer.measurement.timing import BenchmarkSetting, measure
from paumer.models.blocks import block_macs
from paumer.models.build import load_run, require_classes
from paumer.models.segmenter import Segmenter
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import DENSE_AGAIN, Label, OperatingPoint, build_strategy
from paumer.system.errors import PaumerError
from paumer.system.files import read_json
from paumer.system.machine import find_device

SCOPE, MODE = "logits", "eager"  # as the main tables show speed


class Bench:
    """Scores, counts and times operating points of one network.

    Attributes:
        blocks: the blocks after which it can pause: those with a head and a next block.
        images: how many images schedules are scored on, at most.
        size: height and width of the input that is timed.
        windows: how many such inputs make an image, on average.
        unpaused_macs: multiply-accumulates of one timed input in the unpaused network.
        unpaused_per_s: its images/s when it was last timed.
        noise: largest deviation of the unpaused network from itself, timed twice, as a share.

    Raises:
        PaumerError: the run or the split is missing, or the network has no head to pause by.
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
        self._scores: dict[tuple[OperatingPoint, int], float] = {}

    def score(self, points: Sequence[OperatingPoint], images: int) -> list[float]:
        """mIoU on a number of images, spread evenly over the split; one sweep over the points not scored before."""
        new = [point for point in dict.fromkeys(points) if (point, images) not in self._scores]
        if new:
            chosen = [self.data.samples[place] for place in evenly(len(self.data), images)]
            data = SegmentationData(self.data.dataset, chosen)
            results = evaluate_split(self.model, data, list(map(build_strategy, new)), self.settings.evaluation)
            for point, result in zip(new, results, strict=True):
                self._scores[point, images] = mean_iou(result.matrix)
        return [self._scores[point, images] for point in points]

    def drops(self, points: Sequence[OperatingPoint]) -> list[float]:
        """Points of mIoU below the unpaused network, on all images."""
        unpaused, *reduced = self.score([UNPAUSED, *points], self.images)
        return [unpaused - miou for miou in reduced]

    def macs(self, point: OperatingPoint) -> float:
        """Multiply-accumulates of one timed input, as a share of the unpaused network's."""
        return self._macs(point) / self.unpaused_macs

    def time(self, points: Sequence[OperatingPoint], longer: int = 1) -> list[TunedPoint]:
        """Time operating points, interleaved with the unpaused network, which is timed twice.

        Args:
            points: what to time.
            longer: factor for the number of rounds.

        Returns:
            What was timed, without its mIoU.

        Raises:
            PaumerError: a batch does not fit into the device's memory.
        """
        settings, protocol = self.settings, self.settings.throughput
        images = self.model.normalize(input_images(self.data, settings.batch, self.size).to(self.device))
        timed = {Label(): UNPAUSED, Label(DENSE_AGAIN): UNPAUSED} | {point.label: point for point in points}
        variants = {
            label: on_batches(callable_of(self.model, build_strategy(point), SCOPE, MODE), [images])
            for label, point in timed.items()
        }
        common = (self.device, settings.evaluation.precision, MODE, SCOPE, self.size, settings.batch, settings.batch)
        setting = BenchmarkSetting(self.run["backbone"], "", *common, self.windows)
        measured = measure(variants, setting, protocol.model_copy(update={"rounds": longer * protocol.rounds}))
        rows = dict(zip(timed, measured.rows, strict=True))
        if any(row["status"] != "ok" for row in rows.values()):
            raise PaumerError(f"--batch {settings.batch}: does not fit into the memory of this device; lower it")
        self.unpaused_per_s = rows[Label()]["images_per_s"]
        self.noise = max(self.noise, abs(rows[Label(DENSE_AGAIN)]["speedup"] - 1))
        return [TunedPoint(**rows[point.label], gmac_ratio=self.macs(point)) for point in points]

    def scored(self, timed: Sequence[TunedPoint]) -> list[TunedPoint]:
        """What was timed, with its mIoU on all images."""
        unpaused, *reduced = self.score([UNPAUSED, *(one.point for one in timed)], self.images)
        return [
            one.model_copy(update={"miou": miou, "drop": unpaused - miou})
            for one, miou in zip(timed, reduced, strict=True)
        ]

    def unpaused(self) -> TunedPoint:
        """The network without pausing."""
        alone = {"images_per_s": self.unpaused_per_s, "speedup": 1.0, "speedup_low": 1.0, "speedup_high": 1.0}
        [point] = self.scored([TunedPoint(**alone, gmac_ratio=1.0)])
        return point

    def _macs(self, point: OperatingPoint) -> float:
        height, width = self.model.seen_grid(*self.size, scale_of(point))
        return schedule_macs(self.model, height * width, schedule_of(point))


def pausing_blocks(model: Segmenter, name: str) -> list[int]:
    """The blocks with an auxiliary head that others follow.

    Raises:
        PaumerError: there is none.
    """
    blocks = model.pausing_blocks
    if not blocks:
        raise PaumerError(
            f"{name} has no auxiliary head before its last block, which pausing reads; train recipe paumer "
            "(or multi-exit) and name its folder"
        )
    return blocks


def schedule_macs(model: Segmenter, patches: int, schedule: Schedule) -> float:
    """Multiply-accumulates of one image under pausing, predicted without running it; equal to what a sweep counts."""
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
