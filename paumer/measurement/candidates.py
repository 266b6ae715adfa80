"""Stage `candidates`: parameters of every method for the same speed-ups.

Of each family of a method's schedules a few members are timed on this device, interleaved with dense. Between them time
is interpolated along the amount that is saved, which gives the member that is as fast as asked for. Of the families
that reach a speed-up as many are tried for one method as for another.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from paumer.config.measuring import Method
from paumer.config.network import Backbone
from paumer.config.runs import CandidateSettings
from paumer.data.loading import SegmentationData, evenly
from paumer.data.manifest import samples
from paumer.measurement.durations import ROUNDS
from paumer.measurement.modes import callable_of, on_batches
from paumer.measurement.throughput import Input, input_images, inputs_of, untrained
from paumer.measurement.timing import BenchmarkSetting, measure
from paumer.models.segmenter import Segmenter
from paumer.strategies.families import Family
from paumer.strategies.registry import Label, OperatingPoint, check_criterion, families_of, operating_point, recipes_of
from paumer.system.errors import PaumerError
from paumer.system.files import require_writable, write_text
from paumer.system.machine import find_device

METHOD = ["backbone", "recipe", "strategy", "criterion"]
COLUMNS = [*METHOD, "schedule", "asked_speedup", "predicted"]


def candidates(settings: CandidateSettings, manifest: Path, output: Path) -> None:
    """Write the operating points that are tried for each method and speed-up, columns `COLUMNS`.

    Networks are untrained: at a fixed schedule time depends on shapes alone.

    Raises:
        PaumerError: a file is unusable, or cannot be written.
    """
    require_writable(output, ".csv")
    device, data = find_device(settings.device), SegmentationData(*samples(manifest, settings.split))
    rows = []
    for backbone in settings.main_backbones:
        seen = inputs_of(settings, backbone, data)[0]
        model, _ = untrained(settings, backbone, len(data.dataset.classes), seen.size)
        images = model.normalize(input_images(data, max(settings.throughput.batches), seen.size)).to(device)
        bench = _Bench(settings, backbone, model.to(device), images, seen)
        for strategy in dict.fromkeys(method.strategy for method in settings.comparison.methods):
            curves = bench.curves(strategy)
            for method in settings.comparison.methods:
                if method.strategy == strategy:
                    rows += _rows(settings, backbone, method, curves)
    write_text(output, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, float_format="%.4f"))


class Curve:
    """Time of a family of schedules, as a share of dense, over the amount that is saved."""

    def __init__(self, family: Family, speedups: Sequence[float]) -> None:
        """Interpolate.

        Args:
            family: the schedules.
            speedups: images/s over those of dense, at the amounts of the family; NaN where one does not run.
        """
        self.family = family
        measured = [(amount, 1 / value) for amount, value in zip(family.amounts, speedups, strict=True) if value > 0]
        self.amounts, times = [0.0, *(amount for amount, _ in measured)], [1.0, *(time for _, time in measured)]
        self.times = np.minimum.accumulate(times)  # saving more never takes more time

    def schedule_at(self, speedup: float) -> tuple[str, float] | None:
        """The schedule that is predicted to reach a speed-up, and what it is predicted to reach; None: none does."""
        if self.times[-1] > 1 / speedup:
            return None
        if self.family.choices:
            place = int(np.argmax(self.times <= 1 / speedup))
            return self.family.at(self.amounts[place]), 1 / self.times[place]
        amount = float(np.interp(-1 / speedup, -self.times, self.amounts))
        return self.family.at(amount), speedup


class _Bench:
    """Times schedules of one network, as the main table shows speed."""

    def __init__(
        self, settings: CandidateSettings, backbone: Backbone, model: Segmenter, images: Tensor, seen: Input
    ) -> None:
        self.settings, self.backbone, self.model, self.images, self.seen = settings, backbone, model, images, seen
        self.depth, self.heads = model.encoder.depth, model.pausing_blocks

    def curves(self, strategy: str) -> list[Curve]:
        """Time every family of a strategy, all in the same rounds."""
        families = families_of(strategy, self.heads, self.depth)
        texts = {family: [family.at(amount) for amount in family.amounts] for family in families}
        points = {text: self._possible(strategy, text) for every in texts.values() for text in every}
        speedups = self._time({text: point for text, point in points.items() if point is not None}, strategy)
        return [Curve(family, [speedups.get(text, math.nan) for text in every]) for family, every in texts.items()]

    def _possible(self, strategy: str, text: str) -> OperatingPoint | None:
        """The operating point of a schedule; None where its numbers are not possible, or this network cannot run it."""
        try:
            point = operating_point(strategy, "", text)
            point.check_depth(self.depth)
        except PaumerError:
            return None
        return None if point.built.skip(self.model) else point

    def _time(self, points: dict[str, OperatingPoint], strategy: str) -> dict[str, float]:
        """Speed-up of every schedule."""
        protocol = self.settings.throughput
        mode, scope, dtype, batch = protocol.modes[0], protocol.scopes[0], protocol.dtypes[0], len(self.images)
        setting = BenchmarkSetting(
            self.backbone.name,
            strategy,
            self.images.device,
            dtype,
            mode,
            scope,
            self.seen.size,
            batch,
            batch,
        )
        named = {Label(): OperatingPoint()} | {Label(strategy, "", text): point for text, point in points.items()}
        variants = {
            label: on_batches(callable_of(self.model, point.built, scope, mode, dtype=dtype), [self.images])
            for label, point in named.items()
        }
        timed = measure(variants, setting, protocol.model_copy(update={"rounds": min(ROUNDS, protocol.rounds)}))
        return {row["schedule"]: row["speedup"] for row in timed.rows if row["status"] == "ok"}


def _rows(
    settings: CandidateSettings, backbone: Backbone, method: Method, curves: Sequence[Curve]
) -> list[dict[str, object]]:
    """What is tried of a method: members of as many of its families as are asked for, of those that are fast enough."""
    recipes = method.recipes or [name for name in recipes_of(method.strategy) if name in settings.recipes]
    criteria = method.criteria or (check_criterion(method.strategy, ""),)
    rows: list[dict[str, object]] = []
    for speedup in settings.comparison.speedups:
        reached = [found for curve in curves if (found := curve.schedule_at(speedup)) is not None]
        for schedule, predicted in [reached[place] for place in evenly(len(reached), settings.comparison.candidates)]:
            rows += [
                dict(
                    zip(
                        COLUMNS,
                        (backbone.name, recipe, method.strategy, criterion, schedule, speedup, predicted),
                        strict=True,
                    )
                )
                for recipe in recipes
                for criterion in criteria
            ]
    return rows
