"""Stage `throughput` from images to table."""

import pandas as pd
import pytest
import torch

from paumer.config import Backbone, Heads, Sweep, Throughput
from paumer.data.loading import SegmentationData
from paumer.data.preparation import samples
from paumer.files import write_json
from paumer.measurement import throughput as stage
from paumer.measurement.harness import ratio
from paumer.measurement.inputs import network_settings
from paumer.measurement.throughput import COLUMNS, input_images, throughput
from paumer.models.build import build, save_weights
from paumer.stages import CostSettings
from paumer.strategies.contract import Strategy

OPTIONS = {"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}
POINTS = [("dense", "dense"), ("early-exit", "exit:2"), ("pause", "2:0.4"), ("dense-again", "dense")]
TIMED = ["dense dense", "early-exit exit:2", "pause 2:0.4", "floor 2:0.4", "dense-again dense"]


@pytest.fixture
def settings() -> CostSettings:
    return CostSettings(
        device="cpu",
        backbones=[Backbone(name="net", architecture="vit_tiny_patch16_224", options=OPTIONS)],
        heads=Heads(blocks=(2,)),
        sweep=Sweep(schedules=("2:0.4",), exits=(2,)),
        throughput=Throughput(batches=(1, 2), rounds=3, block_seconds=0.001),
    )


@pytest.fixture
def measure(settings, manifest, tmp_path):
    """Run the stage; give its table and its rounds."""

    def run(folders=None) -> tuple[pd.DataFrame, pd.DataFrame]:
        table, rounds = tmp_path / "throughput.csv", tmp_path / "rounds.csv"
        throughput(settings, manifest, folders or {}, table, rounds)
        return pd.read_csv(table, keep_default_na=False, na_values=[""]), pd.read_csv(rounds)

    return run


class Hungry(Strategy):
    """Never fits."""

    name = "hungry"

    def after_block(self, block, tokens, state):
        raise torch.OutOfMemoryError


def test_table_has_a_row_for_every_point_and_batch(measure) -> None:
    table, rounds = measure()
    assert list(table.columns) == COLUMNS
    for batch in (1, 2):
        rows = table[table["batch"] == batch]
        assert list(zip(rows["strategy"], rows["schedule"], strict=True)) == POINTS
        assert list(rounds[rounds["batch"] == batch].groupby("variant", sort=False).size().items()) == [
            (name, 3) for name in TIMED
        ]
    assert set(table["status"]) == {"ok"}
    assert set(table["rounds"]) == {3}
    assert set(table["scope"]) == {"logits"}
    assert (table["strategy"].eq("pause") == table["floor_ratio"].notna()).all()


def test_table_follows_from_the_rounds(measure) -> None:
    table, rounds = measure()
    seconds = {key: group["seconds"].tolist() for key, group in rounds.groupby(["batch", "variant"])}
    for row in table.itertuples():
        own, dense = seconds[row.batch, f"{row.strategy} {row.schedule}"], seconds[row.batch, "dense dense"]
        assert row.images_per_s == pytest.approx(row.batch / sorted(own)[1], rel=1e-3)
        assert (row.speedup, row.speedup_low, row.speedup_high) == pytest.approx(ratio(dense, own), rel=1e-2, abs=1e-3)
        if row.strategy == "dense":
            assert (row.speedup, row.speedup_low, row.speedup_high) == (1, 1, 1)
        if row.strategy == "pause":
            floor = seconds[row.batch, f"floor {row.schedule}"]
            assert row.floor_ratio == pytest.approx(1 / ratio(floor, own)[0], rel=1e-2, abs=1e-3)


def test_out_of_memory_is_a_row(measure, monkeypatch) -> None:
    points = stage.cost_points
    monkeypatch.setattr(stage, "cost_points", lambda *arguments: [*points(*arguments), Hungry()])
    table, rounds = measure()
    hungry = table[table["strategy"] == "hungry"]
    assert list(hungry["status"]) == ["oom", "oom"]
    assert hungry[["images_per_s", "speedup", "floor_ratio"]].isna().all(axis=None)
    assert set(hungry["rounds"]) == {0}
    assert set(table[table["strategy"] != "hungry"]["status"]) == {"ok"}
    assert not rounds["variant"].str.startswith("hungry").any()


class HungryDense(Hungry):
    """Dense inference that never fits."""

    name = "dense"


def test_where_nothing_fits_all_rows_say_so(measure, monkeypatch) -> None:
    monkeypatch.setattr(stage, "cost_points", lambda *_: [HungryDense()])
    monkeypatch.setattr(stage, "Dense", HungryDense)
    table, _ = measure()
    assert list(table.columns) == COLUMNS
    assert set(table["status"]) == {"oom"}


def test_what_fits_beside_a_dense_that_does_not_keeps_its_images_per_second(measure, monkeypatch) -> None:
    points = stage.cost_points
    monkeypatch.setattr(stage, "cost_points", lambda *arguments: [HungryDense(), *points(*arguments)[1:]])
    table, _ = measure()
    pause = table[table["strategy"] == "pause"]
    assert set(table[table["strategy"] == "dense"]["status"]) == {"oom"}
    assert (pause["images_per_s"] > 0).all()
    assert pause["speedup"].isna().all()
    assert set(pause["status"]) == {"ok"}


def test_trained_networks_are_measured_where_there_are_some(settings, measure, tmp_path, monkeypatch) -> None:
    network = network_settings(settings, settings.backbones[0], 19, (32, 64))
    trained = build(network)
    save_weights(trained, tmp_path / "model.safetensors")
    write_json(tmp_path / "run.json", {"network": network.model_dump(mode="json")})
    measured, original = [], stage._measure
    monkeypatch.setattr(stage, "_measure", lambda model, *rest: measured.append(model) or original(model, *rest))
    measure({"net": tmp_path})
    assert all(torch.equal(model.decoder.head.linear.weight, trained.decoder.head.linear.weight) for model in measured)
    assert measured
    assert not any(model.training for model in measured)


def test_input_is_different_images_of_the_split_cut_to_size(manifest) -> None:
    data = SegmentationData(*samples(manifest, "val"))
    images = input_images(data, 3, (24, 40))
    assert images.shape == (3, 3, 24, 40)
    assert torch.equal(images[1], data[1][0][:, :24, :40])
    assert not torch.equal(images[0], images[1])
    assert torch.equal(images[2], images[0])
