"""Small result folders of a made-up experiment, as the workflow leaves them: records, accuracy, rounds of timing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from paumer.evaluation.confusions import NAME, Images, Point, counts_of, write_confusions
from paumer.measurement.bootstrap import mean_ious, pixel_accuracies
from paumer.reporting.rounds import DENSE, measures_of_rounds
from paumer.reporting.timings import THROUGHPUT
from paumer.system.files import sha256, write_json

PIXELS, CLASSES, BLOCKS = 4000, 6, 40
IMAGES = Images(
    tuple(f"{number}.png" for number in range(2 * BLOCKS)),
    tuple(f"street {number // 2}" for number in range(2 * BLOCKS)),
    tuple(f"class {number}" for number in range(CLASSES)),
)
NETWORK_DENSE: Point = ("dense", "", "dense")
# By recipe the operating points: points of accuracy that each loses, and its speed-up.
POINTS: dict[str, dict[Point, tuple[float, float]]] = {
    "dense": {
        NETWORK_DENSE: (0, 1),
        **{("merge", "", f"1-8:{share}"): (12 * share, 1 + 5 * share) for share in (0.04, 0.06, 0.08, 0.1)},
        **{("resize", "", f"scale:{scale}"): (6 * (1 - scale), scale**-2) for scale in (0.9, 0.8, 0.7)},
    },
    "paumer": {
        NETWORK_DENSE: (0.3, 1),
        **{
            ("pause", criterion, f"1:{share}"): (2 * share, 1 / (1 - 0.8 * share))
            for criterion in ("entropy", "random")
            for share in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
        },
    },
}


@dataclass(frozen=True)
class Results:
    """What a folder holds.

    Attributes:
        seeds: of training.
        chance: of training noise and timing noise; equal numbers give equal files.
        trained: standard deviation of training noise, in points.
        jitter: standard deviation of a timed round.
        losses: points of accuracy lost beyond what the operating points lose, by strategy and schedule.
        slower: share of images/s lost, by strategy and schedule.
    """

    seeds: Sequence[int] = (0, 1, 2)
    chance: int = 0
    trained: float = 0.03
    jitter: float = 0.01
    device: str = "Processor, 2 threads"
    revision: str = "aaaa"
    data: str = "one"
    steps: int = 100
    rounds: int = 31
    losses: dict[tuple[str, str], float] = field(default_factory=dict)
    slower: dict[tuple[str, str], float] = field(default_factory=dict)


def write_results(folder: Path, of: Results, select: bool = False) -> Path:
    """Write a result folder, with accuracy on a split to choose on where asked for; give it back."""
    folder.mkdir(parents=True)
    splits = {split: f"{split} {of.data}" for split in ("train", "val", "select")}
    write_json(folder / "data.json", {"splits": {name: {"sha256": text} for name, text in splits.items()}})
    tables = [_run(folder, of, recipe, seed, splits) for recipe in POINTS for seed in of.seeds]
    collect(folder / "accuracy.csv", pd.concat(tables), splits)
    if select:  # where merging seems to lose more than it does
        chosen = pd.concat(tables)
        worse = 2.0 * (chosen["schedule"] == "1-8:0.1")
        collect(folder / "select_accuracy.csv", chosen.assign(miou=chosen["miou"] - worse), splits)
    _timings(folder, of)
    environment = {"device": of.device, "instructions": "AVX2", "torch": "2.9"}
    code = {"version": "0.1.0", "revision": of.revision}
    write_json(folder / "machine.json", {"code": code, "environment": environment, "settings": {}, "data": splits})
    return folder


def collect(path: Path, table: pd.DataFrame, splits: dict[str, str]) -> None:
    """Write a table of accuracy with its record."""
    table.to_csv(path, index=False)
    write_json(path.with_suffix(".json"), {"data": splits, "sha256": sha256(path)})


def _run(folder: Path, of: Results, recipe: str, seed: int, splits: dict[str, str]) -> pd.DataFrame:
    run = folder / f"runs/net/{recipe}/seed{seed}"
    run.mkdir(parents=True)
    described = {
        "code": {"version": "0.1.0", "revision": of.revision},
        "environment": {"device": of.device, "instructions": "AVX2"},
    }
    settings = {"recipe": recipe, "seed": seed, "split": "train", "phase": {"steps": of.steps}}
    write_json(run / "run.json", described | {"settings": settings, "data_sha256": splits["train"]})
    evaluated = {"settings": {"split": "val", "evaluation": {"flip": False}}, "data": splits}
    matrices = _matrices(of, recipe, seed)
    write_confusions(run / NAME, IMAGES, {point: counts_of(one) for point, one in matrices.items()})
    rows = []
    for (strategy, criterion, schedule), matrix in matrices.items():
        keys = {"experiment": "streets", "backbone": "net", "decoder": "linear", "recipe": recipe, "strategy": strategy}
        total = matrix.sum(axis=0)
        measured = {"miou": mean_ious(total), "pixel_accuracy": pixel_accuracies(total)}
        cost = dict.fromkeys(("gmac", "gmac_low", "gmac_high"), 10.0)
        rows.append(keys | {"criterion": criterion, "schedule": schedule, "seed": seed} | measured | cost)
    table = pd.DataFrame(rows)
    table.to_csv(run / "accuracy.csv", index=False)
    write_json(run / "accuracy.json", described | evaluated | {"sha256": sha256(run / "accuracy.csv")})
    return table


def _matrices(of: Results, recipe: str, seed: int) -> dict[Point, np.ndarray]:
    """Confusion matrices: images are hard by what they show, networks good by seed and by chance."""
    images = len(IMAGES.names)
    hard = np.random.default_rng(1).uniform(0.1, 0.3, (images, CLASSES))
    by_seed = np.random.default_rng(seed + 100).normal(0, 0.003)
    chance = np.random.default_rng((of.chance, seed, len(recipe)))
    trained = chance.normal(0, of.trained / 100)
    matrices = {}
    for point, (loss, _) in POINTS[recipe].items():
        lost = (loss + of.losses.get((point[0], point[2]), 0.0)) / 100
        # A share `w` of wrong pixels costs about 2 w / (1 + w) of the IoU: half of `lost` and a bit more.
        wrong = hard + by_seed + trained + 0.6 * lost * (1 + hard) + chance.normal(0, 0.002, hard.shape)
        missed = np.rint(PIXELS * wrong).astype(int)
        matrix = np.zeros((images, CLASSES, CLASSES), dtype=int)
        for number in range(CLASSES):
            matrix[:, number, number] = PIXELS - missed[:, number]
            matrix[:, number, (number + 1) % CLASSES] = missed[:, number]
        matrices[point] = matrix
    return matrices


def _timings(folder: Path, of: Results) -> None:
    """throughput_rounds.csv of two batches, and throughput.csv from it; neighbouring rounds are alike."""
    chance = np.random.default_rng((of.chance, 7))
    fixed = {
        (strategy, schedule): speedup
        for points in POINTS.values()
        for (strategy, _, schedule), (_, speedup) in points.items()
    }
    fixed |= {("dense-again", "dense"): 1.0}
    setting = {"backbone": "net", "recipe": "", "device": of.device, "dtype": "float32", "mode": "eager"}
    setting |= {"scope": "logits", "height": 96, "width": 192}
    rows: list[dict[str, object]] = []
    for batch in (1, 8):
        drift = _drift(chance, of.rounds, of.jitter)
        for (strategy, schedule), speedup in fixed.items():
            speed = 50 * speedup * (1 - of.slower.get((strategy, schedule), 0.0))
            seconds = batch / speed * np.exp(drift + _drift(chance, of.rounds, of.jitter))
            keys = setting | {"batch": batch, "images": batch, "variant": f"{strategy} {schedule}"}
            rows += [keys | {"round": number, "seconds": value} for number, value in enumerate(seconds)]
    pd.DataFrame(rows).to_csv(folder / "throughput_rounds.csv", index=False, float_format="%.6g")
    timed = measures_of_rounds(folder / "throughput_rounds.csv")
    assert DENSE in set(timed["variant"])
    names = timed["variant"].str.split(" ", n=1, expand=True)
    table = timed.drop(columns="variant").assign(strategy=names[0], schedule=names[1], criterion="", windows=1.0)
    table = table.assign(peak_memory_mb=np.nan, compile_s=np.nan, other_load=0.0, status="ok")
    table[THROUGHPUT].to_csv(folder / "throughput.csv", index=False, float_format="%.4f")


def _drift(chance: np.random.Generator, rounds: int, size: float, alike: float = 0.3) -> np.ndarray:
    """Noise whose neighbours are correlated."""
    noise = chance.normal(0, size, rounds)
    for place in range(1, rounds):
        noise[place] = alike * noise[place - 1] + (1 - alike**2) ** 0.5 * noise[place]
    return noise
