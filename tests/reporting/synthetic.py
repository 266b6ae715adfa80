"""A small synthetic experiment: what the stages before reporting would have written."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from paumer.evaluation.calibration import FINAL, Calibration
from paumer.evaluation.semantics import tabulate
from paumer.reporting.frames import at_largest_batch
from paumer.strategies.notation import Schedule
from paumer.system.files import write_json

BACKBONES = {"tiny": (60.0, 12.8, 240.0), "small": (68.0, 38.6, 90.0)}  # mIoU, GMAC, images/s of dense
RECIPES = ["dense", "multi-exit", "paumer", "merge"]
CLASSES = ["road", "sidewalk", "building", "pole", "traffic light", "sky", "person", "car"]
SEEDS = (0, 1)
BATCHES = (1, 8)
SIZES = {"tiny": ((96, 192), (48, 96)), "small": ((128, 256),)}  # height and width of the input
SETTINGS = [
    *(("float32", "eager", "logits"), ("float32", "eager", "labels"), ("float32", "compile", "logits")),
    ("bfloat16", "eager", "logits"),
]
EXPLICIT = 0.75  # speed-up of the explicit attention matrix
UNCOMPILED = "exit:9"  # what the compiler fails at
OTHER_LOAD = 0.8  # processors, while recipe multi-exit of `tiny` is timed at batch 8 in the first setting
BLOCKS = 12
HEADS, FRACTIONS = (3, 6), (0.2, 0.4, 0.6)  # of the tables of semantics
SCHEDULES = ["3:0.2", "3:0.4", "3:0.6", "6:0.4", "3:0.2+6:0.2", "3:0.3+6:0.3"]
SKIPPED = "3@0.7+6@0.7"  # never timed at batch 8
OWN_DENSE = 0.9  # how fast dense is on many images, relative to one


@dataclass(frozen=True)
class Family:
    """A strategy with its criteria, recipes and schedules, and the share of computation that each leaves."""

    strategy: str
    recipes: tuple[str, ...]
    shares: dict[str, float]
    loss: float
    criteria: tuple[str, ...] = ("",)
    by_image: bool = False


def reduced(schedule: str) -> float:
    """The share of computation that is left when the tokens named by a schedule skip what follows."""
    return 1 - sum(part.fraction * (BLOCKS - part.block) / BLOCKS for part in Schedule(schedule).locations)


FAMILIES = [
    Family("dense", tuple(RECIPES), {"dense": 1.0}, 0),
    Family("pause", ("dense",), {text: reduced(text) for text in SCHEDULES[:3]}, 10, ("random",)),
    Family("pause", ("multi-exit",), {text: reduced(text) for text in SCHEDULES}, 7, ("entropy", "random")),
    Family("pause", ("paumer",), {text: reduced(text) for text in SCHEDULES}, 5, ("entropy", "random", "oracle")),
    Family("early-exit", ("multi-exit", "paumer"), {f"exit:{block}": block / BLOCKS for block in (3, 6, 9)}, 45),
    Family("adaptive-exit", ("multi-exit", "paumer"), {"3@0.9+6@0.9": 0.8, SKIPPED: 0.6}, 30, ("entropy",), True),
    Family("token-exit", ("multi-exit",), {"3@0.9": 0.75, "3@0.8": 0.6}, 8, ("confidence",), True),
    Family("merge", ("dense", "merge"), {"1:0.2": reduced("1:0.2"), "1:0.4": reduced("1:0.4")}, 6),
    Family("local-merge", ("merge",), {"2:0.3": reduced("2:0.3")}, 4),
    Family("resize", ("dense",), {"scale:0.75": 0.55, "scale:0.5": 0.24}, 12),
    Family("smaller-backbone", ("dense",), {"nano": 0.3}, 20),
    Family("merge>pause", ("paumer",), {"1:0.2>4:0.3": 0.62}, 5, ("entropy",)),
]
WEIGHTS = {"random": 4.0, "oracle": 0.5}  # times the loss of an informed criterion


@dataclass(frozen=True)
class Measured:
    """Paths of the synthetic measurements."""

    folder: Path
    accuracy: list[Path]
    training: list[Path]
    runs: list[Path]
    flops: Path
    throughput: Path
    machine: Path
    bounds: Path
    published: Path
    data: Path
    semantics: list[Path]


@dataclass(frozen=True)
class Reported:
    """A synthetic experiment with its tables, figures and page; only to be read."""

    measured: Measured
    tables: Path
    figures: Path
    page: Path


def write_measurements(folder: Path) -> Measured:
    """Write all inputs of the reporting stage below `folder`."""
    random = np.random.default_rng(0)
    accuracy, training, runs, semantics = [], [], [], []
    for backbone, recipe, seed in product(BACKBONES, RECIPES, SEEDS):
        run = folder / "runs" / backbone / recipe / f"seed{seed}"
        run.mkdir(parents=True)
        _accuracy(backbone, recipe, seed, random).to_csv(run / "accuracy.csv", index=False)
        _training(random).to_csv(run / "train.csv", index=False)
        write_json(run / "run.json", _run(backbone, recipe, seed))
        if recipe == "paumer":
            write_semantics(run / "semantics", backbone, seed)
            semantics.append(run / "semantics")
        accuracy.append(run / "accuracy.csv")
        training.append(run / "train.csv")
        runs.append(run / "run.json")
    paths = {name: folder / f"{name}.csv" for name in ("flops", "throughput", "bounds", "published")}
    _flops().to_csv(paths["flops"], index=False)
    _throughput(random).to_csv(paths["throughput"], index=False)
    _bounds().to_csv(paths["bounds"], index=False)
    _published().to_csv(paths["published"], index=False)
    write_json(folder / "data.json", {"dataset": "scenes", "splits": {"val": {"images": 256}}, "classes": CLASSES})
    environment = {"device": "test device", "clocks before": "2300 MHz", "clocks after": "2100 MHz"}
    described = {"code": {"version": "0.1.0", "revision": "def5678"}, "environment": environment}
    write_json(folder / "machine.json", described)
    return Measured(
        folder,
        accuracy,
        training,
        runs,
        **paths,
        machine=folder / "machine.json",
        data=folder / "data.json",
        semantics=semantics,
    )


def write_semantics(folder: Path, backbone: str, seed: int, noise: float = 0.2, classes: list[str] = CLASSES) -> None:
    """Tables of 400 patches, whose entropy is high near boundaries, up to noise, and falls with their class's place."""
    random = np.random.default_rng(seed)
    number = random.integers(len(classes), size=400)
    distance = random.exponential(2, 400)
    hard = np.exp(-distance) - number / 20
    columns = {"class": np.array(classes)[number], "uniform": distance > 0.5, "distance": distance}
    for block in HEADS:
        columns[f"{block} error"] = np.maximum(hard, 0)
        for criterion, share in (("entropy", noise), ("confidence", 2 * noise), ("random", None)):
            blur = random.normal(size=400)
            score = blur if share is None else hard + share * blur
            columns[f"{block} {criterion}"] = score
            place = score.argsort().argsort() / 400
            paused = [np.where(place < fraction, fraction, np.inf) for fraction in FRACTIONS]
            columns[f"{block} {criterion} pause fraction"] = np.min(paused, axis=0)
    patches = pd.DataFrame({**columns, "final_error": np.maximum(hard, 0) / 2})
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tabulate(patches, HEADS, ("entropy", "confidence", "random"), FRACTIONS).items():
        table.assign(backbone=backbone, seed=seed).to_csv(folder / f"{name}.csv", index=False)
    calibration, generator = Calibration(), torch.Generator().manual_seed(seed)
    for block in (*HEADS, FINAL):
        logits = torch.randn(400, len(classes), generator=generator)
        calibration.add(
            block, logits, (logits + torch.randn(logits.shape, generator=generator)).softmax(-1).round().long()
        )
    calibration.table().assign(backbone=backbone, seed=seed).to_csv(folder / "calibration.csv", index=False)
    shares = {name: miou + seed for name, miou in {"none": 70, "paused": 69.75, "running": 69, "all": 68.7}.items()}
    row = {"backbone": backbone, "seed": seed, "schedule": "3:0.4", **shares}
    pd.DataFrame([row]).to_csv(folder / "attribution.csv", index=False)


