"""A small synthetic experiment: what the stages before reporting would have written."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paumer.files import write_json
from paumer.reporting.figures import write_figures
from paumer.reporting.page import write_report
from paumer.reporting.tables import write_tables
from paumer.schedule import Schedule

BACKBONES = {"tiny": (60.0, 12.8, 240.0), "small": (68.0, 38.6, 90.0)}  # mIoU, GMAC, images/s of dense
SCHEDULES = ["3:0.2", "3:0.4", "3:0.6", "6:0.4", "3:0.2+6:0.2", "3:0.3+6:0.3"]
EXITS = ["exit:3", "exit:6", "exit:9"]
RECIPES = ["dense", "multi-exit", "paumer"]
CLASSES = ["road", "sidewalk", "building", "pole", "traffic light", "sky", "person", "car"]
SEEDS = (0, 1)
BATCHES = (1, 8)
BLOCKS = 12
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class Measured:
    """Paths of the synthetic measurements."""

    folder: Path
    accuracy: list[Path]
    training: list[Path]
    runs: list[Path]
    flops: Path
    throughput: Path
    bounds: Path
    published: Path
    data: Path


def share(schedule: str) -> float:
    """The share of computation that a schedule leaves."""
    if schedule.startswith("exit:"):
        return int(schedule.removeprefix("exit:")) / BLOCKS
    return 1 - sum(part.fraction * (BLOCKS - part.block) / BLOCKS for part in Schedule.parse(schedule).locations)


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    """Two backbones, three recipes, two seeds, six schedules, two criteria, exits, two batches."""
    return write_measurements(tmp_path)


def write_measurements(folder: Path) -> Measured:
    """Write all inputs of the reporting stage below `folder`."""
    random = np.random.default_rng(0)
    accuracy, training, runs = [], [], []
    for backbone in BACKBONES:
        for recipe in RECIPES:
            for seed in SEEDS:
                run = folder / "runs" / backbone / recipe / f"seed{seed}"
                run.mkdir(parents=True)
                _accuracy(backbone, recipe, seed, random).to_csv(run / "accuracy.csv", index=False)
                _training(random).to_csv(run / "train.csv", index=False)
                write_json(run / "run.json", _run(backbone, recipe, seed))
                accuracy.append(run / "accuracy.csv")
                training.append(run / "train.csv")
                runs.append(run / "run.json")
    paths = {name: folder / f"{name}.csv" for name in ("flops", "throughput", "bounds", "published")}
    _flops().to_csv(paths["flops"], index=False)
    _throughput(random).to_csv(paths["throughput"], index=False)
    _bounds().to_csv(paths["bounds"], index=False)
    _published().to_csv(paths["published"], index=False)
    write_json(folder / "data.json", {"dataset": "scenes", "splits": {"val": {"images": 256}}, "classes": CLASSES})
    return Measured(folder, accuracy, training, runs, **paths, data=folder / "data.json")


def _points(recipe: str) -> list[tuple[str, str, str]]:
    if recipe == "dense":
        return [("dense", "", "dense"), *(("pause", "random", schedule) for schedule in SCHEDULES[:3])]
    paused = [("pause", criterion, schedule) for schedule in SCHEDULES for criterion in ("entropy", "random")]
    return [("dense", "", "dense"), *paused, *(("early-exit", "", schedule) for schedule in EXITS)]


def _accuracy(backbone: str, recipe: str, seed: int, random: np.random.Generator) -> pd.DataFrame:
    rows = []
    start = {"dense": 0.0, "multi-exit": -0.5, "paumer": -0.2}[recipe] + random.normal(0, 0.15)
    for strategy, criterion, schedule in _points(recipe):
        saved = 1 - share(schedule) if strategy != "dense" else 0
        weight = {"entropy": 5, "random": 22, "": 45}[criterion] * {"dense": 2, "multi-exit": 1.5, "paumer": 1}[recipe]
        miou = BACKBONES[backbone][0] + start - weight * saved**1.6 + random.normal(0, 0.05)
        ious = {f"iou_{name}": miou + random.normal(0, 3 * saved + 1e-3) - index for index, name in enumerate(CLASSES)}
        key = {"experiment": "scenes", "backbone": backbone, "decoder": "linear", "recipe": recipe}
        point = {"strategy": strategy, "criterion": criterion, "schedule": schedule, "seed": seed, "miou": miou}
        rows.append(key | point | {"pixel_accuracy": 90.0} | ious | {"iou_train": np.nan, "images": 256})
    return pd.DataFrame(rows)


def _variants() -> list[tuple[str, str]]:
    return [
        ("dense", "dense"),
        *(("pause", schedule) for schedule in SCHEDULES),
        *(("early-exit", schedule) for schedule in EXITS),
    ]


def _flops() -> pd.DataFrame:
    rows = []
    for backbone, (_, dense, _) in BACKBONES.items():
        for strategy, schedule in _variants():
            total = dense * (share(schedule) if strategy != "dense" else 1)
            size = {"height": 96, "width": 192, "gmac_total": total, "gmac_encoder": 0.95 * total}
            rows.append(
                {"backbone": backbone, "decoder": "linear", "strategy": strategy, "schedule": schedule}
                | size
                | {"gmac_decoder": 0.04 * total, "gmac_heads": 0.01 * total}
            )
    return pd.DataFrame(rows)


def _throughput(random: np.random.Generator) -> pd.DataFrame:
    """The null variant is quiet at batch 1 and noisy at batch 8, where dense and pausing `small` do not fit."""
    rows = []
    for dtype, backbone, batch in product(("float32", "bfloat16"), BACKBONES, BATCHES):
        for strategy, schedule in [*_variants(), ("dense-again", "dense")]:
            key = {"backbone": backbone, "strategy": strategy, "schedule": schedule, "device": "test device"}
            setting = {"dtype": dtype, "mode": "eager", "scope": "input to logits", "batch": batch}
            numbers = _timing(BACKBONES[backbone][2], strategy, schedule, batch, random)
            full = backbone == "small" and batch == 8
            if full:
                fits = strategy == "early-exit"
                numbers = {
                    name: value if fits and name == "images_per_s" else np.nan for name, value in numbers.items()
                }
            rows.append(key | setting | numbers | {"status": "oom" if full and strategy != "early-exit" else "ok"})
    return pd.DataFrame(rows)


def _timing(dense: float, strategy: str, schedule: str, batch: int, random: np.random.Generator) -> dict[str, float]:
    if strategy in ("dense", "dense-again"):
        speedup = 1.05 if strategy == "dense-again" and batch == 8 else 1.0
    else:
        speedup = (1 + random.normal(0, 0.01)) / (1 - 0.9 * (1 - share(schedule)))
    width = 0.0 if strategy == "dense" else 0.02
    return {
        "images_per_s": dense * speedup * (1 + 0.1 * np.log2(batch)),
        "speedup": speedup,
        "speedup_low": speedup - width,
        "speedup_high": speedup + width,
        "floor_ratio": 1.06 if strategy == "pause" else np.nan,
        "peak_memory_mb": 100.0 * batch,
        "rounds": 15,
    }


def _bounds() -> pd.DataFrame:
    rows = [
        ("scenes", backbone, bound, value)
        for backbone in BACKBONES
        for bound, value in (("patch ceiling", 88.25), ("linear on raw patches", 21.5))
    ]
    return pd.DataFrame(rows, columns=["experiment", "backbone", "bound", "miou"])


def _published() -> pd.DataFrame:
    rows = [
        ("PAUMER abstract", "paumer", "cityscapes", -0.65, 1.5, "points or percent not stated"),
        ("PAUMER abstract", "paumer", "ade20k", -4.6, 1.5, ""),
        ("another README", "dense", "ade20k", np.nan, np.nan, ""),
    ]
    return pd.DataFrame(rows, columns=["source", "method", "dataset", "miou_change", "speedup", "timing_note"])


def _training(random: np.random.Generator) -> pd.DataFrame:
    steps = np.arange(1, 601)
    loss = 2 * np.exp(-steps / 150) + 0.2 + random.normal(0, 0.02, len(steps))
    columns = {"step": steps, "epoch": steps / 100, "learning_rate": 1e-4, "loss": loss, "final_loss": loss * 0.7}
    return pd.DataFrame(columns | {"auxiliary_loss": loss * 0.3, "images_per_s": 50.0})


def _run(backbone: str, recipe: str, seed: int) -> dict:
    return {
        "backbone": backbone,
        "recipe": recipe,
        "seed": seed,
        "steps": 600,
        "epochs": 6,
        "wall_seconds": 372.5,
        "final_loss": 0.21,
        "parameters": 5_700_000,
        "code": {"version": "0.1.0", "revision": "abc1234"},
        "environment": {"python": "3.11.2", "device": "test device", "threads": "2" if seed else "1"},
        "settings": {"batch": 8, "recipe": recipe},
    }


@dataclass(frozen=True)
class Reported:
    """A synthetic experiment with its tables, figures and page; only to be read."""

    measured: Measured
    tables: Path
    figures: Path
    page: Path


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """The whole reporting stage, run once."""
    measured = write_measurements(tmp_path_factory.mktemp("reported"))
    return report(measured)


def report(measured: Measured) -> Reported:
    """Run the whole reporting stage."""
    folder = measured.folder
    result = Reported(measured, folder / "tables", folder / "figures", folder / "report.html")
    write_tables(
        measured.accuracy, measured.flops, measured.throughput, measured.bounds, measured.published, result.tables
    )
    write_figures(result.tables / "main.csv", measured.accuracy, measured.training, result.figures)
    # The smallest PNG there is stands in for the pause maps.
    (result.figures / "pause_maps.png").write_bytes(base64.b64decode(PIXEL))
    write_report(
        "scenes",
        result.tables,
        result.figures,
        measured.flops,
        measured.throughput,
        measured.runs,
        measured.data,
        result.page,
    )
    return result


@pytest.fixture
def run_reporting() -> Callable[[Measured], Reported]:
    """The whole reporting stage as a function."""
    return report


@pytest.fixture
def edit() -> Callable[[Path, Callable[[pd.DataFrame], pd.DataFrame]], None]:
    """Change a CSV file in place."""

    def change(path: Path, function: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
        function(pd.read_csv(path, keep_default_na=False, dtype=str)).to_csv(path, index=False)

    return change
