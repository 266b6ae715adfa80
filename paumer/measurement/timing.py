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
SPEEDUP, FLOOR = ("speedup", "speedup_low", "speedup_high"), ("floor_ratio", "floor_low", "floor_high")
COLUMNS = [
    *("backbone", "recipe", *Label._fields, *SETTING, "windows"),
    *("images_per_s", *SPEEDUP, *FLOOR, "peak_memory_mb", "compile_s", "other_load", "rounds", "status"),
]
ROUND_COLUMNS = ["backbone", "recipe", *SETTING, "images", "variant", "round", "seconds"]
Variants = Mapping[Label, Callable[[], object]]  # what is timed, and a call that runs it
NOT_COMPILED = ("eager", "optimized")  # modes that run as soon as they are called
HIDDEN_VARIANTS = ("floor",)  # timed as a reference for others; no rows of their own


@dataclass(frozen=True)
class BenchmarkSetting:
    """What all variants of one group have in common.

    Attributes:
        backbone: name of the network.
        recipe: its training recipe; empty where speed does not depend on it.
        device: of the network and its inputs.
        dtype: number type.
        mode: `eager`, `optimized`, `compile`, `cuda-graphs` or `onnxruntime`.
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
        names = ("backbone", "recipe", "dtype", "mode", "scope", "batch")
        height, width = self.size
        place = {"device": device_name(self.device), "height": height, "width": width}
        return {name: getattr(self, name) for name in names} | place

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
def measure(variants: Variants, setting: BenchmarkSetting, protocol: Throughput) -> Timing:
    """Time all variants of a group in interleaved rounds; those out of memory get a row without numbers."""
    device, title = setting.device, setting.title()
    with autocast(device, setting.dtype):
        work = progress(variants.items(), title=f"{title}, first calls")
        first = {point: warm_up(point, run, setting) for point, run in work}
        fitting = {point: run for point, run in variants.items() if first[point].status == "ok"}
        load = OtherLoad()
        timed = time_rounds(fitting, device, protocol.rounds, protocol.block_seconds, title)
    common = setting.columns()
    measured = common | {"other_load": load.processors()}
    shown = [point for point in variants if point.strategy not in HIDDEN_VARIANTS]
    rows = [measured | _row(point, setting, timed, first[point]) for point in shown]
    rounds = [
        {**common, "images": setting.images, "variant": _name(point), "round": number, "seconds": seconds}
        for point, values in timed.items()
        for number, seconds in enumerate(values)
    ]
    return Timing(rows, rounds)


def warm_up(point: Label, run: Callable[[], object], setting: BenchmarkSetting) -> WarmupResult:
    """Run a variant for the first times, which compiles it in the modes that compile."""
    device = setting.device
    try:
        _check_mode(setting)
        compiling = 0.0 if setting.mode in NOT_COMPILED else time_block(run, device, 1)
        memory = PeakMemory(device)
        running = time_block(run, device, 1)
        seconds = compiling - running if compiling else nan
        # onnxruntime holds on to what its first call allocated, so that the peak of the second says nothing
        return WarmupResult("ok", nan if setting.mode == "onnxruntime" else memory.megabytes(), seconds)
    except Exception as error:  # compilers fail in many ways; the other variants are still worth timing
        if lacks_memory(error):
            torch.cuda.empty_cache()
            return WarmupResult("oom")
        if setting.mode in NOT_COMPILED:
            raise
        print(f"{setting.title()}: {_name(point)} left out: {summary(error)}")
        return WarmupResult("skipped")


def time_rounds(
    variants: Variants, device: torch.device, rounds: int, seconds: float, title: str
) -> dict[Label, list[float]]:
    """Seconds per call of every variant in every round; a block of calls takes at least `seconds`."""
    work = progress(variants.items(), title=f"{title}, warming up")
    calls = {point: calibrate(run, device, seconds) for point, run in work}
    order = list(variants)
    timed: dict[Label, list[float]] = {point: [] for point in variants}
    shuffle = random.Random(0)
    for _ in progress(range(rounds), title=title):
        shuffle.shuffle(order)
        for point in order:
            timed[point].append(time_block(variants[point], device, calls[point]))
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


def _row(
    point: Label, setting: BenchmarkSetting, timed: Mapping[Label, list[float]], first: WarmupResult
) -> dict[str, Any]:
    """Table row of a variant; what could not be measured is left out."""
    seconds, dense = timed.get(point), timed.get(Label())
    row = point._asdict() | {"windows": setting.windows, "rounds": len(seconds or ()), "status": first.status}
    if not seconds:
        return row
    row["images_per_s"] = setting.images / statistics.median(seconds)
    row |= {"peak_memory_mb": first.memory, "compile_s": first.compile_seconds}
    if dense:
        row |= zip(SPEEDUP, ratio(dense, seconds), strict=True)
    if point.strategy == "pause" and (floor := timed.get(Label("floor", "", point.schedule))):
        row |= zip(FLOOR, ratio(seconds, floor), strict=True)
    return row


def _name(point: Label) -> str:
    """What rounds and messages call a variant."""
    return " ".join(filter(None, point))
