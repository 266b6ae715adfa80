"""Stage `throughput` from images to table."""

import itertools
import json

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from paumer.config.measuring import Evaluation, SweepItem, Throughput
from paumer.config.network import Backbone, Heads, NetworkSettings
from paumer.config.runs import CostSettings
from paumer.data.datasets import Sample
from paumer.data.loading import SegmentationData, evenly
from paumer.data.manifest import samples
from paumer.measurement import throughput as stage
from paumer.measurement.intervals import ratio
from paumer.measurement.modes import callable_of
from paumer.measurement.throughput import input_images, mean_windows, throughput
from paumer.measurement.timing import COLUMNS, ROUND_COLUMNS
from paumer.models.build import build, save_weights
from paumer.models.inference import predict
from paumer.models.segmenter import Segmenter
from paumer.strategies.registry import build_strategy, operating_point
from paumer.system.files import write_json

OPTIONS = {"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}
NET = Backbone(name="net", architecture="vit_tiny_patch16_224", options=OPTIONS)
CONTROL = Backbone(name="flat", architecture="vit_tiny_patch16_224", options=OPTIONS | {"depth": 1}, control_for="net")
SWEEP = (
    SweepItem(strategy="early-exit", schedules=("exit:2",)),
    SweepItem(strategy="pause", schedules=("2:0.4",), criteria=("random", "entropy")),
    SweepItem(strategy="adaptive-exit", schedules=("2@0.3",), criteria=("entropy", "margin"), recipes=("multi-exit",)),
    SweepItem(strategy="local-merge", schedules=("1@0.9",)),
)
FIXED = [("dense", "dense"), ("early-exit", "exit:2"), ("pause", "2:0.4"), ("smaller-backbone", "flat")]
FIXED += [("dense-again", "dense")]
TIMED = [*(f"{name} {schedule}" for name, schedule in FIXED), "floor 2:0.4"]


@pytest.fixture
def settings() -> CostSettings:
    return CostSettings(
        device="cpu",
        backbones=[NET, CONTROL],
        heads=Heads(blocks=(2,)),
        recipes=("dense", "multi-exit", "paumer"),
        sweep=SWEEP,
        throughput=Throughput(batches=(1, 2), images=5, rounds=3, block_seconds=0.001),
    )


@pytest.fixture
def run_of(settings, tmp_path):
    """Save an untrained network as the finished run of a recipe; give its folder and the network."""

    def save(recipe: str):
        torch.manual_seed(len(recipe))
        heads = settings.heads if recipe != "dense" else None
        network = NetworkSettings(backbone=NET, decoder=settings.decoder, heads=heads, classes=19, image_size=(32, 64))
        trained, folder = build(network), tmp_path / recipe
        folder.mkdir()
        save_weights(trained, folder / "model.safetensors")
        write_json(folder / "run.json", {"recipe": recipe, "network": network.model_dump(mode="json")})
        return folder, trained

    return save


NUMBERS = ("images_per_s", "speedup", "speedup_low", "speedup_high", "floor_ratio", "peak_memory_mb")


@pytest.fixture
def measure(settings, manifest, tmp_path):
    """Run the stage; give its table and its rounds."""

    def run(runs=None, described=settings) -> list[pd.DataFrame]:
        paths = [tmp_path / "throughput.csv", tmp_path / "rounds.csv"]
        throughput(described, manifest, runs or {}, *paths, tmp_path / "machine.json")
        return [pd.read_csv(path, keep_default_na=False, na_values={key: [""] for key in NUMBERS}) for path in paths]

    return run


def names(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(rows["strategy"], rows["schedule"], strict=True))


def test_table_has_a_row_for_every_point_of_fixed_cost_and_batch(measure) -> None:
    table, rounds = measure()
    assert list(table.columns) == COLUMNS
    assert list(rounds.columns) == ROUND_COLUMNS
    for batch in (1, 2):
        assert names(table[table["batch"] == batch]) == FIXED
        assert list(rounds[rounds["batch"] == batch].groupby("variant", sort=False).size().items()) == [
            (name, 3) for name in TIMED
        ]
    assert set(table["status"]) == {"ok"}
    assert set(table["rounds"]) == {3}
    assert set(table["scope"]) == {"logits"}
    assert set(table["recipe"]) == set(table["criterion"]) == {""}  # neither changes a fixed cost
    assert (table["strategy"].eq("pause") == table["floor_ratio"].notna()).all()


def test_costs_that_depend_on_the_image_are_timed_on_their_recipes_network(measure, run_of) -> None:
    runs = {("net", recipe): run_of(recipe)[0] for recipe in ("dense", "multi-exit", "paumer")}
    table, rounds = measure(runs)
    groups = {
        "": [(name, "", schedule) for name, schedule in FIXED],
        "dense": [("dense", "", "dense"), ("local-merge", "", "1@0.9"), ("dense-again", "", "dense")],
        "multi-exit": [
            ("dense", "", "dense"),
            ("adaptive-exit", "entropy", "2@0.3"),
            ("adaptive-exit", "margin", "2@0.3"),
            ("dense-again", "", "dense"),
        ],
    }
    assert set(table["recipe"]) == set(groups)
    for (batch, recipe), rows in table.groupby(["batch", "recipe"]):
        assert list(zip(rows["strategy"], rows["criterion"], rows["schedule"], strict=True)) == groups[recipe]
        timed = rounds[(rounds["batch"] == batch) & (rounds["recipe"] == recipe)]
        # Fixed costs over one batch, the others over all images in whole batches.
        assert set(timed["images"]) == {batch if recipe == "" else 5 // batch * batch}
        assert (rows.loc[rows["strategy"] == "dense", "speedup"] == 1).all()


def test_table_follows_from_the_rounds(measure, run_of) -> None:
    table, rounds = measure({("net", "multi-exit"): run_of("multi-exit")[0]})
    seconds = {key: group["seconds"].tolist() for key, group in rounds.groupby(["batch", "recipe", "variant"])}
    images = {key: group["images"].iloc[0] for key, group in rounds.groupby(["batch", "recipe"])}
    for row in table.itertuples():
        name = " ".join(filter(None, [row.strategy, row.criterion, row.schedule]))
        own, dense = seconds[row.batch, row.recipe, name], seconds[row.batch, row.recipe, "dense dense"]
        assert row.images_per_s == pytest.approx(images[row.batch, row.recipe] / sorted(own)[1], rel=1e-3)
        assert (row.speedup, row.speedup_low, row.speedup_high) == pytest.approx(ratio(dense, own), rel=1e-2, abs=1e-3)
        if row.strategy == "dense":
            assert (row.speedup, row.speedup_low, row.speedup_high) == (1, 1, 1)
        if row.strategy == "pause":
            floor = seconds[row.batch, row.recipe, f"floor {row.schedule}"]
            assert row.floor_ratio == pytest.approx(1 / ratio(floor, own)[0], rel=1e-2, abs=1e-3)


def never_fits() -> None:
    raise torch.OutOfMemoryError


def make_hungry(monkeypatch, *hungry: str) -> None:
    """Let the variants of these strategies run out of memory."""
    groups = stage.measure

    def measure(variants, *rest):
        eaten = {point: never_fits if point.strategy in hungry else run for point, run in variants.items()}
        return groups(eaten, *rest)

    monkeypatch.setattr(stage, "measure", measure)


def test_a_measurement_that_was_killed_goes_on_with_the_groups_that_are_left(
    measure, settings, tmp_path, monkeypatch, capsys
) -> None:
    timed: list[int] = []
    original = stage.measure

    def killed(variants, condition, timing):
        if len(timed) == 1:
            raise KeyboardInterrupt
        timed.append(condition.batch)
        return original(variants, condition, timing)

    monkeypatch.setattr(stage, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        measure()
    partial = tmp_path / "throughput.partial.json"
    [kept] = json.loads(partial.read_text(encoding="utf-8"))["groups"].values()

    def counted(variants, condition, timing):
        timed.append(condition.batch)
        return original(variants, condition, timing)

    monkeypatch.setattr(stage, "measure", counted)
    table, rounds = measure()
    assert timed == [1, 2]
    assert "1 groups were timed before" in capsys.readouterr().out
    first = rounds[rounds["batch"] == 1]
    assert first["seconds"].tolist() == pytest.approx([row["seconds"] for row in kept["rounds"]], rel=1e-5)
    assert names(table[table["batch"] == 1]) == names(table[table["batch"] == 2]) == FIXED
    assert not partial.exists()


@pytest.mark.parametrize("change", ["settings", "text"])
def test_kept_groups_of_another_measurement_count_for_nothing(measure, settings, tmp_path, change) -> None:
    partial = tmp_path / "throughput.partial.json"
    another = settings.model_dump(mode="json") | {"split": "train"}
    groups = {"net batch 1 32 x 64 float32 eager logits": {"rows": [], "rounds": []}}
    partial.write_text(
        json.dumps({"made_by": {"settings": another}, "groups": groups}) if change == "settings" else "{",
        encoding="utf-8",
    )
    table, _ = measure()
    assert set(table["batch"]) == {1, 2}
    assert not partial.exists()


def test_out_of_memory_is_a_row(measure, monkeypatch) -> None:
    make_hungry(monkeypatch, "early-exit")
    table, rounds = measure()
    hungry = table[table["strategy"] == "early-exit"]
    assert list(hungry["status"]) == ["oom", "oom"]
    assert hungry[["images_per_s", "speedup", "floor_ratio"]].isna().all(axis=None)
    assert set(hungry["rounds"]) == {0}
    assert set(table[table["strategy"] != "early-exit"]["status"]) == {"ok"}
    assert not rounds["variant"].str.startswith("early-exit").any()


def test_what_fits_beside_a_dense_that_does_not_keeps_its_images_per_second(measure, monkeypatch) -> None:
    make_hungry(monkeypatch, "dense")
    table, _ = measure()
    pause = table[table["strategy"] == "pause"]
    assert set(table[table["strategy"] == "dense"]["status"]) == {"oom"}
    assert (pause["images_per_s"] > 0).all()
    assert pause["speedup"].isna().all()
    assert set(pause["status"]) == {"ok"}


def test_trained_networks_are_measured_where_there_are_some(measure, run_of, monkeypatch) -> None:
    trained = {recipe: run_of(recipe) for recipe in ("paumer", "multi-exit")}
    ran, forward, measure_group = {}, Segmenter.forward, stage.measure

    def watch(variants, condition, timing):
        def forward_and_note(self, *arguments):
            ran.setdefault(condition.recipe, {})[id(self)] = self
            return forward(self, *arguments)

        monkeypatch.setattr(Segmenter, "forward", forward_and_note)
        return measure_group(variants, condition, timing)

    monkeypatch.setattr(stage, "measure", watch)
    measure({("net", recipe): folder for recipe, (folder, _) in trained.items()})
    assert set(ran) == {"", "multi-exit"}
    for group, recipe in (("", "paumer"), ("multi-exit", "multi-exit")):
        weight = trained[recipe][1].decoder.linear.weight
        networks = [model for model in ran[group].values() if len(model.blocks) > 1]  # but for the control
        assert networks
        assert all(torch.equal(model.decoder.linear.weight, weight) for model in networks)
        assert not any(model.training for model in networks)


def test_points_that_the_network_cannot_run_are_left_out_with_the_reason(measure, run_of, settings, capsys) -> None:
    """The trained network lacks the head after block 3."""
    sweep = (*SWEEP, SweepItem(strategy="early-exit", schedules=("exit:3",)))
    table, _ = measure({("net", "paumer"): run_of("paumer")[0]}, settings.model_copy(update={"sweep": sweep}))
    assert names(table[table["batch"] == 1]) == FIXED
    assert "net: early-exit exit:3 left out: the network has no auxiliary head after block 3" in capsys.readouterr().out


def test_input_is_different_images_of_the_split_cut_to_size(manifest) -> None:
    data = SegmentationData(*samples(manifest, "val"))
    images = input_images(data, 3, (24, 40))
    assert images.shape == (3, 3, 24, 40)
    assert torch.equal(images[1], data[1][0][:, :24, :40])
    assert not torch.equal(images[0], images[1])
    assert torch.equal(images[2], images[0])


@given(st.integers(1, 200), st.integers(1, 200))
def test_images_are_taken_evenly_from_the_split(total: int, count: int) -> None:
    places = evenly(total, count)
    assert len(places) == min(count, total) and places[0] == 0 and places[-1] < total
    steps = {after - before for before, after in itertools.pairwise([*places, total])}
    assert min(steps) >= 1 and max(steps) - min(steps) <= 1


def test_images_per_second_are_of_whole_images_where_windows_are_timed(measure, settings) -> None:
    """32 x 64 pixels in windows of 24 x 40 and steps of 16: 2 rows of 3."""
    windows = Evaluation(inference="sliding", window=(24, 40), stride=(16, 16), batch=4)
    timing = settings.throughput.model_copy(update={"scopes": ("logits", "image")})
    sliding = settings.model_copy(update={"evaluation": windows, "throughput": timing})
    table, rounds = measure(described=sliding)
    assert set(zip(table["height"], table["width"], strict=True)) == {(24, 40)}
    for (scope, batch), rows in table.groupby(["scope", "batch"]):
        assert set(rows["windows"]) == {6.0 if scope == "logits" else 1.0}
        timed = rounds[(rounds["scope"] == scope) & (rounds["batch"] == batch)]
        assert set(timed["images"].round(4)) == {round(batch / 6, 4) if scope == "logits" else batch}
        dense = timed.loc[timed["variant"] == "dense dense", ["images", "seconds"]]
        expected = dense["images"].iloc[0] / dense["seconds"].median()
        assert rows.loc[rows["strategy"] == "dense", "images_per_s"].item() == pytest.approx(expected, rel=1e-3)
    assert set(table["status"]) == {"ok"}


def test_windows_are_counted_over_all_images(tmp_path, manifest) -> None:
    dataset, found = samples(manifest, "val")
    tall = tmp_path / "tall.png"
    Image.new("RGB", (64, 48)).save(tall)
    data = SegmentationData(dataset, [*found, Sample(tall, found[0].label)])
    windows = Evaluation(inference="sliding", window=(24, 40), stride=(16, 16))
    assert mean_windows(windows, data) == pytest.approx((6 + 6 + 9) / 3)
    assert mean_windows(Evaluation(), data) == 1
    # Brought to a short side of 24, all are 24 x 48 or 24 x 32: one row of 2 windows, or of one.
    assert mean_windows(windows.model_copy(update={"short_side": 24}), data) == pytest.approx((2 + 2 + 1) / 3)


def test_full_images_are_labelled_as_evaluation_labels_them(make) -> None:
    model, images = make(), torch.randn(2, 3, 40, 72)
    pause = build_strategy(operating_point("pause", "entropy", "2:0.4"))
    windows = {"inference": "sliding", "window": (24, 40), "stride": (16, 24)}
    for settings in ({}, windows, {"short_side": 32}, windows | {"short_side": 32}):
        evaluation = Evaluation(**settings, batch=3)
        with torch.inference_mode():
            labelled = callable_of(model, pause, "image", "eager", evaluation)(images)
            [(_, predicted)] = predict(model, images, [pause], evaluation)
        assert labelled.shape == (2, 40, 72)
        assert (labelled == predicted.classes).float().mean() > 0.999
