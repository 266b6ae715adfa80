"""Time the variants of one group against its dense variant, and describe them as rows.

Time variants against each other: interleaved in random order, in blocks.

Every round times every variant once; ratios to the reference are taken within a round, so slow drifts of the machine
cancel.

Groups of timings that are finished: a measurement that was killed goes on with the others.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paumer.config import Size, Throughput
from paumer.measurement.intervals import ratio
from paumer.strategies.registry import Label
from paumer.system.errors import PaumerError, summary
from paumer.system.files import read_json, write_json
from paumer.system.machine import OtherLoad, PeakMemory, autocast, device_name, lacks_memory, synchronize
from paumer.system.progress import progress


def calibrate(run: Callable[[], object], device: torch.device, seconds: float) -> int:
    """How often to call `run` for a block of at least `seconds`; the calls made here warm it up."""
    run()
    calls, elapsed = 1, 0.0
    while True:
        elapsed = time_block(run, device, calls) * calls
        if elapsed >= seconds:
            return calls
        calls = max(calls + 1, min(10 * calls, int(np.ceil(1.1 * calls * seconds / max(elapsed, 1e-9)))))


def time_block(run: Callable[[], object], device: torch.device, calls: int) -> float:
    """Seconds per call over a block of `calls`, synchronised at its edges."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        run()
    synchronize(device)
    return (time.perf_counter() - start) / calls


def time_rounds(
    variants: Mapping[str, Callable[[], object]], device: torch.device, rounds: int, seconds: float, title: str
) -> dict[str, list[float]]:
    """Seconds per call of every variant in every round."""
    work = progress(variants.items(), title=f"{title}, warming up")
    calls = {name: calibrate(run, device, seconds) for name, run in work}
    order = list(variants)
    timed: dict[str, list[float]] = {name: [] for name in variants}
    shuffle = random.Random(0)
    for _ in progress(range(rounds), title=title):
        shuffle.shuffle(order)
        for name in order:
            timed[name].append(time_block(variants[name], device, calls[name]))
    return timed


SETTING = ("device", "dtype", "mode", "scope", "height", "width", "batch")
COLUMNS = [
    *("backbone", "recipe", "strategy", "criterion", "schedule", *SETTING, "windows"),
    *("images_per_s", "speedup", "speedup_low", "speedup_high", "floor_ratio", "floor_low", "floor_high"),
    *("peak_memory_mb", "compile_s", "other_load", "rounds", "status"),
]
ROUND_COLUMNS = ["backbone", "recipe", *SETTING, "images", "variant", "round", "seconds"]
DENSE = Label()
UNTABLED = ("floor",)  # variants that only others are compared with


@dataclass(frozen=True)
class Variant:
    """Something to time: what names it in tables, and a call that runs it."""

    point: Label
    run: Callable[[], object]


@dataclass(frozen=True)
class Condition:
    """What is the same for all variants of one group.

    Attributes:
        backbone: name of the network.
        recipe: how it was trained; empty where that does not matter.
        device: where it runs.
        dtype: number type.
        mode: how it runs, `eager`, `compile`, `cuda-graphs` or `onnxruntime`.
        scope: what is timed, `logits`, `labels` or `patch-logits`.
        size: height and width of the input.
        batch: inputs per forward pass: windows, or whole images; full images in scope `image`.
        inputs: inputs per call.
        windows: how many inputs make one full image.
    """

    backbone: str
    recipe: str
    device: torch.device
    dtype: str
    mode: str
    scope: str
    size: Size
    batch: int
    inputs: int
    windows: float = 1.0

    def columns(self) -> dict[str, Any]:
        """As columns of the tables."""
        return {
            "backbone": self.backbone,
            "recipe": self.recipe,
            "device": device_name(self.device),
            "dtype": self.dtype,
            "mode": self.mode,
            "scope": self.scope,
            "height": self.size[0],
            "width": self.size[1],
            "batch": self.batch,
        }

    @property
    def images(self) -> float:
        """Full images per call."""
        return self.inputs / self.windows

    def title(self) -> str:
        """A name for the progress."""
        height, width = self.size
        words = [self.recipe, f"batch {self.batch}", f"{height} x {width}", self.dtype, self.mode, self.scope]
        return " ".join([self.backbone, *filter(None, words)])


@dataclass(frozen=True)
class Timing:
    """The rows of one group: the table's, and one for every timed round."""

    rows: list[dict[str, Any]]
    rounds: list[dict[str, Any]]


@dataclass(frozen=True)
class FirstCall:
    """What the first calls of a variant showed.

    Attributes:
        status: `ok`, `oom` where it does not fit into memory, `skipped` where it cannot run in this mode.
        memory: peak memory in MB; NaN where it is not known.
        compile_seconds: how much longer the first call took than the next; NaN where nothing is compiled.
    """

    status: str
    memory: float = float("nan")
    compile_seconds: float = float("nan")


