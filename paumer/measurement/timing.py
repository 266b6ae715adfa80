"""Time the variants of one group against its dense variant, and describe them as rows."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from paumer.config import Throughput
from paumer.environment import device_name
from paumer.measurement.harness import ratio, time_rounds
from paumer.registry import Point
from paumer.runtime import autocast

COLUMNS = [
    *("backbone", "recipe", "strategy", "criterion", "schedule", "device", "dtype", "mode", "scope", "batch"),
    *("images_per_s", "speedup", "speedup_low", "speedup_high", "floor_ratio", "peak_memory_mb", "rounds", "status"),
]
ROUND_COLUMNS = [
    *("backbone", "recipe", "device", "dtype", "mode", "scope", "batch", "images", "variant", "round", "seconds"),
]
DENSE = Point()


@dataclass(frozen=True)
class Variant:
    """Something to time: an operating point and a call that runs it."""

    point: Point
    run: Callable[[], object]


@dataclass(frozen=True)
class Condition:
    """What is the same for all variants of one group.

    Attributes:
        backbone: name of the network.
        recipe: how it was trained; empty where that does not matter.
        batch: images per forward pass.
        images: images per call.
        dtype: number type.
        device: where it runs.
    """

    backbone: str
    recipe: str
    batch: int
    images: int
    dtype: str
    device: torch.device

    def columns(self) -> dict[str, Any]:
        """As columns of the tables."""
        return {
            "backbone": self.backbone,
            "recipe": self.recipe,
            "device": device_name(self.device),
            "dtype": self.dtype,
            "mode": "eager",
            "scope": "logits",
            "batch": self.batch,
        }


@dataclass(frozen=True)
class Timing:
    """The rows of one group: the table's, and one for every timed round."""

    rows: list[dict[str, Any]]
    rounds: list[dict[str, Any]]


@torch.inference_mode()
def measure(variants: list[Variant], condition: Condition, settings: Throughput) -> Timing:
    """Time all variants of a group in interleaved rounds; those out of memory get a row without numbers."""
    device = condition.device
    with autocast(device, condition.dtype):
        memory = {variant.point: _peak_memory(variant.run, device) for variant in variants}
        fitting = {_name(item.point): item.run for item in variants if memory[item.point] is not None}
        title = " ".join(filter(None, [condition.recipe, f"batch {condition.batch}", condition.dtype]))
        timed = time_rounds(fitting, device, settings.rounds, settings.block_seconds, title)
    rows = [
        _row(variant.point, condition, timed, memory[variant.point])
        for variant in variants
        if variant.point.strategy != "floor"
    ]
    rounds = [
        {**condition.columns(), "images": condition.images, "variant": name, "round": number, "seconds": seconds}
        for name, values in timed.items()
        for number, seconds in enumerate(values)
    ]
    return Timing(rows, rounds)


def _row(point: Point, condition: Condition, timed: dict[str, list[float]], memory: float | None) -> dict[str, Any]:
    """The table's row of a variant."""
    name, dense = _name(point), timed.get(_name(DENSE))
    row: dict[str, Any] = {
        **condition.columns(),
        "strategy": point.strategy,
        "criterion": point.criterion,
        "schedule": point.schedule,
        "rounds": len(timed.get(name, ())),
    }
    if name not in timed:
        return row | {"status": "oom"}
    speedup, low, high = ratio(dense, timed[name]) if dense else (None, None, None)
    floor = timed.get(_name(Point("floor", "", point.schedule))) if point.strategy == "pause" else None
    return row | {
        "images_per_s": condition.images / statistics.median(timed[name]),
        "speedup": speedup,
        "speedup_low": low,
        "speedup_high": high,
        "floor_ratio": 1 / ratio(floor, timed[name])[0] if floor else None,
        "peak_memory_mb": memory,
        "status": "ok",
    }


def _name(point: Point) -> str:
    """A variant's name among the rounds."""
    return " ".join(filter(None, [point.strategy, point.criterion, point.schedule]))


def _peak_memory(run: Callable[[], object], device: torch.device) -> float | None:
    """Peak memory of one call in MB (NaN on a CPU, where torch does not tell); None where it does not fit."""
    try:
        if device.type != "cuda":
            run()
            return float("nan")
        torch.cuda.reset_peak_memory_stats(device)
        run()
        return torch.cuda.max_memory_allocated(device) / 2**20
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None