def write_equal_speed(main: pd.DataFrame, folder: Path) -> Path | None:
    """equal_speed.csv of what merges or pauses by entropy, with narrow intervals; None where nothing does."""
    points = at_largest_batch(main[main["criterion"].isin(["", "entropy"])]).dropna(subset="speedup")
    points = points[points["strategy"].isin(["merge", "pause"])]
    ends = {"drop_low": points["drop"] - 0.2, "drop_high": points["drop"] + 0.2, "chosen_drop": points["drop"]}
    table = points.assign(asked_speedup=points["speedup"].round(1), candidates=3, **ends)
    if table.empty:
        return None
    table.to_csv(folder / "equal_speed.csv", index=False)
    return folder / "equal_speed.csv"


def _accuracy(backbone: str, recipe: str, seed: int, random: np.random.Generator) -> pd.DataFrame:
    rows = []
    miou, gmac, _ = BACKBONES[backbone]
    start = miou - {"dense": 0.0, "multi-exit": 0.5, "paumer": 0.2, "merge": 0.1}[recipe] + random.normal(0, 0.15)
    for family in (family for family in FAMILIES if recipe in family.recipes):
        for criterion, (schedule, share) in product(family.criteria, family.shares.items()):
            saved = 1 - share
            score = start - family.loss * WEIGHTS.get(criterion, 1) * saved**1.6 + random.normal(0, 0.05)
            noise = random.normal(0, 3 * saved + 1e-3, len(CLASSES))
            ious = {f"iou_{name}": score + noise[index] - index for index, name in enumerate(CLASSES)}
            low, mean, high = (0.7, 1 + 0.01 * seed, 1.2) if family.by_image else (1, 1, 1)
            cost = {"gmac": gmac * share * mean, "gmac_low": gmac * share * low, "gmac_high": gmac * share * high}
            key = {"experiment": "scenes", "backbone": backbone, "decoder": "linear", "recipe": recipe}
            point = {"strategy": family.strategy, "criterion": criterion, "schedule": schedule, "seed": seed}
            rows.append(key | point | {"miou": score, "pixel_accuracy": 90.0} | ious | cost | {"iou_train": np.nan})
    return pd.DataFrame(rows)


