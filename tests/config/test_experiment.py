"""An experiment file: every mistake is one line that names its key, and keys that would do nothing are refused."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paumer.config.base import parse
from paumer.config.experiment import Experiment
from paumer.config.measuring import MOST_LOCATIONS, Evaluation, SweepItem, read_evaluation, sweep_points
from paumer.config.network import NetworkSettings
from paumer.config.runs import CostSettings, EvaluateSettings, TrainSettings
from paumer.config.training import Merging, Pausing, Resizing
from paumer.evaluation.pauses import PAUSE_COLOURS
from paumer.strategies.registry import OperatingPoint, operating_point
from paumer.system.errors import PaumerError

SIX = "backbones: [{name: net, options: {depth: 6}}]\nheads: {blocks: [2, 4]}\nfigures: {pause_schedule: '2:0.4'}\n"
TWELVE = "backbones: [{name: net, options: {depth: 12}}]\n"
RECIPES = "training: {recipes: [dense, multi-exit, paumer, token-exit, merge, resize]"  # further keys follow


def make(text: str, base: str = SIX) -> Experiment:
    content: dict[str, Any] = {"sweep": []} if base is SIX else {}
    return parse(Experiment, content | yaml.safe_load(base) | (yaml.safe_load(text) or {}), "test")


def refused(text: str, base: str = SIX) -> str:
    """The one line that says what is wrong."""
    with pytest.raises(PaumerError) as caught:
        make(text, base)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("test: ")
    return str(caught.value)


# A mistake, and parts of the line that names it.
SWEEPS = {
    "{strategy: pose, schedules: ['2:0.4']}": ("sweep.0", "'pose'", "pause"),
    "{strategy: pause, schedules: ['2']}": ("sweep.0", "'2'", "write it like"),
    "{strategy: pause, schedules: []}": ("sweep.0.schedules", "at least 1"),
    "{strategy: pause, schedules: [dense]}": ("sweep.0", "every run evaluates anyway"),
    "{strategy: pause}": ("sweep.0.schedules", "missing"),
    "{schedules: ['2:0.4']}": ("sweep.0.strategy", "missing"),
    "{strategy: pause, schedules: ['2:0.4'], criteria: [noise]}": ("sweep.0", "'noise'", "entropy"),
    "{strategy: merge, schedules: ['1:0.1'], criteria: [entropy]}": ("sweep.0", "'entropy'", "none"),
    "{strategy: pause, schedules: ['2:0.4'], recipes: [sparse]}": ("sweep.0.recipes.0", "'sparse'"),
    "{strategy: pause, schedules: ['2:0.4'], criterion: []}": ("'sweep.0.criterion'", "did you mean 'criteria'"),
    "{strategy: pause>token-exit, schedules: ['2:0.4>4:0.1']}": ("sweep.0", "pause>token-exit"),
    "{strategy: merge>pause, schedules: ['1:0.1']}": ("sweep.0", "1 parts for 2"),
    "{strategy: merge, schedules: ['1:0.7']}": ("sweep.0", "more than half"),
    "{strategy: resize, schedules: ['scale:2']}": ("sweep.0", "'scale:2'"),
    "{strategy: pause, schedules: ['3:0.4']}": ("3:0.4", "after block 3", "heads.blocks", "[2, 4]"),
    "{strategy: pause, criteria: [random, entropy], schedules: ['5:0.4']}": ("after block 5",),
    "{strategy: early-exit, schedules: ['exit:5']}": ("exit:5", "after block 5", "heads.blocks"),
    "{strategy: token-exit, schedules: ['2:0.1+3:0.1']}": ("after block 3", "heads.blocks"),
    "{strategy: merge>pause, schedules: ['1:0.1>5:0.1']}": ("1:0.1>5:0.1", "after block 5"),
    "{strategy: merge, schedules: ['1-6:0.05']}": ("1-6:0.05", "block 6", "6 blocks"),
}
MISTAKES = {
    "results: 'a {1}'": ("results: 'a {1}' has braces",),
    "results: '{'": ("results: '{' has braces",),
    "results: ''": ("results: string should have at least 1 character",),  # would be the root of the disk
    "data: {train_split: ''}": ("data.train_split: string should have at least 1 character",),  # all splits at once
    "data: {eval_split: ''}": ("data.eval_split: string should have at least 1 character",),
    "seeds: [0, -1]": ("seeds.1",),
    "figures: {pause_schedule: '3:0.4'}": ("3:0.4", "after block 3", "heads.blocks"),
    "figures: {pause_schedule: x}": ("figures.pause_schedule", "'x'"),
    "heads: {blocks: [2, 4, 9]}": ("heads.blocks", "block 9", "6 blocks"),
    "heads: {blocks: [4, 2]}": ("heads.blocks", "rising"),
    "heads: {blocks: [2, 3], adapter: 8, context: 4}": ("heads", "context"),
    "heads: {blocks: [2, 3], context: 3}": ("heads", "context"),
    "heads: {blocks: [2, 6]}\nsweep: [{strategy: adaptive-exit, schedules: ['2@0.5+6@0.5']}]": ("block 6",),
    "training: {recipes: [paumer]}": ("training.recipes", "`dense` is missing"),
    "training: {recipes: [dense, sparse]}": ("training.recipes.1", "'sparse'"),
    "training: {recipes: [dense]}\nsweep: [{strategy: token-exit, recipes: [multi-exit], schedules: ['2:0.4']}]": (
        "sweep, token-exit",
        "multi-exit",
        "training.recipes",
    ),
    "training: {devices: 3}": ("training", "options.batch: 8 crops", "by 3 devices; use a multiple of 3"),
    "training: {recipe_phase: {momentum: 1}}": ("training.recipe_phase.momentum", "less than 1"),
    "training: {shared_phase: {clip: -1}}": ("training.shared_phase.clip", "greater than or equal to 0"),
    "decoder: {dropout: 1}": ("decoder.dropout", "less than 1"),
    RECIPES + ", merging: {schedules: ['1@0.9']}}": ("training.merging.schedules", "fractions"),
    RECIPES + ", merging: {schedules: [x]}}": ("training.merging.schedules", "'x'"),
    RECIPES + ", merging: {schedules: ['1:0.2+6:0.1']}}": ("1:0.2+6:0.1", "block 6", "6 blocks"),
    RECIPES + ", resizing: {scales: [0.5, 1.5]}}": ("training.resizing.scales.1", "less than or equal to 1"),
    RECIPES + ", pausing: {fraction: [0.5, 1]}}": ("training.pausing.fraction", "< 1"),
    "training: {pausing: {schedule: '3:0.4'}}": ("training.pausing.schedule: 3:0.4", "after block 3", "heads.blocks"),
    "ablations: {x: {pausing: {schedule: '3:0.4'}}}": ("ablations.x", "after block 3", "heads.blocks"),
    "training: {pausing: {schedule: '4:0.4', rejoin: 5}}": ("training.pausing", "skip nothing before block 5"),
    RECIPES + ", exiting: {schedule: '2:0.4+4:0.1 keep 3'}}": ("training.exiting.schedule", "'2:0.4+4:0.1 keep 3'"),
    "backbones: [{name: a, control_for: b}, {name: c}]": ("backbones.a.control_for", "'b'", "use c"),
    "backbones: [{name: a, control_for: a}]": ("backbones.a.control_for", "one without control_for"),
    "backbones: [{name: a}, {name: b, control_for: a}, {name: c, control_for: b}]": (
        "backbones.c.control_for",
        "use a",
    ),
    "backbones: [{name: a}, {name: a}]": ("backbones", "must differ", "a, a"),
    "backbones: []": ("backbones", "at least 1"),
    "backbones: [{name: a b}]": ("backbones.0.name", "'a b'"),
    "ablations: {x: {heads: {blocks: [1]}}}": ("add 2 to heads.blocks",),
    "ablations: {x: {heads: {hats: 1}}}": ("ablations.x.heads: unknown key 'hats'",),
    "ablations: {x: {pausing: {none: 3}}}": ("ablations.x.pausing: none",),
    "ablations: {x: {decoder: {}}}": ("ablations.x.decoder",),
    **{
        f"ablations: {{x: {{heads: {{weight: 0.5}}}}}}\ntraining: {{recipes: {recipes}}}": (
            "add it to training.recipes",
        )
        for recipes in ("[dense]", "[]")
    },
    **{
        f"backbones: [{{name: net, options: {{depth: 6, in_chans: {channels}}}}}]": (
            "backbones.0.options: in_chans: images are read as RGB, grey ones too, so networks have 3 channels",
        )
        for channels in ("0", "1", "4", "3.0", "true", "'4'")
    },
    **{
        f"device: {device!r}": (f"device: {device!r} is no device; use auto, cpu, cuda or cuda:1",)
        for device in ("gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "0", "")
    },
    **{
        f"ablations: {{x: {change}}}": ("ablations.x: changes nothing; name keys of heads or pausing",)
        for change in ("{}", "{heads: {}}", "{heads: {weight: 0.4}}", "{pausing: {none: 0.25}}")
    },
    **{f"sweep: [{item}]": parts for item, parts in SWEEPS.items()},
}
TWICE = {
    "evaluation.scales": "evaluation: {scales: [1.0, 0.5, 1.0]}",
    "seeds": "seeds: [0, 0]",
    "training.recipes": "training: {recipes: [dense, dense]}",
    "throughput.batches": "throughput: {batches: [1, 4, 1]}",
    "throughput.dtypes": "throughput: {dtypes: [float32, float32]}",
    "throughput.modes": "throughput: {modes: [eager, eager]}",
    "throughput.scopes": "throughput: {scopes: [logits, logits]}",
    "throughput.sizes.net": "throughput: {sizes: {net: [[64, 64], [64, 64]]}}",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_names_its_key(text: str) -> None:
    line = refused(text)
    assert all(part in line for part in MISTAKES[text]), line


@pytest.mark.parametrize("key", TWICE)
def test_what_stands_there_twice_is_refused(key: str) -> None:
    line = refused(TWICE[key])
    assert line.startswith(f"test: {key}: ")
    assert "stands there twice; name each once" in line


@pytest.mark.parametrize(
    "text",
    [
        "backbones: [{name: net, options: {depth: 6, in_chans: 3}}]",
        *(f"device: {device!r}" for device in ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu:0")),
        "sweep: [{strategy: pause, criteria: [random], schedules: ['5:0.4']}]",  # which needs no head
        "backbones: [{name: net, options: {depth: 6}}, {name: small, control_for: net, options: {depth: 1}}]",
        "training: {recipes: [dense, multi-exit, paumer]}",  # merging, by default until block 6, is no recipe
    ],
)
def test_what_fits_is_accepted(text: str) -> None:
    make(text)


@pytest.mark.parametrize("text", ["dense", "", "1-5:0.1"])
def test_the_schedule_of_the_pause_maps_pauses_after_as_many_blocks_as_there_are_colours(text: str) -> None:
    line = refused(f"figures: {{pause_schedule: '{text}'}}\nheads: {{blocks: [1, 2, 3, 4, 5]}}")
    assert f"figures.pause_schedule: {text or 'dense'} pauses after" in line
    assert f"draw 1 to {MOST_LOCATIONS}" in line
    assert len(PAUSE_COLOURS) >= MOST_LOCATIONS


# Keys that do nothing

CONTROL = "backbones: [{name: net, options: {depth: 12}}, {name: small, control_for: net%s}]"
OWN = "backbones: [{name: net, options: {depth: 12}, %s}]"
# A key that does nothing: with what, what is said of it, and with what it does something.
IDLE = {
    "heads.layers": ("heads: {layers: 3}", "set heads.adapter above 0", "heads: {adapter: 8, layers: 3}"),
    "heads.weight": (
        "heads: {weight: 1}\ntraining: {recipes: [dense]}",
        "add multi-exit or paumer or token-exit to training.recipes",
        "heads: {weight: 1}\ntraining: {recipes: [dense, multi-exit]}",
    ),
    "backbones.net.heads.layers": (
        OWN % "heads: {layers: 3}",
        "set backbones.net.heads.adapter above 0",
        OWN % "heads: {layers: 3, adapter: 8}",
    ),
    "ablations.x.heads.layers": (
        "ablations: {x: {heads: {layers: 3}}}",
        "set ablations.x.heads.adapter above 0",
        "ablations: {x: {heads: {layers: 3, adapter: 8}}}",
    ),
    "decoder.layers": (
        "decoder: {layers: 3}",
        "set decoder.name to mask_transformer",
        "decoder: {name: mask_transformer, layers: 3}",
    ),
    "decoder.dropout": (
        "decoder: {name: linear, dropout: 0.1}",
        "set decoder.name to mask_transformer",
        "decoder: {name: mask_transformer, dropout: 0.1}",
    ),
    "decoder.sub_patch": (
        "decoder: {name: mask_transformer, sub_patch: 2}",
        "set decoder.name to linear",
        "decoder: {name: linear, sub_patch: 2}",
    ),
    "backbones.net.decoder.sub_patch": (
        OWN % "decoder: {name: mask_transformer, sub_patch: 2}",
        "set backbones.net.decoder.name to linear",
        OWN % "decoder: {sub_patch: 2}",
    ),
    "backbones.small.heads": (CONTROL % ", heads: {blocks: [2]}", "remove control_for", CONTROL % ""),
    "training.shared_heads": (
        "training: {shared_heads: true}",
        "describe training.shared_phase",
        "training: {shared_heads: true, shared_phase: {}}",
    ),
    "training.recipe_phase.momentum": (
        "training: {recipe_phase: {momentum: 0.5}}",
        "set training.recipe_phase.optimizer to sgd",
        "training: {recipe_phase: {momentum: 0.5, optimizer: sgd}}",
    ),
    "training.shared_phase.matrix_learning_rate": (
        "training: {shared_phase: {matrix_learning_rate: 0.1}}",
        "set training.shared_phase.optimizer to muon",
        "training: {shared_phase: {matrix_learning_rate: 0.1, optimizer: muon}}",
    ),
    "training.pausing.locations": (
        "training: {recipes: [dense, multi-exit], pausing: {locations: 1}}",
        "add it to training.recipes",
        "training: {pausing: {locations: 1}}",
    ),
    "training.pausing.fraction": (
        "training: {pausing: {schedule: '3:0.4', fraction: [0.1, 0.2]}}",
        "remove training.pausing.schedule",
        "training: {pausing: {schedule: '3:0.4'}}",
    ),
    "ablations.x.pausing.locations": (
        "ablations: {x: {pausing: {schedule: '3:0.4', locations: 1}}}",
        "remove ablations.x.pausing.schedule",
        "training: {pausing: {locations: 2}}\nablations: {x: {pausing: {schedule: '3:0.4'}}}",
    ),
    "training.exiting.keep": (
        "training: {exiting: {keep: 1}}",
        "without recipe token-exit; add it",
        "training: {recipes: [dense, token-exit], exiting: {keep: 1}}",
    ),
    "training.merging.none": (
        "training: {merging: {none: 0.5}}",
        "without recipe merge; add it",
        "training: {recipes: [dense, merge], merging: {none: 0.5}}",
    ),
    "training.resizing.scales": (
        "training: {resizing: {scales: [0.5]}}",
        "without recipe resize; add it",
        "training: {recipes: [dense, resize], resizing: {scales: [0.5]}}",
    ),
    "figures.pause_maps": (
        "figures: {pause_maps: 2}\ntraining: {recipes: [dense, multi-exit]}",
        "without recipe paumer; add it",
        "figures: {pause_maps: 2}",
    ),
    "evaluation.window": (
        "evaluation: {window: [512, 512]}",
        "set evaluation.inference to sliding",
        "evaluation: {window: [512, 512], inference: sliding}",
    ),
    "evaluation.stride": (
        "evaluation: {stride: [256, 256], inference: whole}",
        "set evaluation.inference to sliding",
        "evaluation: {stride: [256, 256], inference: sliding}",
    ),
    "data.scenes.height": (
        "data: {dataset: camvid, scenes: {height: 64}}",
        "use scenes",
        "data: {scenes: {height: 64}}",
    ),
}
WITHOUT_HEADS = "sweep: [{strategy: resize, schedules: ['scale:0.5']}]\n"


@pytest.mark.parametrize("key", IDLE)
def test_a_key_that_does_nothing_is_refused_with_what_would_make_it(key: str) -> None:
    content, remedy, useful = IDLE[key]
    line = refused(WITHOUT_HEADS + content, TWELVE)
    assert line.startswith(f"test: {key}: does nothing ")
    assert remedy in line
    make(WITHOUT_HEADS + useful, TWELVE)


@pytest.mark.parametrize("key", IDLE)
def test_what_a_stage_stores_names_every_key_and_is_read_again(key: str) -> None:
    """Defaults that do nothing are no mistake: what is stored names them, and so did earlier versions."""
    experiment = make(WITHOUT_HEADS + IDLE[key][2], TWELVE)
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


def test_an_ablation_may_make_keys_idle() -> None:
    """What it takes away is what it shows."""
    experiment = make("heads: {adapter: 8, layers: 2}\nablations: {x: {heads: {adapter: 0}}}", TWELVE)
    assert experiment.ablated("x").heads.layers == 2


def test_an_evaluation_that_is_typed_is_held_to_the_same() -> None:
    """`paumer predict --evaluation '{window: [64, 64]}'` would see images whole."""
    with pytest.raises(PaumerError, match=r"settings: evaluation\.window: does nothing .*inference to sliding"):
        read_evaluation({"window": [64, 64], "stride": [32, 32]}, "settings")
    assert read_evaluation({"flip": True}, "settings") == Evaluation(flip=True)


# What is read


def test_numbers_that_arrive_as_text_are_numbers() -> None:
    experiment = make("backbones: [{name: a, options: {depth: '6', qk_norm: 'true', act: gelu}}]")
    assert experiment.backbones[0].options == {"depth": 6, "qk_norm": True, "act": "gelu"}


def test_a_strategy_has_usual_criteria_and_recipes() -> None:
    def criteria(strategy: str, schedule: str) -> list[str]:
        return [point.criterion for point in SweepItem(strategy=strategy, schedules=(schedule,)).points()]

    assert (criteria("token-exit", "2:0.4"), criteria("merge", "2:0.4")) == (["confidence"], [""])
    item = SweepItem(strategy="early-exit", schedules=("exit:2",))
    recipes = ["dense", "multi-exit", "paumer", "merge", "resize"]
    assert [recipe for recipe in recipes if item.runs_on(recipe)] == ["multi-exit", "paumer"]
    named = item.model_copy(update={"recipes": ("multi-exit",)})
    assert [recipe for recipe in recipes if named.runs_on(recipe)] == ["multi-exit"]


def test_every_point_stands_once_and_dense_first() -> None:
    items = [SweepItem(strategy="pause", schedules=("2:0.4", "02:.40", "4:0.2"), criteria=("margin", "margin"))]
    points = [operating_point("pause", "margin", schedule) for schedule in ("2:0.4", "4:0.2")]
    assert sweep_points(items) == [OperatingPoint(), *points]
    assert sweep_points([]) == [OperatingPoint()]


@given(st.sampled_from(["1:0.3+3:0.1", "01:.30 + 3:0.1", "1:0.3000+3:0.1"]))
def test_training_schedules_are_written_one_way(text: str) -> None:
    assert Merging(schedules=(text,)).model_dump()["schedules"] == ("1:0.3+3:0.1",)


def test_defaults_of_the_recipes_are_possible() -> None:
    assert Merging().schedules
    assert Resizing().scales
    assert 0 <= Pausing().none <= 1
