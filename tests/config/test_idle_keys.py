"""Keys that would do nothing are refused with what would make them do something; so is what stands there twice."""

from typing import Any

import pytest

from paumer.config import Evaluation, Experiment, parse, read_evaluation
from paumer.config.measuring import MOST_LOCATIONS
from paumer.config.network import NetworkSettings
from paumer.config.runs import CostSettings, EvaluateSettings, TrainSettings
from paumer.evaluation.pauses import PAUSE_COLOURS
from paumer.system.errors import PaumerError

BACKBONES = [{"name": "net", "options": {"depth": 12}}]
CONTROL = {"name": "small", "control_for": "net"}


def make(**content: Any) -> Experiment:
    return parse(Experiment, {"backbones": BACKBONES} | content, "test")


def refused(**content: Any) -> str:
    with pytest.raises(PaumerError) as caught:
        make(**content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# A key that does nothing, what is said of it, and the keys by which it does something.
IDLE = {
    "heads.layers": ({"heads": {"layers": 3}}, "set heads.adapter above 0", {"heads": {"adapter": 8, "layers": 3}}),
    "backbones.net.heads.layers": (
        {"backbones": [BACKBONES[0] | {"heads": {"layers": 3}}]},
        "set backbones.net.heads.adapter above 0",
        {"backbones": [BACKBONES[0] | {"heads": {"layers": 3, "adapter": 8}}]},
    ),
    "ablations.x.heads.layers": (
        {"ablations": {"x": {"heads": {"layers": 3}}}},
        "set heads.adapter above 0",
        {"ablations": {"x": {"heads": {"layers": 3, "adapter": 8}}}},
    ),
    "decoder.layers": (
        {"decoder": {"layers": 3}},
        "set decoder.name to mask_transformer",
        {"decoder": {"name": "mask_transformer", "layers": 3}},
    ),
    "decoder.dropout": (
        {"decoder": {"name": "linear", "dropout": 0.1}},
        "set decoder.name to mask_transformer",
        {"decoder": {"name": "mask_transformer", "dropout": 0.1}},
    ),
    "decoder.sub_patch": (
        {"decoder": {"name": "mask_transformer", "sub_patch": 2}},
        "set decoder.name to linear",
        {"decoder": {"name": "linear", "sub_patch": 2}},
    ),
    "backbones.net.decoder.sub_patch": (
        {"backbones": [BACKBONES[0] | {"decoder": {"name": "mask_transformer", "sub_patch": 2}}]},
        "set backbones.net.decoder.name to linear",
        {"backbones": [BACKBONES[0] | {"decoder": {"sub_patch": 2}}]},
    ),
    "backbones.small.heads": (
        {"backbones": [*BACKBONES, CONTROL | {"heads": {"blocks": [2]}}]},
        "remove control_for",
        {"backbones": [*BACKBONES, CONTROL]},
    ),
    "training.shared_heads": (
        {"training": {"shared_heads": True}},
        "describe training.shared_phase",
        {"training": {"shared_heads": True, "shared_phase": {}}},
    ),
    "training.recipe_phase.momentum": (
        {"training": {"recipe_phase": {"momentum": 0.5}}},
        "set training.recipe_phase.optimizer to sgd",
        {"training": {"recipe_phase": {"momentum": 0.5, "optimizer": "sgd"}}},
    ),
    "training.shared_phase.matrix_learning_rate": (
        {"training": {"shared_phase": {"matrix_learning_rate": 0.1}}},
        "set training.shared_phase.optimizer to muon",
        {"training": {"shared_phase": {"matrix_learning_rate": 0.1, "optimizer": "muon"}}},
    ),
    "training.pausing.locations": (
        {"training": {"recipes": ["dense", "multi-exit"], "pausing": {"locations": 1}}},
        "add it to training.recipes",
        {"training": {"pausing": {"locations": 1}}},
    ),
    "training.merging.none": (
        {"training": {"merging": {"none": 0.5}}},
        "without recipe merge; add it",
        {"training": {"recipes": ["dense", "merge"], "merging": {"none": 0.5}}},
    ),
    "training.resizing.scales": (
        {"training": {"resizing": {"scales": [0.5]}}},
        "without recipe resize; add it",
        {"training": {"recipes": ["dense", "resize"], "resizing": {"scales": [0.5]}}},
    ),
    "evaluation.window": (
        {"evaluation": {"window": [512, 512]}},
        "set evaluation.inference to sliding",
        {"evaluation": {"window": [512, 512], "inference": "sliding"}},
    ),
    "evaluation.stride": (
        {"evaluation": {"stride": [256, 256], "inference": "whole"}},
        "set evaluation.inference to sliding",
        {"evaluation": {"stride": [256, 256], "inference": "sliding"}},
    ),
    "data.scenes.height": (
        {"data": {"dataset": "camvid", "scenes": {"height": 64}}},
        "use scenes",
        {"data": {"scenes": {"height": 64}}},
    ),
}


@pytest.mark.parametrize("key", IDLE)
def test_a_key_that_does_nothing_is_refused_with_what_would_make_it(key: str) -> None:
    content, remedy, useful = IDLE[key]
    line = refused(**content)
    assert line.startswith(f"test: {key}: does nothing ")
    assert remedy in line
    make(**useful)


@pytest.mark.parametrize("key", IDLE)
def test_what_a_stage_stores_names_every_key_and_is_read_again(key: str) -> None:
    """Defaults that do nothing are no mistake: what is stored names them, and so did earlier versions."""
    experiment = make(**IDLE[key][2])
    assert parse(Experiment, experiment.model_dump(mode="json"), "test") == experiment
    for settings in (
        EvaluateSettings.of(experiment, "net", "dense"),
        CostSettings.of(experiment, timed=True),
        TrainSettings.of(experiment, "net", "dense", 0),
    ):
        assert parse(type(settings), settings.model_dump(mode="json"), "test") == settings


def test_stored_networks_are_read_whatever_they_name() -> None:
    """Those of earlier versions may name a key that did nothing."""
    stored = {"backbone": {"name": "net"}, "heads": {"layers": 3}, "classes": 5, "image_size": [64, 64]}
    for decoder in ({"name": "linear", "layers": 3}, {"name": "mask_transformer", "sub_patch": 2}):
        assert parse(NetworkSettings, stored | {"decoder": decoder}, "test")


TWICE = {
    "evaluation.scales": {"evaluation": {"scales": [1.0, 0.5, 1.0]}},
    "seeds": {"seeds": [0, 0]},
    "training.recipes": {"training": {"recipes": ["dense", "dense"]}},
    "throughput.batches": {"throughput": {"batches": [1, 4, 1]}},
    "throughput.dtypes": {"throughput": {"dtypes": ["float32", "float32"]}},
    "throughput.modes": {"throughput": {"modes": ["eager", "eager"]}},
    "throughput.scopes": {"throughput": {"scopes": ["logits", "logits"]}},
    "throughput.sizes": {"throughput": {"sizes": {"net": [[64, 64], [64, 64]]}}},
}


@pytest.mark.parametrize("key", TWICE)
def test_what_stands_there_twice_is_refused(key: str) -> None:
    line = refused(**TWICE[key])
    assert line.startswith(f"test: {key}: ")
    assert "stands there twice; name each once" in line


@pytest.mark.parametrize("change", [{}, {"heads": {}}, {"heads": {"weight": 0.4}}, {"pausing": {"none": 0.25}}])
def test_an_ablation_that_changes_nothing_is_refused(change: dict[str, Any]) -> None:
    assert "ablations.x: changes nothing; name keys of heads or pausing" in refused(ablations={"x": change})


def test_an_ablation_may_make_keys_idle() -> None:
    """What it takes away is what it shows."""
    heads = {"adapter": 8, "layers": 2}
    assert make(heads=heads, ablations={"x": {"heads": {"adapter": 0}}}).ablated("x").heads.layers == 2


@pytest.mark.parametrize("text", ["dense", "", "1-5:0.1"])
def test_the_schedule_of_the_pause_maps_pauses_after_as_many_blocks_as_there_are_colours(text: str) -> None:
    line = refused(figures={"pause_schedule": text}, heads={"blocks": [1, 2, 3, 4, 5]})
    assert f"figures.pause_schedule: {text or 'dense'} pauses after" in line
    assert f"draw 1 to {MOST_LOCATIONS}" in line
    assert len(PAUSE_COLOURS) >= MOST_LOCATIONS


def test_negative_seeds_are_refused() -> None:
    assert "seeds.1" in refused(seeds=[0, -1])


def test_an_evaluation_that_is_typed_is_held_to_the_same() -> None:
    """`paumer predict --evaluation '{window: [64, 64]}'` would see images whole."""
    with pytest.raises(PaumerError, match=r"settings: evaluation\.window: does nothing .*inference to sliding"):
        read_evaluation({"window": [64, 64], "stride": [32, 32]}, "settings")
    assert read_evaluation({"flip": True}, "settings") == Evaluation(flip=True)


@pytest.mark.parametrize("recipes", [["dense"], []])
def test_ablations_of_what_is_not_trained_are_refused(recipes: list[str]) -> None:
    line = refused(ablations={"x": {"heads": {"weight": 0.5}}}, training={"recipes": recipes}, sweep=[])
    assert "ablations: they are variants of recipe paumer; add it to training.recipes" in line