def _fixed() -> dict[tuple[str, str], float]:
    """Strategy, schedule and share of what costs the same for every image, among it one that no accuracy names."""
    fixed = [family for family in FAMILIES if not family.by_image]
    named = {(family.strategy, text): share for family in fixed for text, share in family.shares.items()}
    return named | {("merge", "5:0.1"): 0.95}


def _flops() -> pd.DataFrame:
    rows = []
    for backbone, (_, dense, _) in BACKBONES.items():
        for (height, width), ((strategy, schedule), share) in product(SIZES[backbone], _fixed().items()):
            total = dense * share * _area(backbone, height, width)
            size = {"height": height, "width": width, "windows": 1.0, "gmac_total": total, "gmac_encoder": 0.95 * total}
            key = {"backbone": backbone, "decoder": "linear", "strategy": strategy, "schedule": schedule}
            rows.append(key | size | {"gmac_decoder": 0.04 * total, "gmac_heads": 0.01 * total})
    return pd.DataFrame(rows)


def _area(backbone: str, height: int, width: int) -> float:
    """The area of an input over that of the backbone's first."""
    first = SIZES[backbone][0]
    return height * width / (first[0] * first[1])


def _timed(mode: str) -> list[tuple[str, str, str, str, float]]:
    """Recipe, strategy, criterion, schedule and share of every timed variant, the null variants last in their group.

    What depends on the image is timed in the first mode alone.
    """
    rows = [("", strategy, "", schedule, share) for (strategy, schedule), share in _fixed().items()]
    rows += [("", "explicit-attention", "", "dense", 1.0), ("", "dense-again", "", "dense", 1.0)]
    for recipe in ("multi-exit", "paumer") if mode == "eager" else ():
        rows.append((recipe, "dense", "", "dense", 1.0))
        for family in (family for family in FAMILIES if family.by_image and recipe in family.recipes):
            for criterion, (schedule, share) in product(family.criteria, family.shares.items()):
                rows.append((recipe, family.strategy, criterion, schedule, share))
        rows.append((recipe, "dense-again", "", "dense", 1.0))
    return rows


