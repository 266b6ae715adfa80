"""Measured operating points of a trained network: of `paumer tune`, and of the tables of its experiment.

Imports no torch and no pandas.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from paumer.config.base import Section
from paumer.measurement.budget import Budget, best
from paumer.strategies.criteria import CONTROLS
from paumer.strategies.registry import OperatingPoint, criteria_of, operating_point
from paumer.system.errors import PaumerError
from paumer.system.files import ExperimentFiles, experiment_of, read_json

TUNED = "tune.json"  # result of `paumer tune --output` in the folder of the network
RATE = re.compile(r"images_per_s_b(\d+)")  # column of the main table


class Preset(Section):
    """An operating point and what was measured of it; None: not measured.

    Attributes:
        miou: in points, mean over the seeds.
        drop: in points, below the dense network; in results of `paumer tune` below the same network without pausing.
        gmac: multiply-accumulates of an image.
        images_per_s: whole images a second, in a forward pass of `batch`.
        speedup: over dense.
        source: what measured it.
    """

    strategy: str = "dense"
    criterion: str = ""
    schedule: str = "dense"
    miou: float | None = None
    drop: float | None = None
    gmac: float | None = None
    images_per_s: float | None = None
    batch: int | None = None
    speedup: float | None = None
    source: str = ""

    @property
    def point(self) -> OperatingPoint:
        """The operating point.

        Raises:
            PaumerError: it is not possible.
        """
        if self.strategy == "dense":
            return OperatingPoint()
        return operating_point(self.strategy, self.criterion, self.schedule)

    def without_speed(self) -> "Preset":
        """The same without the numbers that depend on the device."""
        return self.model_copy(update={"images_per_s": None, "batch": None, "speedup": None})


class TunedPoint(Preset, extra="ignore"):
    """An operating point that `paumer tune` timed, interleaved with the unpaused network.

    Attributes:
        speedup: over the unpaused network; `speedup_low` and `speedup_high` are its 95% interval.
        gmac_ratio: multiply-accumulates as a share of the unpaused network's.
    """

    images_per_s: float
    speedup: float
    speedup_low: float | None = None
    speedup_high: float | None = None
    gmac_ratio: float


class Unpaused(Section, extra="ignore"):
    """The network that a tuned one is compared with; GMAC of one timed input."""

    miou: float | None = None
    images_per_s: float | None = None
    gmac: float


class TimedOn(Section, extra="ignore"):
    """How `paumer tune` measured speed: inputs of `size`, of which `windows` make an image."""

    batch: int
    size: tuple[int, int] | None = None
    windows: float = 1.0
    precision: str = ""
    rounds: int | None = None
    noise: float | None = None
    device: str


class TuneResult(TunedPoint):
    """The content of `tune.json`: the operating point that was chosen, from what, and what measured it.

    Attributes:
        unpaused: the same network without pausing.
        finalists: what was measured.
    """

    run: str = ""
    budget: str = ""
    unpaused: Unpaused
    split: str
    images: int | None = None
    images_of_split: int | None = None
    timed: TimedOn
    finalists: tuple[TunedPoint, ...]
    code: dict[str, str] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)

    def presets(self) -> list[Preset]:
        """The operating point that was chosen, and the others that were measured."""
        return [self._preset(point) for point in {point.schedule: point for point in (self, *self.finalists)}.values()]

    def _preset(self, point: TunedPoint) -> Preset:
        criterion = point.criterion or self.criterion  # in old files only the chosen one has it
        known = {name: getattr(point, name) for name in Preset.model_fields}
        return Preset.model_validate(
            known
            | {
                "criterion": criterion if point.strategy != "dense" and criteria_of(point.strategy) else "",
                "gmac": point.gmac_ratio * self.unpaused.gmac * self.timed.windows,
                "batch": self.timed.batch,
                "source": f"paumer tune, split {self.split}, {self.timed.device}",
            }
        )


def known_presets(folder: Path, run: dict[str, Any]) -> list[Preset]:
    """The measured operating points of a run: of `paumer tune`, then of the tables of its experiment."""
    found = tuned(folder)
    try:
        experiment = experiment_of(folder)
    except PaumerError:
        return found
    if experiment.main.is_file() and not run.get("variant"):  # the tables have no ablations
        found += table_presets(experiment, run)
    return found


def tuned(folder: Path) -> list[Preset]:
    """The operating points that `paumer tune` measured, if its result is in the folder of the network.

    Raises:
        PaumerError: the file is not such a result.
    """
    path = folder / TUNED
    if not path.is_file():
        return []
    try:
        return TuneResult.model_validate(read_json(path)).presets()
    except ValidationError:
        raise PaumerError(f"{path}: no result of `paumer tune --output`; write it again") from None


def table_presets(experiment: ExperimentFiles, run: dict[str, Any]) -> list[Preset]:
    """The operating points of a run's backbone and recipe in the main table, without controls.

    Speed is that at the largest batch at which the dense network was timed.

    Raises:
        PaumerError: the table or the record of the machine is damaged.
    """
    machine = read_json(experiment.machine, environment=dict) if experiment.machine.is_file() else None
    device = f", {machine['environment'].get('device', 'unknown device')}" if machine else ""
    try:
        with experiment.main.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file, strict=True) if row["backbone"] == run["backbone"]]
        dense = [row for row in rows if row["recipe"] == row["strategy"] == "dense"]
        timed = [int(found[1]) for row in dense for name in row if (found := RATE.fullmatch(name)) and row[name]]
        batch = max(timed, default=None)
        columns = {name: name for name in ("strategy", "criterion", "schedule", "miou", "drop", "gmac")}
        columns |= {name: f"{name}_b{batch}" for name in ("images_per_s", "speedup") if batch}
        return [
            Preset(
                **{name: row[column] for name, column in columns.items() if row[column]},
                batch=batch,
                source=f"tables of the experiment{device}",
            )
            for row in rows
            if row["recipe"] == run["recipe"] and row["criterion"] not in CONTROLS
        ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error):
        raise PaumerError(f"{experiment.main}: damaged; remove it and run its stage again") from None


def accuracies(presets: Sequence[Preset]) -> dict[OperatingPoint, float]:
    """The mIoU of operating points in points, by what measured the first of them: other images give other figures.

    Dense has what another point has lost, where it was not measured itself.
    """
    scored = [preset for preset in presets if preset.miou is not None and preset.source == presets[0].source]
    found = {preset.point: preset.miou for preset in scored if preset.miou is not None}
    lost = [preset.miou + preset.drop for preset in scored if preset.miou is not None and preset.drop is not None]
    return ({OperatingPoint(): lost[0]} if lost else {}) | found


def choose_preset(presets: Sequence[Preset], speedup: float, name: str | Path) -> Preset:
    """The most accurate of the measured operating points that reach a speed-up over dense.

    Args:
        presets: those that are known.
        speedup: the smallest, up to the tolerance of `Budget`.
        name: of the network, as the user gave it, for the error message.

    Raises:
        PaumerError: none is fast enough.
    """
    timed = [preset for preset in presets if preset.strategy != "dense"]
    if (found := best(timed, Budget(speedup=speedup))) is not None:
        return found
    most = best(timed, Budget())
    known = "" if most is None else f" (the most is {most.speedup:.2f}, of {most.schedule})"
    kept = f" --output {Path(name) / TUNED}" if Path(name).expanduser().is_dir() else ""  # not in the package's demo
    raise PaumerError(
        f"--speedup {speedup:g}: no operating point of {name} is known to be that fast{known}; find one with `paumer "
        f"tune {name} --data DATA.json --speedup {speedup:g}{kept}`, or name a --schedule"
    )
