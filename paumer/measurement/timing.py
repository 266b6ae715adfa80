"""Time the variants of one group against its dense variant, and describe them as table rows.

The variants of a group are interleaved in random order: every round times a block of calls of each variant once.
Ratios to dense are taken within a round, so that slow drifts of the machine cancel.
"""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, nan
from typing import Any

import torch

from paumer.config.base import Size
from paumer.config.measuring import Throughput
from paumer.measurement.intervals import ratio
from paumer.strategies.registry import Label
from paumer.system.errors import PaumerError, summary
from paumer.system.machine import OtherLoad, PeakMemory, autocast, device_name, lacks_memory, synchronize
from paumer.system.progress import progress

SETTING = ("device", "dtype", "mode", "scope", "height", "width", "batch")
COLUMNS = [
    *("backbone", "recipe", "strategy", "criterion", "schedule", *SETTING, "windows"),
    *("images_per_s", "speedup", "speedup_low", "speedup_high", "floor_ratio", "floor_low", "floor_high"),
    *("peak_memory_mb", "compile_s", "other_load", "rounds", "status"),
]
ROUND_COLUMNS = ["backbone", "recipe", *SETTING, "images", "variant", "round", "seconds"]
HIDDEN_VARIANTS = ("floor",)  # timed as a reference for others; no rows of their own


@dataclass(frozen=True)
class Variant:
    """An operating point and a call that runs it."""

    point: Label
    run: Callable[[], object]

    @property
    def name(self) -> str:
        """Key of the variant in the rounds of its group."""
        return _name(self.point)


@dataclass(frozen=True)
class BenchmarkSetting:
    """What all variants of one group have in common.

    Attributes:
        backbone: name of the network.
        recipe: its training recipe; empty where speed does not depend on it.
        device: of the network and its inputs.
        dtype: number type.
        mode: `eager`, `compile`, `cuda-graphs` or `onnxruntime`.
        scope: output that is timed: `logits`, `labels`, `patch-logits` or `image`.
        size: height and width of the input.
        batch: inputs per forward pass: windows or whole images; full images in scope `image`.
        inputs: inputs per call.
        windows: inputs per full image, on average.
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
        """Columns of the tables that identify the group."""
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
        """Name of the group, for progress bars and the resume cache."""
        height, width = self.size
        words = [self.recipe, f"batch {self.batch}", f"{height} x {width}", self.dtype, self.mode, self.scope]
        return " ".join([self.backbone, *filter(None, words)])


@dataclass(frozen=True)
class Timing:
    """Measured results of one group: rows of the table, and a row for every variant and round."""

    rows: list[dict[str, Any]]
    rounds: list[dict[str, Any]]


@dataclass(frozen=True)
class WarmupResult:
    """Result of the first calls of a variant.

    Attributes:
        status: `ok`; `oom`: out of memory; `skipped`: not possible in this mode.
        memory: peak memory in MB; NaN where it is not known.
        compile_seconds: first call minus second call; NaN where nothing is compiled.
    """

    status: str
    memory: float = nan
    compile_seconds: float = nan


@torch.inference_mode()
def measure(variants: list[Variant], setting: BenchmarkSetting, protocol: Throughput) -> Timing:
    """Time all variants of a group in interleaved rounds; those out of memory get a row without numbers."""
    device, title = setting.device, setting.title()
    with autocast(device, setting.dtype):
        first = {one.name: warm_up(one, setting) for one in progress(variants, title=f"{title}, first calls")}
        fitting = {one.name: one.run for one in variants if first[one.name].status == "ok"}
        load = OtherLoad()
        timed = time_rounds(fitting, device, protocol.rounds, protocol.block_seconds, title)
    common = setting.columns()
    measured = common | {"other_load": load.processors()}
    shown = [variant for variant in variants if variant.point.strategy not in HIDDEN_VARIANTS]
    rows = [measured | _row(variant.point, setting, timed, first[variant.name]) for variant in shown]
    rounds = [
        {**common, "images": setting.images, "variant": name, "round": number, "seconds": seconds}
        for name, values in timed.items()
        for number, seconds in enumerate(values)
    ]
    return Timing(rows, rounds)


def warm_up(variant: Variant, setting: BenchmarkSetting) -> WarmupResult:
    """Run a variant for the first times, which compiles it in the modes that compile."""
    device = setting.device
    try:
        _check_mode(setting)
        compiling = 0.0 if setting.mode == "eager" else time_block(variant.run, device, 1)
        memory = PeakMemory(device)
        running = time_block(variant.run, device, 1)
        seconds = compiling - running if compiling else nan
        # onnxruntime holds on to what its first call allocated, so that the peak of the second says nothing
        return WarmupResult("ok", nan if setting.mode == "onnxruntime" else memory.megabytes(), seconds)
    except Exception as error:  # compilers fail in many ways; the other variants are still worth timing
        if lacks_memory(error):
            torch.cuda.empty_cache()
            return WarmupResult("oom")
        if setting.mode == "eager":
            raise
        print(f"{setting.title()}: {variant.name} left out: {summary(error)}")
        return WarmupResult("skipped")


def time_rounds(
    variants: Mapping[str, Callable[[], object]], device: torch.device, rounds: int, seconds: float, title: str
) -> dict[str, list[float]]:
    """Seconds per call of every variant in every round; a block of calls takes at least `seconds`."""
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


def calibrate(run: Callable[[], object], device: torch.device, seconds: float) -> int:
    """Number of calls of `run` for a block of at least `seconds`; the calls made here also warm it up."""
    run()
    calls, elapsed = 1, 0.0
    while True:
        elapsed = time_block(run, device, calls) * calls
        if elapsed >= seconds:
            return calls
        calls = max(calls + 1, min(10 * calls, ceil(1.1 * calls * seconds / max(elapsed, 1e-9))))


def time_block(run: Callable[[], object], device: torch.device, calls: int) -> float:
    """Seconds per call over a block of `calls`, synchronised at its edges."""
    synchronize(device)
    start = time.perf_counter()
    for _ in range(calls):
        run()
    synchronize(device)
    return (time.perf_counter() - start) / calls


def _check_mode(setting: BenchmarkSetting) -> None:
    """Refuse what a mode cannot do.

    Raises:
        PaumerError: CUDA graphs without CUDA, or onnxruntime in another number type than it is exported in.
    """
    if setting.mode == "cuda-graphs" and setting.device.type != "cuda":
        raise PaumerError("CUDA graphs need a CUDA device")
    if setting.mode == "onnxruntime" and setting.dtype != "float32":
        raise PaumerError(f"onnxruntime runs float32 here, not {setting.dtype}")


def _row(point: Label, setting: BenchmarkSetting, timed: dict[str, list[float]], first: WarmupResult) -> dict[str, Any]:
    """Table row of a variant."""
    seconds, dense = timed.get(_name(point)), timed.get(_name(Label()))
    row: dict[str, Any] = {
        "windows": setting.windows,
        "strategy": point.strategy,
        "criterion": point.criterion,
        "schedule": point.schedule,
        "rounds": len(seconds or ()),
        "status": first.status,
    }
    if not seconds:
        return row
    unknown = (None, None, None)
    speedup, low, high = ratio(dense, seconds) if dense else unknown
    floor = timed.get(_name(Label("floor", "", point.schedule))) if point.strategy == "pause" else None
    floor_ratio, floor_low, floor_high = ratio(seconds, floor) if floor else unknown
    return row | {
        "images_per_s": setting.images / statistics.median(seconds),
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
    return " ".join(filter(None, point))
