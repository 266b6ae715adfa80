"""Stage `robustness`: every corruption at every strength beside clean images, and what heads are certain of."""

import pandas as pd
import pytest
import torch

from paumer.config.measuring import Evaluation, Robustness
from paumer.config.runs import EvaluateSettings, RobustnessSettings
from paumer.data.corruptions import CORRUPTIONS, CorruptedData, corrupt
from paumer.evaluation.evaluate import evaluate
from paumer.evaluation.robustness import CERTAIN, CLEAN, certain_patches, robustness
from paumer.models.build import load_run

SWEEP = ({"strategy": "pause", "schedules": ("2:0.4",)},)


@pytest.fixture(scope="module")
def settings() -> RobustnessSettings:
    return RobustnessSettings(device="cpu", robustness=Robustness(sweep=SWEEP), evaluation=Evaluation(batch=2))


def test_every_corruption_has_a_row_for_each_point(run_of, manifest, tmp_path, settings) -> None:
    run = run_of("paumer")
    robustness(settings, manifest, run, tmp_path / "robustness.csv")
    table = pd.read_csv(tmp_path / "robustness.csv", keep_default_na=False)
    expected = [(CLEAN, 0.0), *((name, strength) for name, one in CORRUPTIONS.items() for strength in one.strengths)]
    assert list(table[["corruption", "strength"]].drop_duplicates().itertuples(index=False, name=None)) == expected
    assert len(table) == 2 * len(expected)
    assert table["certain_2"].between(0, 1).all()

    evaluate(EvaluateSettings(device="cpu", sweep=SWEEP), manifest, run, tmp_path / "accuracy.csv")
    clean = pd.read_csv(tmp_path / "accuracy.csv", keep_default_na=False)
    assert table["miou"][:2].tolist() == pytest.approx(clean["miou"].tolist(), abs=0.02)
    assert table["gmac"][:2].tolist() == pytest.approx(clean["gmac"].tolist(), abs=1e-5)


def test_dense_alone_runs_on_networks_without_heads(run_of, manifest, tmp_path, settings) -> None:
    few = settings.model_copy(update={"robustness": Robustness(sweep=SWEEP, images=2)})
    robustness(few, manifest, run_of("dense", heads=False), tmp_path / "robustness.csv")
    table = pd.read_csv(tmp_path / "robustness.csv", keep_default_na=False)
    assert set(table["strategy"]) == {"dense"}
    assert set(table["images"]) == {2}
    assert not [name for name in table.columns if name.startswith("certain")]


def test_images_of_a_split_are_corrupted_by_their_place(data) -> None:
    noisy = CorruptedData(data, "noise", 0.1)
    for index in (0, 3):
        image, label = noisy[index]
        assert torch.equal(image, corrupt(data[index][0], "noise", 0.1, index))
        assert torch.equal(label, data[index][1])


def test_certain_patches_are_those_of_little_entropy(run_of, data) -> None:
    model, _ = load_run(run_of("paumer"))
    counted, patches = 0, 0
    for index in range(len(data)):
        with torch.inference_mode():
            tokens, state = model.embed(data[index][0][None])
            tokens = model.blocks[1](model.blocks[0](tokens))
            scores = state.scores("entropy", 2, tokens)
        counted, patches = counted + int((scores < CERTAIN).sum()), patches + scores.numel()
    assert certain_patches(model, data, Evaluation(batch=2))[2] == pytest.approx(counted / patches)
