"""The configuration: mistakes as one line that names the key, and what each stage gets of it."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paumer.config import Experiment, Merging, Pausing, Resizing, SweepItem, Throughput, parse, sweep_points
from paumer.config.runs import (
    BoundsSettings,
    CostSettings,
    EvaluateSettings,
    MapsSettings,
    SemanticsSettings,
    TrainSettings,
)
from paumer.strategies.registry import OperatingPoint, operating_point
from paumer.system.errors import PaumerError

SIX = {"depth": 6}
RECIPES = ["dense", "multi-exit", "paumer", "merge", "resize"]
TRAINING = {"recipes": RECIPES, "merging": {"schedules": ["1:0.3+3:0.1"]}}
SWEEP = [
    {"strategy": "pause", "schedules": ["2:0.3", "2:0.3+4:0.3"], "criteria": ["random", "entropy", "oracle"]},
    {"strategy": "early-exit", "schedules": ["exit:4"]},
    {"strategy": "adaptive-exit", "schedules": ["2@0.3"], "criteria": ["entropy", "margin"]},
    {"strategy": "token-exit", "schedules": ["2:0.4", "2@0.3"], "recipes": ["multi-exit", "paumer"]},
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


def refused(**changes: Any) -> str:
    """The one line that says what is wrong."""
    with pytest.raises(PaumerError) as caught:
        make_experiment(**changes)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("test: ")
    return line


def sweep_of(**item: Any) -> dict[str, Any]:
    return {"sweep": [item]}


@pytest.mark.parametrize(
    ("item", "parts"),
    [
        ({"strategy": "pose", "schedules": ["2:0.4"]}, ("sweep.0", "'pose'", "pause")),
        ({"strategy": "pause", "schedules": ["2"]}, ("sweep.0", "'2'", "write it like")),
        ({"strategy": "pause", "schedules": []}, ("sweep.0.schedules", "at least 1")),
        ({"strategy": "pause", "schedules": ["dense"]}, ("sweep.0", "every run evaluates anyway")),
        ({"strategy": "pause"}, ("sweep.0.schedules", "missing")),
        ({"schedules": ["2:0.4"]}, ("sweep.0.strategy", "missing")),
        ({"strategy": "pause", "schedules": ["2:0.4"], "criteria": ["noise"]}, ("sweep.0", "'noise'", "entropy")),
        ({"strategy": "merge", "schedules": ["1:0.1"], "criteria": ["entropy"]}, ("sweep.0", "'entropy'", "none")),
        ({"strategy": "pause", "schedules": ["2:0.4"], "recipes": ["sparse"]}, ("sweep.0.recipes.0", "'sparse'")),
        (
            {"strategy": "pause", "schedules": ["2:0.4"], "criterion": []},
            ("'sweep.0.criterion'", "did you mean 'criteria'"),
        ),
        ({"strategy": "pause>token-exit", "schedules": ["2:0.4>4:0.1"]}, ("sweep.0", "pause>token-exit")),
        ({"strategy": "merge>pause", "schedules": ["1:0.1"]}, ("sweep.0", "1 parts for 2")),
        ({"strategy": "merge", "schedules": ["1:0.7"]}, ("sweep.0", "more than half")),
        ({"strategy": "resize", "schedules": ["scale:2"]}, ("sweep.0", "'scale:2'")),
    ],
)
def test_a_mistake_in_the_sweep_names_its_key(item: dict[str, Any], parts: tuple[str, ...]) -> None:
    line = refused(**sweep_of(**item))
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("channels", [0, 1, 4, 3.0, True, "4"])
def test_networks_of_other_channels_than_images_are_refused(channels: Any) -> None:
    line = refused(backbones=[{"name": "large", "options": SIX | {"in_chans": channels}}])
    assert "backbones.0.options: in_chans: images are read as RGB, grey ones too, so networks have 3 channels" in line
    assert make_experiment(backbones=[{"name": "large", "options": SIX | {"in_chans": 3}}])


@pytest.mark.parametrize("device", ["gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "0", ""])
def test_devices_that_are_none_are_refused(device: str) -> None:
    assert f"device: {device!r} is no device; use auto, cpu, cuda or cuda:1" in refused(device=device)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps", "xpu:0"])
def test_devices_of_torch_are_accepted(device: str) -> None:
    assert make_experiment(device=device).device == device


@pytest.mark.parametrize("results", ["a {1}", "{", "}"])
def test_results_in_a_folder_with_braces_are_refused(results: str) -> None:
    assert f"results: {results!r} has braces" in refused(results=results)


@pytest.mark.parametrize("key", ["results", "data.train_split", "data.eval_split"])
def test_names_that_are_empty_are_refused(key: str) -> None:
    """They would stand for the root of the disk, and for all splits at once."""
    *section, name = key.split(".")
    assert f"{key}: string should have at least 1 character" in refused(
        **({"data": {name: ""}} if section else {name: ""})
    )


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (sweep_of(strategy="pause", schedules=["3:0.4"]), ("3:0.4", "after block 3", "heads.blocks", "[2, 4]")),
        (sweep_of(strategy="early-exit", schedules=["exit:5"]), ("exit:5", "after block 5", "heads.blocks")),
        (sweep_of(strategy="token-exit", schedules=["2:0.1+3:0.1"]), ("after block 3", "heads.blocks")),
        (sweep_of(strategy="merge>pause", schedules=["1:0.1>5:0.1"]), ("1:0.1>5:0.1", "after block 5")),
        ({"figures": {"pause_schedule": "3:0.4"}}, ("3:0.4", "after block 3", "heads.blocks")),
        ({"figures": {"pause_schedule": "x"}}, ("figures.pause_schedule", "'x'")),
        ({"heads": {"blocks": [2, 4, 9]}}, ("heads.blocks", "block 9", "6 blocks")),
        ({"heads": {"blocks": [4, 2]}}, ("heads.blocks", "rising")),
        (sweep_of(strategy="merge", schedules=["1-6:0.05"]), ("1-6:0.05", "block 6", "6 blocks")),
        (sweep_of(strategy="adaptive-exit", schedules=["2@0.5+6@0.5"]) | {"heads": {"blocks": [2, 6]}}, ("block 6",)),
        ({"training": {"recipes": ["paumer"]}}, ("training.recipes", "`dense` is missing")),
        ({"training": {"recipes": ["dense"]}}, ("sweep, token-exit", "multi-exit", "training.recipes")),
        ({"training": {"recipes": ["dense", "sparse"]}}, ("training.recipes.1", "'sparse'")),
        ({"training": {"devices": 3}}, ("training", "options.batch: 8 crops", "by 3 devices; use a multiple of 3")),
        ({"training": {"recipe_phase": {"momentum": 1}}}, ("training.recipe_phase.momentum", "less than 1")),
        ({"training": {"shared_phase": {"clip": -1}}}, ("training.shared_phase.clip", "greater than or equal to 0")),
        ({"decoder": {"dropout": 1}}, ("decoder.dropout", "less than 1")),
        (
            {"training": {"recipes": RECIPES, "merging": {"schedules": ["1@0.9"]}}},
            ("training.merging.schedules", "fractions"),
        ),
        ({"training": {"recipes": RECIPES, "merging": {"schedules": ["x"]}}}, ("training.merging.schedules", "'x'")),
        (
            {"training": {"recipes": RECIPES, "merging": {"schedules": ["1:0.2+6:0.1"]}}},
            ("1:0.2+6:0.1", "block 6", "6 blocks"),
        ),
        (
            {"training": {"recipes": RECIPES, "resizing": {"scales": [0.5, 1.5]}}},
            ("training.resizing.scales", "up to 1"),
        ),
        ({"training": {"recipes": RECIPES, "pausing": {"fraction": [0.5, 1]}}}, ("training.pausing.fraction", "< 1")),
    ],
)
def test_parts_that_do_not_fit_each_other_are_named(changes: dict[str, Any], parts: tuple[str, ...]) -> None:
    line = refused(**changes)
    assert all(part in line for part in parts), line


def test_random_pausing_needs_no_head() -> None:
    item = {"strategy": "pause", "schedules": ["5:0.4"]}
    make_experiment(sweep=[item | {"criteria": ["random"]}])
    assert "after block 5" in refused(sweep=[item | {"criteria": ["random", "entropy"]}])


@pytest.mark.parametrize(
    ("backbones", "parts"),
    [
        ([{"name": "a", "control_for": "b"}, {"name": "c"}], ("backbones.a.control_for", "'b'", "use c")),
        ([{"name": "a", "control_for": "a"}], ("backbones.a.control_for", "one without control_for")),
        (
            [{"name": "a"}, {"name": "b", "control_for": "a"}, {"name": "c", "control_for": "b"}],
            ("backbones.c.control_for", "'b'", "use a"),
        ),
        ([{"name": "a"}, {"name": "a"}], ("backbones", "must differ", "a, a")),
        ([], ("backbones", "at least 1")),
        ([{"name": "a b"}], ("backbones.0.name", "'a b'")),
    ],
)
def test_a_control_needs_a_backbone_that_is_studied(backbones: list[dict[str, str]], parts: tuple[str, ...]) -> None:
    line = refused(backbones=backbones, sweep=[])
    assert all(part in line for part in parts), line


def test_the_depth_of_a_control_does_not_matter() -> None:
    backbones = [{"name": "large", "options": SIX}, {"name": "small", "control_for": "large", "options": {"depth": 1}}]
    make_experiment(backbones=backbones)


def test_numbers_that_arrive_as_text_are_numbers() -> None:
    experiment = make_experiment(backbones=[{"name": "a", "options": {"depth": "6", "qk_norm": "true", "act": "gelu"}}])
    assert experiment.backbones[0].options == {"depth": 6, "qk_norm": True, "act": "gelu"}


def test_without_criteria_a_strategy_takes_its_usual_one() -> None:
    assert [point.criterion for point in SweepItem(strategy="token-exit", schedules=("2:0.4",)).points()] == [
        "confidence"
    ]
    assert [point.criterion for point in SweepItem(strategy="merge", schedules=("2:0.4",)).points()] == [""]


def test_without_recipes_a_strategy_runs_on_its_usual_ones() -> None:
    item = SweepItem(strategy="early-exit", schedules=("exit:2",))
    assert [recipe for recipe in RECIPES if item.runs_on(recipe)] == ["multi-exit", "paumer"]
    named = SweepItem(strategy="early-exit", schedules=("exit:2",), recipes=("multi-exit",))
    assert [recipe for recipe in RECIPES if named.runs_on(recipe)] == ["multi-exit"]


def test_every_point_stands_once_and_dense_first() -> None:
    items = [SweepItem(strategy="pause", schedules=("2:0.4", "02:.40", "4:0.2"), criteria=("margin", "margin"))]
    assert sweep_points(items) == [
        OperatingPoint(),
        operating_point("pause", "margin", "2:0.4"),
        operating_point("pause", "margin", "4:0.2"),
    ]
    assert sweep_points([]) == [OperatingPoint()]


POINTS = {
    "dense": ["merge 1-3:0.1", "local-merge 1:0.3", "local-merge 1@0.9", "resize scale:0.5"],
    "multi-exit": [
        "early-exit exit:4",
        "adaptive-exit entropy 2@0.3",
        "adaptive-exit margin 2@0.3",
        "token-exit confidence 2:0.4",
        "token-exit confidence 2@0.3",
    ],
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
    assert settings.timed_recipes() == ["dense", "multi-exit", "paumer", "merge"]
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
    assert (settings.heads is not None) == (recipe in ("multi-exit", "paumer"))
    assert (settings.pausing is not None) == (recipe == "paumer")
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
    assert heads(shared_heads=True, recipes=["dense"]) is None
    assert heads("small", shared_heads=True) is None  # a control, which may be too shallow for them


@given(st.sampled_from(["1:0.3+3:0.1", "01:.30 + 3:0.1", "1:0.3000+3:0.1"]))
def test_training_schedules_are_written_one_way(text: str) -> None:
    assert Merging(schedules=(text,)).schedules == ("1:0.3+3:0.1",)


def test_what_no_recipe_trains_with_need_not_fit() -> None:
    """The default merging schedules end at block 6, the last of these networks."""
    assert make_experiment(training={"recipes": RECIPES[:3]}).training.merging == Merging()


def test_defaults_of_the_recipes_are_possible() -> None:
    assert Merging().schedules
    assert Resizing().scales
    assert 0 <= Pausing().none <= 1


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


@pytest.mark.parametrize("heads", [{"adapter": 8, "context": 4}, {"context": 3}])
def test_heads_that_cannot_be_are_refused(heads) -> None:
    with pytest.raises(PaumerError, match=r"heads.*context"):
        make_experiment(heads={"blocks": [2, 3], **heads})


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": {"blocks": [1]}}, "add 2 to heads.blocks"),
        ({"heads": {"hats": 1}}, r"ablations\.x\.heads: unknown key 'hats'"),
        ({"pausing": {"none": 3}}, r"ablations\.x\.pausing: none"),
        ({"decoder": {}}, r"ablations.x.decoder"),
    ],
)
def test_ablations_that_cannot_be_are_refused(change, message) -> None:
    with pytest.raises(PaumerError, match=message):
        make_experiment(ablations={"x": change})


def test_ablations_are_of_recipe_paumer() -> None:
    with pytest.raises(PaumerError, match="variants of recipe paumer"):
        make_experiment(training={"recipes": ["dense"]}, sweep=[], ablations={"x": {}})


def test_semantics_pauses_as_the_sweep_does_at_one_location() -> None:
    assert SemanticsSettings.of(make_experiment()).fractions == (0.3,)
    schedules = ["4:0.5", "2:0.3", "4:0.3", "2:0.3+4:0.3", "2:0.7 over batch", "2@0.9"]
    paused = make_experiment(sweep=[{"strategy": "pause", "schedules": schedules}])
    assert SemanticsSettings.of(paused).fractions == (0.3, 0.5)
    exits = make_experiment(sweep=[{"strategy": "early-exit", "schedules": ["exit:4"]}])
    assert SemanticsSettings.of(exits).fractions == (0.2, 0.4, 0.6)