def _throughput(random: np.random.Generator) -> pd.DataFrame:
    """Timings of two backbones, at all their input sizes, in all settings and batches.

    Null variants: that of fixed costs is noisy at batch 8, that of recipe paumer at batch 1. At batch 8 only the early
    exits of `small` fit into memory.
    """
    sizes = [(backbone, size) for backbone in BACKBONES for size in SIZES[backbone]]
    rows = []
    for (backbone, size), (dtype, mode, scope), batch in product(sizes, SETTINGS, BATCHES):
        setting = {"device": "test device", "dtype": dtype, "mode": mode, "scope": scope, "batch": batch}
        setting |= {"height": size[0], "width": size[1], "windows": 1.0}
        dense = BACKBONES[backbone][2] / _area(backbone, *size)
        for recipe, strategy, criterion, schedule, share in _timed(mode):
            key = {"backbone": backbone, "recipe": recipe, "strategy": strategy, "criterion": criterion}
            numbers = _timing(dense, recipe, strategy, share, batch, random)
            numbers["compile_s"] = 12.5 if mode == "compile" else np.nan
            status = "ok"
            if backbone == "small" and batch == 8:
                status = "ok" if strategy == "early-exit" else "oom"
                numbers = {name: value if name == "images_per_s" else np.nan for name, value in numbers.items()}
            if (schedule == SKIPPED and batch == 8) or (schedule == UNCOMPILED and mode == "compile"):
                status = "skipped"
            if status != "ok":
                numbers = dict.fromkeys(numbers, np.nan)
            disturbed = (backbone, recipe, batch) == ("tiny", "multi-exit", 8)
            disturbed = disturbed and (*SIZES["tiny"][0], *SETTINGS[0]) == (*size, dtype, mode, scope)
            load = {"other_load": OTHER_LOAD if disturbed else 0.1}
            rows.append(key | {"schedule": schedule} | setting | numbers | load | {"rounds": 15, "status": status})
    return pd.DataFrame(rows)


def _timing(
    dense: float, recipe: str, strategy: str, share: float, batch: int, random: np.random.Generator
) -> dict[str, float]:
    if strategy == "dense-again":
        noisy = batch == 8 if recipe == "" else recipe == "paumer" and batch == 1
        speedup = 1.05 if noisy else 1.0
    elif strategy in ("dense", "explicit-attention"):
        speedup = EXPLICIT if strategy == "explicit-attention" else 1.0
    else:
        speedup = (1 + random.normal(0, 0.01)) / (1 - 0.9 * (1 - share))
    width = 0.0 if strategy == "dense" else 0.02
    floor = 1.06 + 0.1 * (1 - share) / batch if strategy == "pause" else np.nan
    return {
        "images_per_s": dense * speedup * (1 + 0.1 * np.log2(batch)) * (OWN_DENSE if recipe else 1),
        "speedup": speedup,
        "speedup_low": speedup - width,
        "speedup_high": speedup + width,
        "floor_ratio": floor,
        "floor_low": floor - 0.01,
        "floor_high": floor + 0.02,
        "peak_memory_mb": 100.0 * batch,
    }


def _bounds() -> pd.DataFrame:
    rows = [
        ("scenes", backbone, bound, value)
        for backbone in BACKBONES
        for bound, value in (("patch ceiling", 88.25), ("linear on raw patches", 21.5))
    ]
    return pd.DataFrame(rows, columns=["experiment", "backbone", "bound", "miou"])


def _published() -> pd.DataFrame:
    """PAUMER's claims, and figures of a network that is ours, of one with another decoder, and of one unknown here."""
    claim = {"source": "PAUMER abstract", "method": "paumer", "speedup": 1.5}
    other = {"source": "another README", "method": "dense", "dataset": "ade20k", "crop": 512, "miou": 45.3}
    rows = [
        claim | {"dataset": "cityscapes", "miou_change": -0.65, "timing_note": "points or percent not stated"},
        claim | {"dataset": "ade20k", "miou_change": -4.6},
        other | {"backbone": "tiny", "decoder": "linear", "gmac": 12.8, "images_per_s": 52.4},
        other | {"backbone": "tiny", "decoder": "mask_transformer"},
        other | {"backbone": "huge", "decoder": "linear", "timing_note": "batch 32"},
    ]
    columns = [
        *("source", "method", "dataset", "backbone", "decoder", "crop", "setting"),
        *("miou", "miou_change", "gmac", "images_per_s", "speedup", "timing_note"),
    ]
    return pd.DataFrame(rows, columns=columns)


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
