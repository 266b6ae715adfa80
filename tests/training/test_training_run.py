"""Whole runs: killed and resumed, started from another run, and broken off."""

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pandas as pd
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from tiers import first

from paumer.config.network import Data, Heads, Scenes
from paumer.data.loading import SegmentationData
from paumer.data.preparation import prepare
from paumer.models.build import load_run
from paumer.system.files import read_json
from paumer.training import checkpoints, loop
from paumer.training.loop import train
from paumer.training.optimization import Optimization


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_killed_and_resumed_run_is_the_uninterrupted_one(settings, manifest, tmp_path, verb, assert_whole) -> None:
    described = settings(epochs=10, options={"checkpoint_minutes": 0})
    checkpoint, resumed = tmp_path / "checkpoint", tmp_path / "run"
    command = [sys.executable, "-m", "paumer", *verb(described, manifest, tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (checkpoint / checkpoints.NAME).exists():
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (resumed / "model.safetensors").exists()
    assert 1 <= torch.load(checkpoint / checkpoints.NAME)["step"] < 30
    train(described, manifest, resumed, checkpoint, None)
    assert pd.read_csv(resumed / "train.csv")["step"].tolist() == [20, 30]
    assert_whole(resumed, described)


@pytest.mark.parametrize(
    ("optimizer", "step"), first([("muon", 4), ("adamw", 4), ("sgd", 4), ("muon", 1), ("muon", 8)])
)
def test_a_run_goes_on_at_any_step(settings, manifest, tmp_path, interrupt, assert_whole, optimizer, step) -> None:
    described = settings(phase={"optimizer": optimizer})
    arguments = (described, manifest, tmp_path / "run", tmp_path / "checkpoint", None)
    interrupt(step, *arguments)
    assert torch.load(tmp_path / "checkpoint" / checkpoints.NAME)["step"] == step
    train(*arguments)
    assert_whole(tmp_path / "run", described)


@pytest.mark.parametrize("recipe", first(["token-exit", "merge", "resize"]))
def test_a_run_of_any_recipe_goes_on_where_it_stopped(
    of_recipe, manifest, tmp_path, interrupt, assert_whole, recipe
) -> None:
    arguments = (of_recipe(recipe), manifest, tmp_path / "run", tmp_path / "checkpoint", None)
    interrupt(4, *arguments)
    train(*arguments)
    assert_whole(tmp_path / "run", of_recipe(recipe))
    model, run = load_run(tmp_path / "run")
    assert (run["recipe"], len(model.heads)) == (recipe, 2 if recipe == "token-exit" else 0)


@pytest.mark.parametrize("other", ["settings", "start", "data"])
def test_a_checkpoint_of_another_run_is_not_resumed(
    settings, manifest, tmp_path, interrupt, assert_whole, other
) -> None:
    before = (settings(rate=2e-3) if other == "settings" else settings(), manifest, None)
    data, start = manifest, None
    if other == "start":
        for seed in (0, 1):
            shared = settings(epochs=1, seed=seed, recipe="shared")
            train(shared, manifest, tmp_path / f"shared{seed}", tmp_path / "none", None)
        before, start = (settings(), manifest, tmp_path / "shared0"), tmp_path / "shared1"
    if other == "data":
        data = tmp_path / "data.json"
        prepare(Data(scenes=Scenes(train_images=6, val_images=1, height=32, width=64, seed=1)), data, threads=1)
    folders = (tmp_path / "run", tmp_path / "checkpoint")
    interrupt(5, before[0], before[1], *folders, before[2])
    train(settings(), data, *folders, start)
    assert_whole(tmp_path / "run", settings(), data, start)


def test_leftovers_of_a_kill_go_with_the_checkpoint(settings, manifest, tmp_path) -> None:
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / ".last.12345.part.pt").write_bytes(b"half a checkpoint")
    train(settings(epochs=1), manifest, tmp_path / "run", checkpoint, None)
    assert not checkpoint.exists()


def test_run_describes_itself_and_loads(settings, manifest, tmp_path) -> None:
    described = settings(epochs=1)
    train(described, manifest, tmp_path / "run", tmp_path / "checkpoint", None)
    model, run = load_run(tmp_path / "run")
    assert run["steps"] == 3
    assert run["epochs"] == 1.0
    assert run["settings"] == described.model_dump(mode="json")
    assert run["parameters"] == sum(value.numel() for value in model.parameters())
    assert run["final_loss"] == pytest.approx(pd.read_csv(tmp_path / "run/train.csv")["final_loss"].iloc[-1], rel=1e-4)
    assert set(model.heads) == {"1", "2"}


def test_a_run_takes_the_normalization_of_its_weights_and_tells(
    settings, manifest, tmp_path, capsys, assert_same_run
) -> None:
    backbone, taken, log = settings().backbone.model_dump(), {}, {}
    first = settings(epochs=1, backbone=backbone | {"normalization": "half"})
    train(first, manifest, tmp_path / "first", tmp_path / "none", None)
    for given in ("auto", "half", "imagenet"):
        following = backbone | {"weights": str(tmp_path / "first"), "normalization": given}
        capsys.readouterr()
        train(settings(epochs=1, backbone=following), manifest, tmp_path / given, tmp_path / "none", None)
        log[given] = capsys.readouterr().err
        taken[given] = read_json(tmp_path / given / "run.json")["network"]["backbone"]["normalization"]
    assert taken == {"auto": "half", "half": "half", "imagenet": "imagenet"}
    assert_same_run(tmp_path / "auto", tmp_path / "half")
    assert all("normalization of the weights: half\n" in log[given] for given in ("auto", "half"))
    assert "normalization imagenet is not that of the weights, half; leave normalization of" in log["imagenet"]


def test_recipe_goes_on_where_the_shared_phase_ended(settings, manifest, tmp_path) -> None:
    shared, recipe = tmp_path / "shared", tmp_path / "recipe"
    plain = {"heads": None, "pausing": None}
    train(settings(epochs=2, recipe="shared", **plain), manifest, shared, tmp_path / "checkpoint", None)
    train(settings(epochs=1, rate=1e-12, phase={"weight_decay": 0}), manifest, recipe, tmp_path / "none", shared)
    assert read_json(recipe / "run.json")["steps"] == 6 + 3
    assert pd.read_csv(recipe / "train.csv")["epoch"].tolist() == [3.0]
    name = "decoder.linear.weight"  # at a vanishing learning rate it stays what it was
    torch.testing.assert_close(weights(recipe)[name], weights(shared)[name], rtol=0, atol=1e-6)


def test_a_network_cut_in_depth_is_trained_in_both_phases(settings, manifest, tmp_path) -> None:
    """The control of a network with pretrained weights: its first blocks, trained for as many steps."""
    plain = {"heads": None, "pausing": None, "epochs": 1}
    torch.manual_seed(0)
    backbone = settings().backbone
    deeper = timm.create_model(backbone.architecture, **backbone.options, num_classes=0)
    save_file(deeper.state_dict(), tmp_path / "vit.safetensors")
    cut = backbone.model_copy(
        update={"options": backbone.options | {"depth": 3}, "weights": str(tmp_path / "vit.safetensors")}
    ).model_dump()
    still = {"phase": {"optimizer": "adamw", "weight_decay": 0}, "rate": 1e-12, **plain, "backbone": cut}
    train(settings(recipe="shared", **still), manifest, tmp_path / "shared", tmp_path / "none", None)
    train(settings(recipe="dense", **still), manifest, tmp_path / "dense", tmp_path / "none", tmp_path / "shared")
    trained = weights(tmp_path / "dense")
    assert {name.split(".")[3] for name in trained if ".blocks." in name} == {"0", "1", "2"}
    for number in range(3):  # at a vanishing learning rate they stay what they were
        name = f"blocks.{number}.mlp.fc1.weight"
        torch.testing.assert_close(trained[f"encoder.vit.{name}"], deeper.state_dict()[name], rtol=0, atol=1e-6)


def test_runs_of_two_seeds_differ_and_of_one_seed_agree(settings, manifest, tmp_path, assert_same_run) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(settings(epochs=1, seed=seed), manifest, tmp_path / name, tmp_path / "none", None)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    name = "decoder.linear.weight"
    assert not torch.equal(weights(tmp_path / "a")[name], weights(tmp_path / "c")[name])


def test_loss_that_is_not_finite_ends_the_run_with_one_line(settings, manifest, tmp_path, verb, command_line) -> None:
    line = command_line.refuse(*verb(settings(rate=1e30, phase={"optimizer": "adamw"}), manifest, tmp_path))
    assert line.startswith("training paumer: loss is nan before step 9")
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_waiting_for_data_is_a_share_of_the_time(settings, manifest, tmp_path, monkeypatch) -> None:
    """By a clock that loading an image turns by 3, and a step by 2: a step of two images waits for 6 of 8."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)

    def turn(kind: type, name: str, seconds: float) -> None:
        original = getattr(kind, name)

        def turning(*arguments):
            clock.now += seconds
            return original(*arguments)

        monkeypatch.setattr(kind, name, turning)

    monkeypatch.setattr(loop, "time", clock)
    turn(SegmentationData, "__getitem__", 3)
    turn(Optimization, "step", 2)
    train(settings(epochs=1, options={"batch": 2}), manifest, tmp_path / "run", tmp_path / "checkpoint", None)
    run = read_json(tmp_path / "run" / "run.json")
    assert (run["steps"], run["wall_seconds"], run["waiting"]) == (3, 24, 0.75)


def test_training_learns(settings, manifest, tmp_path) -> None:
    options = {"augmentation": {"scale": (1, 1), "flip": 0, "colour": 0}, "drop_path": 0}
    train(settings(epochs=20, rate=3e-3, options=options), manifest, tmp_path / "run", tmp_path / "none", None)
    losses = pd.read_csv(tmp_path / "run/train.csv")["loss"]
    assert losses.iloc[-1] < 0.8 * losses.iloc[0]


@pytest.mark.parametrize("heads", first([{"classifier": "decoder", "adapter": 8, "context": 3}, {"classifier": "own"}]))
def test_heads_of_the_shared_phase_leave_the_network_as_it_is(settings, manifest, tmp_path, heads) -> None:
    described = {"with": Heads(blocks=(1, 2), gradient=0, **heads), "without": None}
    for name, some in described.items():
        run = settings(epochs=2, recipe="shared", heads=some, pausing=None)
        train(run, manifest, tmp_path / name, tmp_path / "none", None)
    taught, plain = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert all(torch.equal(taught[name], value) for name, value in plain.items())
    assert all(name.startswith("heads.") for name in set(taught) - set(plain))
    zero = "linear.bias" if heads["classifier"] == "own" else "adapter.layers.0.network.2.bias"  # before training
    assert all(taught[f"heads.{block}.{zero}"].abs().max() > 0 for block in (1, 2))
    dense = settings(epochs=1, recipe="dense", heads=None, pausing=None)
    train(dense, manifest, tmp_path / "dense", tmp_path / "none", tmp_path / "with")
    assert set(weights(tmp_path / "dense")) == set(plain)
