"""Stage `uncertainty`: rows for every operating point and measure, and runs that do not belong together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paumer.evaluation.confusions import NAME, Images, Point, counts_of, write_confusions
from paumer.reporting.uncertainty import COLUMNS, uncertainty
from paumer.system.errors import PaumerError

DENSE: Point = ("dense", "", "dense")
PAUSED: Point = ("pause", "entropy", "1:0.4")
IMAGES = Images(tuple(f"{number}.png" for number in range(12)), tuple("aaabbbcccddd"), ("road", "sky"))
LOSSES = {("dense", DENSE): 0.0, ("paumer", DENSE): 0.02, ("paumer", PAUSED): 0.1}


def run(
    folder: Path, recipe: str, seed: int, points: Sequence[Point], images: Images = IMAGES, losses: dict = LOSSES
) -> Path:
    """A finished run whose predictions are wrong by chance, and a known share more so; its accuracy.csv."""
    folder = folder / recipe / str(seed)
    folder.mkdir(parents=True)
    keys = {"backbone": "net", "recipe": recipe, "seed": seed}
    rows = [keys | dict(zip(("strategy", "criterion", "schedule"), point, strict=True)) for point in points]
    pd.DataFrame(rows).to_csv(folder / "accuracy.csv", index=False)
    rng, matrices = np.random.default_rng(seed), {}
    easy = rng.uniform(0.7, 0.9, size=len(images.names))
    for point in points:
        right = (1000 * (easy - losses[recipe, point])).astype(int)
        matrices[point] = counts_of(np.stack([[[hit, 1000 - hit], [1000 - hit, hit]] for hit in right]))
    write_confusions(folder / NAME, images, matrices)
    return folder / "accuracy.csv"


def both(folder: Path, seeds: Sequence[int] = (0, 1)) -> list[Path]:
    dense = [run(folder, "dense", seed, [DENSE]) for seed in seeds]
    return dense + [run(folder, "paumer", seed, [DENSE, PAUSED]) for seed in seeds]


def test_every_point_and_measure_has_a_row(tmp_path: Path) -> None:
    uncertainty(both(tmp_path), tmp_path / "intervals.csv")
    table = pd.read_csv(tmp_path / "intervals.csv", keep_default_na=False)
    assert list(table.columns) == COLUMNS
    assert list(table["measure"].unique()) == ["mIoU", "pixel accuracy", "road", "sky"]
    assert len(table) == 3 * 4
    assert set(zip(table["seeds"], table["images"], table["blocks"], strict=True)) == {(2, 12, 4)}
    accuracy = table[table["measure"] == "pixel accuracy"].set_index(["recipe", "strategy"])
    assert accuracy.loc[("dense", "dense"), ["drop", "low", "high"]].tolist() == [0, 0, 0]
    for (recipe, (strategy, *_)), loss in LOSSES.items():
        # The same share of every image is lost, so pairing leaves no doubt about pixel accuracy.
        assert accuracy.loc[(recipe, strategy), "drop"] == pytest.approx(100 * loss, abs=0.1)
        assert accuracy.loc[(recipe, strategy), "high"] - accuracy.loc[(recipe, strategy), "low"] < 0.2
    paused = table[(table["strategy"] == "pause") & (table["measure"] == "mIoU")].iloc[0]
    assert paused["low"] < paused["drop"] < paused["high"]


def test_seeds_without_their_dense_run_are_refused(tmp_path: Path) -> None:
    paths = [path for path in both(tmp_path) if path.parts[-3:-1] != ("dense", "1")]
    with pytest.raises(PaumerError, match="net, recipe dense, seed 1 is missing"):
        uncertainty(paths, tmp_path / "intervals.csv")
    assert not (tmp_path / "intervals.csv").exists()


def test_runs_of_other_images_are_refused(tmp_path: Path) -> None:
    other = Images(IMAGES.names, tuple("aaaaaabbbbbb"), IMAGES.classes)
    paths = [run(tmp_path, "dense", 0, [DENSE]), run(tmp_path, "paumer", 0, [DENSE], other)]
    with pytest.raises(PaumerError, match=r"paumer/0/confusions\.npz: its images, blocks or classes are not those of"):
        uncertainty(paths, tmp_path / "intervals.csv")


def test_matrices_of_other_points_than_the_table_are_refused(tmp_path: Path) -> None:
    path = run(tmp_path, "dense", 0, [DENSE])
    table = pd.read_csv(path, keep_default_na=False)
    table.assign(schedule="1:0.4").to_csv(path, index=False)
    with pytest.raises(PaumerError, match=r"accuracy\.csv: confusions\.npz beside it holds other operating points"):
        uncertainty([path], tmp_path / "intervals.csv")


def test_no_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PaumerError, match="no files are given"):
        uncertainty([], tmp_path / "intervals.csv")