@torch.inference_mode()
def measure(variants: list[Variant], condition: Condition, settings: Throughput) -> Timing:
    """Time all variants of a group in interleaved rounds; those out of memory get a row without numbers."""
    device = condition.device
    with autocast(device, condition.dtype):
        work = progress(variants, title=f"{condition.title()}, first calls")
        first = {_name(variant.point): first_call(variant, condition) for variant in work}
        fitting = {name: item.run for item in variants if first[name := _name(item.point)].status == "ok"}
        load = OtherLoad()
        timed = time_rounds(fitting, device, settings.rounds, settings.block_seconds, condition.title())
    others = load.processors()
    common = condition.columns() | {"other_load": others}
    rows = [
        common | _row(variant.point, condition, timed, first[_name(variant.point)])
        for variant in variants
        if variant.point.strategy not in UNTABLED
    ]
    rounds = [
        {**condition.columns(), "images": condition.images, "variant": name, "round": number, "seconds": seconds}
        for name, values in timed.items()
        for number, seconds in enumerate(values)
    ]
    return Timing(rows, rounds)


def first_call(variant: Variant, condition: Condition) -> FirstCall:
    """Run a variant for the first times, which compiles it where its mode says so."""
    device = condition.device
    try:
        _check_mode(condition)
        compiling = 0.0 if condition.mode == "eager" else time_block(variant.run, device, 1)
        memory = PeakMemory(device)
        running = time_block(variant.run, device, 1)
        seconds = compiling - running if compiling else float("nan")
        keeps = condition.mode == "onnxruntime"  # it keeps what the first call took
        return FirstCall("ok", float("nan") if keeps else memory.megabytes(), seconds)
    except Exception as error:  # compilers fail in many ways; the other rows are worth having
        if lacks_memory(error):
            torch.cuda.empty_cache()
            return FirstCall("oom")
        if condition.mode == "eager":
            raise
        print(f"{condition.title()}: {_name(variant.point)} left out: {summary(error)}")
        return FirstCall("skipped")


def _check_mode(condition: Condition) -> None:
    """Refuse what a mode cannot do.

    Raises:
        PaumerError: CUDA graphs without CUDA, or onnxruntime in another number type than it is exported in.
    """
    if condition.mode == "cuda-graphs" and condition.device.type != "cuda":
        raise PaumerError("CUDA graphs need a CUDA device")
    if condition.mode == "onnxruntime" and condition.dtype != "float32":
        raise PaumerError(f"onnxruntime runs float32 here, not {condition.dtype}")


def _row(point: Label, condition: Condition, timed: dict[str, list[float]], first: FirstCall) -> dict[str, Any]:
    """The table's row of a variant."""
    name, dense = _name(point), timed.get(_name(DENSE))
    row: dict[str, Any] = {
        "windows": condition.windows,
        "strategy": point.strategy,
        "criterion": point.criterion,
        "schedule": point.schedule,
        "rounds": len(timed.get(name, ())),
        "status": first.status,
    }
    if name not in timed:
        return row
    nothing = (None, None, None)
    speedup, low, high = ratio(dense, timed[name]) if dense else nothing
    floor = timed.get(_name(Label("floor", "", point.schedule))) if point.strategy == "pause" else None
    floor_ratio, floor_low, floor_high = ratio(timed[name], floor) if floor else nothing
    return row | {
        "images_per_s": condition.images / statistics.median(timed[name]),
        "speedup": speedup,
        "speedup_low": low,
        "speedup_high": high,
        "floor_ratio": floor_ratio,
        "floor_low": floor_low,
        "floor_high": floor_high,
        "peak_memory_mb": first.memory,
        "compile_s": first.compile_seconds,
    }


def _name(point: Label) -> str:
    """A variant's name among the rounds."""
    return " ".join(filter(None, point))


class Finished:
    """The timings of finished groups, in a file until the tables are written.

    What is compared is timed within a group, so that an interruption between two groups changes no ratio. A file of
    other code, settings, weights or images, or of another machine, counts for nothing.
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

    def take(self, condition: Condition) -> Timing | None:
        """What was timed under a condition; None where nothing was."""
        found = self.groups.get(condition.title())
        return None if found is None else Timing(**found)

    def keep(self, condition: Condition, timing: Timing) -> Timing:
        """Store what was timed under a condition; give it back."""
        self.groups[condition.title()] = asdict(timing)
        write_json(self.path, {"made_by": self.made_by, "groups": self.groups})
        return timing

    def remove(self) -> None:
        """Once all is written elsewhere."""
        self.path.unlink(missing_ok=True)
