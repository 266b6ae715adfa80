"""Stage `evaluate`: a row for every operating point that a recipe can run."""

import copy

import pandas as pd
import pytest
import torch

from paumer.config import Evaluation, Sweep
from paumer.data.loading import evaluation_batches
from paumer.data.transforms import normalize
from paumer.errors import PaumerError
from paumer.evaluation.metrics import confusion_matrix, mean_iou, pixel_accuracy
from paumer.evaluation.sweep import evaluate, operating_points
from paumer.files import write_json
from paumer.models.build import load_run, save_weights
from paumer.stages import EvaluateSettings

SWEEP = Sweep(schedules=("2:0.4", "2:0.6"), criteria=("entropy", "random"), exits=(2,))


@pytest.fixture
def run_of(model, network, tmp_path):
    """Save the network as a finished run of a recipe."""

    def save(recipe: str):
        save_weights(copy.deepcopy(model).float(), tmp_path / "model.safetensors")
        description = {"recipe": recipe, "seed": 3, "backbone": "net", "network": network.model_dump(mode="json")}
        write_json(tmp_path / "run.json", description)
        return tmp_path

    return save


DENSE, EXITS = ["dense dense "], ["early-exit exit:2 "]
PAUSES = [f"pause {schedule} {criterion}" for criterion in SWEEP.criteria for schedule in SWEEP.schedules]


@pytest.mark.parametrize(
    ("recipe", "points"),
    [("dense", DENSE), ("multi-exit", DENSE + EXITS), ("paumer", DENSE + EXITS + PAUSES)],
)
def test_recipe_decides_the_operating_points(recipe, points) -> None:
    found = operating_points(recipe, SWEEP)
    assert [f"{point.name} {point.schedule_text} {point.criterion_name}" for point in found] == points


@pytest.mark.parametrize("inference", ["whole", "sliding"])
def test_rows_are_the_scores_of_separate_passes(run_of, manifest, data, tmp_path, inference) -> None:
    folder = run_of("paumer")
    evaluation = Evaluation(inference=inference, window=(48, 96), stride=(48, 96), batch=2)
    settings = EvaluateSettings(sweep=SWEEP, evaluation=evaluation, device="cpu")
    evaluate(settings, manifest, folder, tmp_path / "accuracy.csv")
    table = pd.read_csv(tmp_path / "accuracy.csv")
    assert len(table) == 6
    assert set(table["images"]) == {5}

    network, run = load_run(folder)
    for point, row in zip(operating_points(run["recipe"], SWEEP), table.itertuples(), strict=True):
        if point.criterion_name == "random":
            continue
        matrix = torch.zeros(19, 19, dtype=torch.int64)
        for images, labels in evaluation_batches(data, 1):
            with torch.inference_mode():
                predicted = network(normalize(images, "imagenet"), point).argmax(dim=1)
            matrix += confusion_matrix(labels, predicted, 19)
        assert row.miou == pytest.approx(mean_iou(matrix), abs=0.02)
        assert row.pixel_accuracy == pytest.approx(pixel_accuracy(matrix), abs=0.02)


def test_pausing_where_no_block_follows_is_refused(run_of, manifest, tmp_path) -> None:
    settings = EvaluateSettings(sweep=Sweep(schedules=("4:0.4",)))
    with pytest.raises(PaumerError, match=r"4:0\.4.*network of 4 blocks"):
        evaluate(settings, manifest, run_of("paumer"), tmp_path / "accuracy.csv")


@pytest.mark.parametrize("sweep", [Sweep(schedules=("3:0.4",)), Sweep(schedules=(), exits=(3,))], ids=["pause", "exit"])
def test_operating_point_without_its_head_is_refused(run_of, manifest, tmp_path, sweep) -> None:
    settings = EvaluateSettings(sweep=sweep)
    with pytest.raises(PaumerError, match="block 3"):
        evaluate(settings, manifest, run_of("paumer"), tmp_path / "accuracy.csv")


def test_batches_hold_images_of_one_size() -> None:
    sizes = [(4, 6), (4, 6), (4, 6), (6, 4), (4, 6)]
    items = [(torch.zeros(3, *size), torch.full(size, number)) for number, size in enumerate(sizes)]
    batches = list(evaluation_batches(items, 2))
    assert [len(images) for images, _ in batches] == [2, 1, 1, 1]
    assert [int(labels[0, 0, 0]) for _, labels in batches] == [0, 2, 3, 4]
