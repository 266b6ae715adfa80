"""Stage `evaluate`: a row for every operating point that a network can run, with its score and its cost."""

import pandas as pd
import pytest
import torch
from tiers import first

from paumer.config.measuring import Evaluation, SweepItem, sweep_points
from paumer.config.runs import EvaluateSettings
from paumer.data.catalogue import DATASETS
from paumer.data.loading import evaluation_batches
from paumer.evaluation.confusions import Confusions
from paumer.evaluation.evaluate import confusion_matrix, evaluate, evaluate_split, mean_iou, pixel_accuracy
from paumer.measurement.counting import count
from paumer.models.build import load_run
from paumer.strategies.registry import build_strategy, operating_point
from paumer.system.errors import PaumerError

SWEEP = (
    SweepItem(strategy="pause", schedules=("2:0.4", "2:0.3+3:0.3"), criteria=("entropy", "random", "oracle")),
    SweepItem(strategy="early-exit", schedules=("exit:2",)),
    SweepItem(strategy="adaptive-exit", schedules=("2@0.24+3@0.24",)),
    SweepItem(strategy="token-exit", schedules=("2:0.4 keep 1", "2@0.3 keep 1")),
    SweepItem(strategy="merge", schedules=("1-3:0.1",)),
    SweepItem(strategy="local-merge", schedules=("1@0.6",)),
    SweepItem(strategy="resize", schedules=("scale:0.5",)),
    SweepItem(strategy="merge>pause", schedules=("1-2:0.1>3:0.4",)),
)
COLUMNS = ["experiment", "backbone", "decoder", "recipe", "strategy", "criterion", "schedule", "seed", "miou"]
COLUMNS += ["pixel_accuracy", "thin_boundary_iou", *(f"iou_{name}" for name in DATASETS["scenes"].classes)]
COLUMNS += ["images", "gmac", "gmac_low", "gmac_high"]


def describe(**settings) -> EvaluateSettings:
    return EvaluateSettings(device="cpu", **({"sweep": SWEEP} | settings))


def read(path) -> pd.DataFrame:
    return pd.read_csv(path, keep_default_na=False)


@pytest.fixture
def table_of(run_of, manifest, tmp_path):
    """Evaluate a run; give its table."""

    def run(settings: EvaluateSettings, recipe: str = "paumer", **more) -> pd.DataFrame:
        evaluate(settings, manifest, run_of(recipe, **more), tmp_path / "accuracy.csv")
        return read(tmp_path / "accuracy.csv")

    return run


@pytest.mark.parametrize("inference", first(["sliding", "whole"]))
def test_rows_are_the_scores_of_separate_passes(table_of, run_of, data, inference) -> None:
    evaluation = Evaluation(inference=inference, window=(48, 96), stride=(48, 96), batch=2)
    table = table_of(describe(evaluation=evaluation))
    points = sweep_points(SWEEP)
    assert list(table.columns) == COLUMNS
    assert list(zip(table["strategy"], table["criterion"], table["schedule"], strict=True)) == [
        (point.strategy, point.criterion, point.schedule) for point in points
    ]
    assert set(table["images"]) == {5}
    assert (set(table["recipe"]), set(table["seed"]), set(table["backbone"])) == ({"paumer"}, {3}, {"net"})

    network, _ = load_run(run_of("paumer"))
    for point, row in zip(points, table.itertuples(), strict=True):
        if point.criterion in ("random", "oracle"):
            continue
        matrix = torch.zeros(19, 19, dtype=torch.int64)
        for images, labels in evaluation_batches(data, 1):
            with torch.inference_mode():
                predicted = network(images, build_strategy(point)).argmax(dim=1)
            matrix += confusion_matrix(labels, predicted, 19)
        assert row.miou == pytest.approx(mean_iou(matrix), abs=0.02)
        assert row.pixel_accuracy == pytest.approx(pixel_accuracy(matrix), abs=0.02)


def test_the_matrices_of_all_images_add_up_to_the_scores(table_of, tmp_path, data) -> None:
    table = table_of(describe())
    confusions = Confusions(tmp_path / "confusions.npz")
    assert confusions.images.names == tuple(sample.image.name for sample in data.samples)
    assert confusions.images.blocks == tuple(sample.block for sample in data.samples)
    for (point, matrices), row in zip(confusions, table.itertuples(), strict=True):
        assert point == (row.strategy, row.criterion, row.schedule)
        assert mean_iou(torch.from_numpy(matrices.astype("int64")).sum(dim=0)) == pytest.approx(row.miou, abs=1e-5)


