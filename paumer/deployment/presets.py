"""Operating points of a trained network whose accuracy and speed have been measured. Imports no torch."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paumer.config import Section
from paumer.reporting.frames import at_largest_batch, read_main
from paumer.strategies.criteria import CONTROLS
from paumer.strategies.registry import OperatingPoint, operating_point
from paumer.system.errors import PaumerError
from paumer.system.files import read_json

TUNED = "tune.json"  # where `paumer tune --output` may put its result, in the folder of the run
BELOW = 0.99  # of a speed-up that counts as met


class Preset(Section):
    """An operating point and what was measured of it; None: not measured.

    Attributes:
        miou: in points, mean over the seeds.
        drop: in points, below the network trained and run without pausing, or below itself where `paumer tune` says so.
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
        return (
            OperatingPoint()
            if self.strategy == "dense"
            else operating_point(self.strategy, self.criterion, self.schedule)
        )

    def without_speed(self) -> "Preset":
        """The same, without what a device had to do with."""
        return self.model_copy(update={"images_per_s": None, "batch": None, "speedup": None})


def known_presets(folder: Path, run: dict[str, Any]) -> list[Preset]:
    """What the result of `paumer tune` in the folder of a run, and the tables of its experiment, say of it."""
    found = tuned(folder)
    experiments = [parent.parent for parent in folder.resolve().parents if parent.name == "runs"]
    for main in (experiment / "tables" / "main.csv" for experiment in experiments[:1]):
        if main.is_file() and not run.get("variant"):  # the tables know no ablations
            found += table_presets(main, run)
    return found


def tuned(folder: Path) -> list[Preset]:
    """What the result of `paumer tune` in the folder of a network says of it; nothing where there is none."""
    path = folder / TUNED
    return tuned_presets(path) if path.is_file() else []


def table_presets(main: Path, run: dict[str, Any]) -> list[Preset]:
    """The operating points of a run's backbone and recipe in the main table, at the largest batch; no controls."""
    table = at_largest_batch(read_main(main))
    own = (table["backbone"] == run["backbone"]) & (table["recipe"] == run["recipe"])
    rows = table[own & ~table["criterion"].isin(CONTROLS)].to_dict("records")
    machine = main.parents[1] / "machine.json"
    device = (
        f", {read_json(machine, environment=dict)['environment'].get('device', 'unknown device')}"
        if machine.is_file()
        else ""
    )
    return [
        Preset(
            **{name: row[name] for name in ("strategy", "criterion", "schedule")},
            **{name: _number(row[name]) for name in ("miou", "drop", "gmac", "images_per_s", "speedup")},
            batch=int(row["batch"]),
            source=f"tables of the experiment{device}",
        )
        for row in rows
    ]


def tuned_presets(path: Path) -> list[Preset]:
    """The operating points that `paumer tune` chose and measured.

    Raises:
        PaumerError: the file is none of its results.
    """
    content = read_json(path)
    try:
        timed, unpaused, criterion = content["timed"], content["unpaused"], content["criterion"]
        rows = {row["schedule"]: row for row in [content, *content["finalists"]]}
        return [
            Preset(
                strategy=row["strategy"],
                criterion=criterion if "pause" in row["strategy"] else "",
                schedule=schedule,
                gmac=row["gmac_ratio"] * unpaused["gmac"] * timed.get("windows", 1),
                batch=timed["batch"],
                source=f"paumer tune, split {content['split']}, {timed['device']}",
                **{name: row[name] for name in ("miou", "drop", "images_per_s", "speedup")},
            )
            for schedule, row in rows.items()
        ]
    except (KeyError, TypeError):
        raise PaumerError(f"{path}: no result of `paumer tune --output`; write it again") from None


def choose_preset(presets: Sequence[Preset], speedup: float, name: str | Path) -> Preset:
    """The most accurate operating point that is so many times as fast as dense.

    Args:
        presets: those that are known.
        speedup: how many times as fast.
        name: of the network, as the user gave it.

    Raises:
        PaumerError: none is known.
    """
    timed = [preset for preset in presets if preset.speedup is not None and preset.strategy != "dense"]
    fast = [preset for preset in timed if (preset.speedup or 0) >= BELOW * speedup]
    if fast:
        return max(fast, key=lambda preset: -math.inf if preset.miou is None else preset.miou)
    most = max(timed, key=lambda preset: preset.speedup or 0, default=None)
    known = "" if most is None else f" (the most is {most.speedup:.2f}, of {most.schedule})"
    kept = f" --output {Path(name) / TUNED}" if Path(name).expanduser().is_dir() else ""  # `demo` has none of its own
    raise PaumerError(
        f"--speedup {speedup:g}: no operating point of {name} is known to be that fast{known}; find one with `paumer "
        f"tune {name} --data DATA.json --speedup {speedup:g}{kept}`, or name a --schedule"
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
