"""Stage `throughput`: images/s of every operating point, against dense, in one process.

The scope is `logits`: from images on the device to logits at their resolution. Every table holds dense twice (strategy
`dense-again`, the null variant): where the interval of that ratio leaves out 1, the machine was too noisy.
`floor_ratio` is the time of pausing over the time of the same blocks on tokens already cut.
"""

import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from paumer.config import Throughput
from paumer.data.loading import SegmentationData
from paumer.data.preparation import samples
from paumer.data.transforms import normalize
from paumer.environment import device_name
from paumer.files import write_text
from paumer.measurement.harness import ratio, time_rounds
from paumer.measurement.inputs import input_size, network_settings
from paumer.models.build import build, load_run
from paumer.models.segmenter import Segmenter
from paumer.runtime import autocast, find_device
from paumer.stages import CostSettings
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.floor import Floor
from paumer.strategies.pause import Pause
from paumer.strategies.points import check_points, cost_points

DENSE, NULL = "dense dense", "dense-again dense"


@dataclass(frozen=True)
class Condition:
    """What is the same for all variants of one comparison."""

    batch: int
    dtype: str
    device: torch.device


def throughput(
    settings: CostSettings, manifest: Path, run_folders: dict[str, Path], output: Path, rounds_output: Path
) -> None:
    """Measure every backbone, batch size and number type; write the table and all rounds.

    Args:
        settings: what to measure.
        manifest: `data.json`; real images of its evaluation split are the input.
        run_folders: a trained network for each backbone; one without weights is built where there is none.
        output: the table.
        rounds_output: seconds per forward pass in every round.
    """
    device = find_device(settings.device)
    timing = settings.throughput or Throughput()
    data = SegmentationData(*samples(manifest, settings.split))
    rows: list[dict[str, Any]] = []
    rounds: list[dict[str, Any]] = []
    for backbone in settings.backbones:
        size = input_size(settings.evaluation, data[0][0])
        model = _network(settings, backbone.name, run_folders, len(data.dataset.classes), size).to(device)
        points = cost_points(settings.sweep)
        check_points(points, model.encoder.depth, model.heads.keys())
        grid = itertools.product(timing.dtypes, timing.batches)
        for dtype, batch in grid:
            images = normalize(input_images(data, batch, size), backbone.normalization).to(device)
            condition = Condition(batch, dtype, device)
            timed, memory = _measure(model, images, points, condition, timing)
            common: dict[str, Any] = {
                "backbone": backbone.name,
                "device": device_name(device),
                "dtype": dtype,
                "mode": "eager",
                "scope": "logits",
                "batch": batch,
            }
            rows += _rows(common, points, timed, memory)
            rounds += [
                {**common, "variant": name, "round": number, "seconds": seconds}
                for name, values in timed.items()
                for number, seconds in enumerate(values)
            ]
    write_text(rounds_output, pd.DataFrame(rounds, columns=ROUND_COLUMNS).to_csv(index=False, float_format="%.6g"))
    write_text(output, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, float_format="%.4f"))


COLUMNS = [
    *("backbone", "strategy", "schedule", "device", "dtype", "mode", "scope", "batch", "images_per_s", "speedup"),
    *("speedup_low", "speedup_high", "floor_ratio", "peak_memory_mb", "rounds", "status"),
]
ROUND_COLUMNS = ["backbone", "device", "dtype", "mode", "scope", "batch", "variant", "round", "seconds"]


def input_images(data: SegmentationData, batch: int, size: tuple[int, int]) -> Tensor:
    """`batch` different images of a split, (batch, 3, height, width) uint8, cut to `size` where they are larger."""
    images = [data[index % len(data)][0][..., : size[0], : size[1]] for index in range(batch)]
    return torch.stack(images)


def _network(
    settings: CostSettings, backbone: str, run_folders: dict[str, Path], classes: int, size: tuple[int, int]
) -> Segmenter:
    if backbone in run_folders:
        return load_run(run_folders[backbone])[0]
    described = next(item for item in settings.backbones if item.name == backbone)
    return build(network_settings(settings, described, classes, size), pretrained=False).eval()


@torch.inference_mode()
def _measure(
    model: Segmenter, images: Tensor, points: list[Strategy], condition: Condition, settings: Throughput
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds per forward pass by variant and round, and peak memory in MB; variants out of memory are missing."""
    device = condition.device
    variants: dict[str, Callable[[], object]] = {}
    for point in [*points, *(Floor(point.schedule) for point in points if isinstance(point, Pause))]:
        variants[_name(point)] = partial(model, images, point)
    variants[NULL] = partial(model, images, Dense())
    with autocast(device, condition.dtype):
        memory = {name: _peak_memory(run, device) for name, run in variants.items()}
        fitting = {name: run for name, run in variants.items() if memory[name] is not None}
        title = f"batch {condition.batch} {condition.dtype}"
        timed = time_rounds(fitting, device, settings.rounds, settings.block_seconds, title)
    return timed, {name: value for name, value in memory.items() if value is not None}


def _name(point: Strategy) -> str:
    return f"{point.name} {point.schedule_text}"


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


def _rows(
    common: dict[str, Any], points: list[Strategy], timed: dict[str, list[float]], memory: dict[str, float]
) -> list[dict[str, Any]]:
    """One row per operating point, and the null row."""
    rows = []
    for name in [*(_name(point) for point in points), NULL]:
        strategy, schedule = name.split(" ", 1)
        row = {**common, "strategy": strategy, "schedule": schedule, "rounds": len(timed.get(name, ()))}
        if name not in timed:
            rows.append({**row, "status": "oom"})
            continue
        speedup, low, high = ratio(timed[DENSE], timed[name]) if DENSE in timed else (None, None, None)
        floor = timed.get(f"floor {schedule}")
        row |= {"images_per_s": common["batch"] / statistics.median(timed[name]), "peak_memory_mb": memory[name]}
        row |= {"speedup": speedup, "speedup_low": low, "speedup_high": high, "status": "ok"}
        row["floor_ratio"] = 1 / ratio(floor, timed[name])[0] if floor else None
        rows.append(row)
    return rows