def test_costs_are_the_mean_over_the_images_and_their_spread(run_of, data, table_of) -> None:
    settings = describe()
    table = table_of(settings)
    model, _ = load_run(run_of("paumer"))
    points = sweep_points(SWEEP)
    results = evaluate_split(model, data, [build_strategy(point) for point in points], settings.evaluation)
    for point, row, result in zip(points, table.itertuples(), results, strict=True):
        assert result.macs.shape == (5,)
        macs = pd.Series(result.macs.tolist()) / 1e9
        expected = (macs.mean(), macs.quantile(0.05), macs.quantile(0.95))
        assert (row.gmac, row.gmac_low, row.gmac_high) == pytest.approx(expected, abs=1e-4)
        assert row.gmac_low <= row.gmac <= row.gmac_high
        if not point.varies:
            fixed = count(model, (48, 96), build_strategy(point))["gmac_total"]
            assert row.gmac == row.gmac_low == row.gmac_high == pytest.approx(fixed, abs=1e-4)
            assert result.macs[0] / 1e9 == pytest.approx(fixed)
    assert any(len(set(result.macs.tolist())) > 1 for result in results)


@pytest.mark.parametrize("precision", first(["bfloat16", "float32"]))
def test_every_point_runs_in_every_precision(table_of, precision) -> None:
    assert len(table_of(describe(evaluation=Evaluation(precision=precision)))) == len(sweep_points(SWEEP))


def test_the_oracle_is_told_the_truth_and_others_are_not_disturbed(run_of, data) -> None:
    model, _ = load_run(run_of("paumer"))
    oracle, entropy = (build_strategy(operating_point("pause", name, "2:0.4")) for name in ("oracle", "entropy"))
    known, plain = evaluate_split(model, data, [oracle, entropy], Evaluation())
    [alone] = evaluate_split(model, data, [entropy], Evaluation())
    assert torch.equal(plain.matrix, alone.matrix)
    expected = torch.zeros(19, 19, dtype=torch.int64)
    for images, labels in evaluation_batches(data, 8):
        [output] = model.sweep(images, [oracle], labels)
        expected += confusion_matrix(labels, model.upsample(output.logits, images).argmax(dim=1), 19)
    assert torch.equal(known.matrix, expected)
    assert not torch.equal(known.matrix, plain.matrix)


def test_what_a_network_cannot_run_is_left_out_with_the_reason(table_of, capsys) -> None:
    table = table_of(describe(), recipe="dense", heads=False)
    needs_heads = ("pause", "early-exit", "adaptive-exit", "token-exit", "merge>pause")
    assert set(table["strategy"]) == {"dense", "pause", "merge", "local-merge", "resize"}
    assert set(table.loc[table["strategy"] == "pause", "criterion"]) == {"random"}
    lines = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert len(lines) == len(sweep_points(SWEEP)) - len(table)
    assert "dense: pause 2:0.4 left out: the network has no auxiliary head after block 2" in lines
    assert all(line.split()[1] in needs_heads for line in lines)


def test_a_control_stands_in_the_rows_of_the_backbone_that_it_is_compared_with(table_of) -> None:
    table = table_of(describe(sweep=()), recipe="dense", heads=False, name="small", control_for="large")
    assert len(table) == 1
    row = table.iloc[0]
    assert (row["backbone"], row["strategy"], row["schedule"]) == ("large", "smaller-backbone", "small")
    assert row["criterion"] == ""
    assert row["gmac"] > 0


@pytest.mark.parametrize(
    ("item", "culprit"),
    [
        ({"strategy": "pause", "schedules": ("4:0.4",)}, r"4:0\.4.*network of 4 blocks"),
        ({"strategy": "early-exit", "schedules": ("exit:5",)}, r"exit:5.*network of 4 blocks"),
        ({"strategy": "merge>pause", "schedules": ("1:0.1>4:0.4",)}, r"4:0\.4.*network of 4 blocks"),
    ],
)
def test_acting_beyond_the_last_block_is_refused(table_of, item, culprit) -> None:
    with pytest.raises(PaumerError, match=culprit):
        table_of(describe(sweep=(SweepItem(**item),)))


def test_batches_hold_images_of_one_size() -> None:
    sizes = [(4, 6), (4, 6), (4, 6), (6, 4), (4, 6)]
    items = [(torch.zeros(3, *size), torch.full(size, number)) for number, size in enumerate(sizes)]
    batches = list(evaluation_batches(items, 2))
    assert [len(images) for images, _ in batches] == [2, 1, 1, 1]
    assert [int(labels[0, 0, 0]) for _, labels in batches] == [0, 2, 3, 4]
