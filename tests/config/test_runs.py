"""What each stage gets of an experiment."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from paumer.config.base import parse
from paumer.config.experiment import Experiment
from paumer.config.measuring import Throughput, sweep_points
from paumer.config.network import Data, Decoder, Heads, Scenes
from paumer.config.runs import (
    BoundsSettings,
    CostSettings,
    EvaluateSettings,
    MapsSettings,
    SemanticsSettings,
    TrainSettings,
)
from paumer.data.preparation import prepare
from paumer.measurement.flops import flops
from paumer.strategies.registry import OperatingPoint
from paumer.system.errors import PaumerError

SIX = {"depth": 6}
RECIPES = ["dense", "multi-exit", "paumer", "token-exit", "merge", "resize"]
TRAINING = {"recipes": RECIPES, "merging": {"schedules": ["1:0.3+3:0.1"]}}
SWEEP = [
    {"strategy": "pause", "schedules": ["2:0.3", "2:0.3+4:0.3"], "criteria": ["random", "entropy", "oracle"]},
    {"strategy": "early-exit", "schedules": ["exit:4"]},
    {"strategy": "adaptive-exit", "schedules": ["2@0.3"], "criteria": ["entropy", "margin"]},
    {"strategy": "token-exit", "schedules": ["2:0.4", "2@0.3"], "recipes": ["multi-exit", "paumer", "token-exit"]},
    {"strategy": "merge", "schedules": ["1-3:0.1"], "recipes": ["dense", "paumer"]},
    {"strategy": "local-merge", "schedules": ["1:0.3", "1@0.9"]},
    {"strategy": "merge>pause", "schedules": ["1-2:0.1>4:0.4"]},
    {"strategy": "resize", "schedules": ["scale:0.5"]},
]


def make_experiment(**changes: Any) -> Experiment:
    content = {
        "backbones": [{"name": "large", "options": SIX}, {"name": "small", "control_for": "large", "options": SIX}],
        "heads": {"blocks": [2, 4]},
        "training": TRAINING,
        "sweep": SWEEP,
        "figures": {"pause_schedule": "2:0.4"},
    }
    return parse(Experiment, content | changes, "test")


def sweep_of(**item: Any) -> dict[str, Any]:
    return {"sweep": [item]}


POINTS = {
    "dense": ["merge 1-3:0.1", "local-merge 1:0.3", "local-merge 1@0.9", "resize scale:0.5"],
    "multi-exit": [
        "early-exit exit:4",
        "adaptive-exit entropy 2@0.3",
        "adaptive-exit margin 2@0.3",
        "token-exit confidence 2:0.4",
        "token-exit confidence 2@0.3",
    ],
    "token-exit": ["token-exit confidence 2:0.4", "token-exit confidence 2@0.3"],
    "merge": ["local-merge 1:0.3", "local-merge 1@0.9"],
    "resize": ["resize scale:0.5"],
}


def written(points: list[OperatingPoint]) -> list[str]:
    return [" ".join(filter(None, [point.strategy, point.criterion, point.schedule])) for point in points]


@pytest.mark.parametrize("recipe", POINTS)
def test_a_network_is_evaluated_at_the_points_of_its_recipe(recipe: str) -> None:
    settings = EvaluateSettings.of(make_experiment(), "large", recipe)  # type: ignore[arg-type]
    assert written(sweep_points(settings.sweep)) == ["dense dense", *POINTS[recipe]]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_control_is_evaluated_dense_alone(recipe: str) -> None:
    settings = EvaluateSettings.of(make_experiment(), "small", recipe)  # type: ignore[arg-type]
    assert sweep_points(settings.sweep) == [OperatingPoint()]


def test_a_control_is_trained_plainly_alone() -> None:
    experiment = make_experiment()
    large, small = experiment.backbones
    assert experiment.main_backbones == [large]
    assert experiment.recipes_of(large) == tuple(RECIPES)
    assert experiment.recipes_of(small) == ("dense",)
    assert [item.name for item in BoundsSettings.of(experiment).backbones] == ["large"]


def test_fixed_costs_are_measured_once_whatever_the_criterion() -> None:
    """The criterion that reads heads goes before those that only bound others."""
    assert written(CostSettings.of(make_experiment(), timed=False).fixed_points()) == [
        "dense dense",
        "merge 1-3:0.1",
        "local-merge 1:0.3",
        "resize scale:0.5",
        "early-exit exit:4",
        "token-exit confidence 2:0.4",
        "pause entropy 2:0.3",
        "pause entropy 2:0.3+4:0.3",
        "merge>pause entropy 1:0.1+2:0.1>4:0.4",
    ]


def test_controls_alone_are_measured_where_nothing_else_is_asked_for() -> None:
    sweep = sweep_of(strategy="pause", schedules=["2:0.4"], criteria=["oracle", "random"])
    assert written(CostSettings.of(make_experiment(**sweep), timed=False).fixed_points()) == [
        "dense dense",
        "pause oracle 2:0.4",
    ]


def test_costs_that_depend_on_the_image_are_measured_on_each_recipes_network() -> None:
    settings = CostSettings.of(make_experiment(), timed=True)
    assert written(settings.image_points("dense")) == ["local-merge 1@0.9"]
    assert written(settings.image_points("paumer")) == [
        "adaptive-exit entropy 2@0.3",
        "adaptive-exit margin 2@0.3",
        "token-exit confidence 2@0.3",
    ]
    assert settings.image_points("resize") == []
    assert settings.timed_recipes() == ["dense", "multi-exit", "paumer", "token-exit", "merge"]
    few = CostSettings.of(make_experiment(**sweep_of(strategy="pause", schedules=["2:0.4"])), timed=True)
    assert few.timed_recipes() == ["paumer"]


def test_a_stage_gets_no_more_than_it_depends_on() -> None:
    sizes = {"large": [[64, 64]]}
    experiment = make_experiment(device="cuda", throughput={"sizes": sizes, "rounds": 16})
    counted, timed = (CostSettings.of(experiment, timed=timed) for timed in (False, True))
    assert counted.throughput == Throughput.model_validate({"sizes": sizes})  # how long it is timed is not its matter
    assert counted.device == "cpu"  # counting needs no accelerator
    assert timed.throughput == experiment.throughput
    assert timed.device == MapsSettings.of(experiment).device == "cuda"
    assert [item.name for item in timed.main_backbones] == ["large"]
    assert [item.name for item in timed.controls(timed.main_backbones[0])] == ["small"]


@pytest.mark.parametrize("recipe", [*RECIPES, "shared"])
def test_a_run_gets_what_its_recipe_trains_with(recipe: str) -> None:
    settings = TrainSettings.of(make_experiment(), "large", recipe, 3)  # type: ignore[arg-type]
    assert (settings.recipe, settings.seed, settings.backbone.name) == (recipe, 3, "large")
    assert (settings.heads is not None) == (recipe in ("multi-exit", "paumer", "token-exit"))
    assert (settings.pausing is not None) == (recipe == "paumer")
    assert (settings.exiting is not None) == (recipe == "token-exit")
    assert (settings.merging is not None) == (recipe == "merge")
    assert (settings.resizing is not None) == (recipe == "resize")


def test_shared_phase_is_that_of_the_shared_run_alone() -> None:
    experiment = make_experiment(training=TRAINING | {"shared_phase": {"epochs": 7}, "recipe_phase": {"epochs": 2}})
    epochs = {recipe: TrainSettings.of(experiment, "large", recipe, 0).phase.epochs for recipe in ("shared", "dense")}  # type: ignore[arg-type]
    assert epochs == {"shared": 7, "dense": 2}


def test_the_shared_phase_trains_heads_where_it_shall() -> None:
    def heads(backbone="large", **training):
        training = {"shared_phase": {"epochs": 7}} | training
        return TrainSettings.of(make_experiment(training=training, sweep=[]), backbone, "shared", 0).heads

    assert heads() is None
    assert heads(shared_heads=True) == make_experiment().heads.model_copy(update={"gradient": 0.0})
    assert heads("small", shared_heads=True) is None  # a control, which may be too shallow for them


def test_settings_survive_the_command_line() -> None:
    """Every rule passes its settings as text."""
    experiment = make_experiment()
    for settings in (
        TrainSettings.of(experiment, "large", "merge", 0),
        EvaluateSettings.of(experiment, "large", "paumer"),
        CostSettings.of(experiment, timed=True),
        BoundsSettings.of(experiment),
        MapsSettings.of(experiment),
    ):
        assert parse(type(settings), yaml.safe_load(settings.model_dump_json()), "test") == settings


def test_an_ablation_is_the_experiment_with_its_changes() -> None:
    changes = {"plain": {"heads": {"gradient": 0.5}, "pausing": {"none": 0.1}}}
    experiment = make_experiment(ablations=changes)
    changed = experiment.ablated("plain")
    assert (changed.heads.gradient, changed.heads.blocks) == (0.5, experiment.heads.blocks)
    assert changed.training.pausing.none == 0.1
    assert changed.training.recipe_phase == experiment.training.recipe_phase
    settings = TrainSettings.of(experiment, "large", "ablation-plain", 3)
    assert (settings.recipe, settings.variant, settings.seed) == ("paumer", "plain", 3)
    assert settings.heads == changed.heads
    itself = TrainSettings.of(experiment, "large", "paumer", 3)
    assert (itself.variant, itself.heads) == ("", experiment.heads)
    evaluated = EvaluateSettings.of(experiment, "large", "ablation-plain")
    assert {point.strategy for point in sweep_points(evaluated.sweep)} == {"dense", "pause", "merge>pause"}
    assert {point.criterion for point in sweep_points(evaluated.sweep)} == {"", "entropy"}


def test_semantics_pauses_as_the_sweep_does_at_one_location() -> None:
    assert SemanticsSettings.of(make_experiment()).fractions == (0.3,)
    schedules = ["4:0.5", "2:0.3", "4:0.3", "2:0.3+4:0.3", "2@0.9"]
    paused = make_experiment(sweep=[{"strategy": "pause", "schedules": schedules}])
    assert SemanticsSettings.of(paused).fractions == (0.3, 0.5)
    exits = make_experiment(sweep=[{"strategy": "early-exit", "schedules": ["exit:4"]}])
    assert SemanticsSettings.of(exits).fractions == (0.2, 0.4, 0.6)


# Backbones with a decoder and heads of their own beside those that take the experiment's

SHAPE = {"embed_dim": 32, "depth": 4, "num_heads": 2, "patch_size": 8}
OWN = {
    "decoder": {"name": "linear", "sub_patch": 2},
    "heads": {"blocks": [1, 2], "adapter": 8, "classifier": "decoder"},
}
BACKBONES = [
    {"name": "usual", "options": SHAPE},
    {"name": "own", "options": SHAPE, **OWN},
    {"name": "control", "options": SHAPE, "control_for": "own", "decoder": OWN["decoder"]},
]


def with_own(**changes: Any) -> Experiment:
    content = {
        "backbones": BACKBONES,
        "decoder": {"name": "mask_transformer", "layers": 1},
        "heads": {"blocks": [2]},
        "sweep": [{"strategy": "pause", "schedules": ["2:0.4"]}],
        "figures": {"pause_schedule": "2:0.4"},
    }
    return parse(Experiment, content | changes, "test")


def test_each_network_is_trained_with_what_is_its() -> None:
    usual, own, control = (TrainSettings.of(with_own(), name, "paumer", 0) for name in ("usual", "own", "control"))
    assert (usual.decoder.name, usual.heads) == ("mask_transformer", Heads(blocks=(2,)))
    assert (own.decoder, own.heads) == (Decoder(sub_patch=2), Heads(blocks=(1, 2), adapter=8, classifier="decoder"))
    assert control.decoder == Decoder(sub_patch=2)
    assert own.backbone.decoder is None  # it is said once
    assert own.backbone.heads is None


def test_an_ablation_changes_all_heads() -> None:
    experiment = with_own(ablations={"light": {"heads": {"weight": 0.1}}})
    heads = {name: TrainSettings.of(experiment, name, "ablation-light", 0).heads for name in ("usual", "own")}
    assert heads == {
        "usual": Heads(blocks=(2,), weight=0.1),
        "own": Heads(blocks=(1, 2), adapter=8, classifier="decoder", weight=0.1),
    }


def test_costs_are_those_of_each_network(tmp_path: Path) -> None:
    scenes = Scenes(train_images=1, val_images=1, height=32, width=64)
    prepare(Data(scenes=scenes), tmp_path / "data.json", threads=1)
    flops(CostSettings.of(with_own(), timed=False), tmp_path / "data.json", tmp_path / "flops.csv")
    rows = pd.read_csv(tmp_path / "flops.csv").set_index(["backbone", "strategy"])
    assert rows.loc["usual", "decoder"].unique().tolist() == ["mask_transformer"]
    assert rows.loc["own", "decoder"].unique().tolist() == ["linear"]
    patches, width, cells, classes = 32, 32, 4, 19
    assert rows.loc[("own", "dense"), "gmac_decoder"] == pytest.approx(
        patches * width * cells * classes / 1e9, abs=1e-6
    )
    assert rows.loc[("usual", "dense"), "gmac_decoder"] > 2 * rows.loc[("own", "dense"), "gmac_decoder"]
    heads = rows.xs("pause", level="strategy")["gmac_heads"] * 1e9
    assert heads.to_dict() == pytest.approx(
        {"usual": patches * width * classes, "own": patches * 2 * width * 8}, abs=1000
    )


def test_bounds_are_those_of_each_decoder() -> None:
    settings = BoundsSettings.of(with_own())
    assert [backbone.decoder for backbone in settings.backbones] == [None, Decoder(sub_patch=2)]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"heads": {"blocks": [2], "adapter": 8, "classifier": "decoder"}}, ("heads.classifier", "linear decoder")),
        (
            {"backbones": [BACKBONES[0], BACKBONES[1] | {"decoder": None}]},
            ("backbones.own.heads.classifier", "linear decoder"),
        ),
        ({"sweep": [{"strategy": "pause", "schedules": ["1:0.4"]}]}, ("1:0.4", "add 1 to heads.blocks (now [2])")),
        (
            {"backbones": [BACKBONES[0], BACKBONES[1] | {"heads": {"blocks": [1]}}]},
            ("2:0.4", "add 2 to backbones.own.heads.blocks (now [1])"),
        ),
        (
            {"backbones": [BACKBONES[0], BACKBONES[1] | {"heads": {"blocks": [2, 5]}, "decoder": None}]},
            ("no block 5 in a network of 4 blocks",),
        ),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], parts: tuple[str, ...]) -> None:
    with pytest.raises(PaumerError) as caught:
        with_own(**changes)
    assert all(part in str(caught.value) for part in parts), caught.value
