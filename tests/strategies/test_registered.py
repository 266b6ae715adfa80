"""Every registered strategy, a new one without a word more, is what the registry says and runs at its examples."""

import copy
import inspect
from importlib import import_module

import pytest
import torch
from operating_points import describe, examples, strategy
from tiers import first
from torch.testing import assert_close

from paumer.strategies.compose import build_strategy, runnable
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.registry import RECIPES, REGISTRY, Point, operating_point

EXAMPLES = examples()
ENTRIES = pytest.mark.parametrize("name", REGISTRY)
POINTS = pytest.mark.parametrize(
    "point", first(EXAMPLES, kind=lambda point: (point.strategy, point.schedule)), ids=describe
)


def implementation(name: str) -> type[Strategy]:
    module, _, kind = REGISTRY[name].implementation.partition(":")
    return getattr(import_module(module), kind)


@ENTRIES
def test_its_class_is_a_strategy_of_its_name(name) -> None:
    kind = implementation(name)
    assert issubclass(kind, Strategy)
    assert kind.name == name
    assert kind.__doc__


@ENTRIES
def test_it_takes_parameters_and_a_criterion_where_it_has_some(name) -> None:
    entry = REGISTRY[name]
    signature = inspect.signature(implementation(name))
    assert len(signature.parameters) == (2 if entry.criteria else 1)
    for text in entry.example:
        parameters = entry.parse(text)
        arguments = (parameters, entry.criteria[-1]) if entry.criteria else (parameters,)
        built = implementation(name)(*arguments)
        assert built.criterion_name == (entry.criteria[-1] if entry.criteria else "")
        assert hash(built) == hash(implementation(name)(*arguments))


@ENTRIES
def test_it_is_described_and_runs_on_networks_that_there_are(name) -> None:
    entry = REGISTRY[name]
    assert entry.description
    assert entry.example
    assert entry.recipes
    assert set(entry.recipes) <= set(RECIPES)
    assert len(set(entry.criteria)) == len(entry.criteria)


@POINTS
def test_its_parameters_are_written_as_the_tables_write_them(point) -> None:
    built = build_strategy(point)
    assert built.schedule_text == point.schedule
    assert operating_point(point.strategy, point.criterion, point.schedule) == point
    assert (built.name, built.criterion_name) == (point.strategy, point.criterion)


@POINTS
def test_the_registry_knows_what_it_reads_and_whether_its_cost_depends_on_the_image(point) -> None:
    built = build_strategy(point)
    assert built.reads == tuple(point.head_blocks)
    assert point.depends_on_image or not built.per_image
    point.check_depth(9)


@POINTS
def test_it_needs_the_heads_that_it_reads(deep, point) -> None:
    headless = copy.copy(deep)
    headless._modules = deep._modules | {"heads": torch.nn.ModuleDict()}
    built = build_strategy(point)
    assert built.skip(deep) == ""
    assert bool(built.skip(headless)) == bool(built.reads)
    assert len(runnable(headless, [Point(), point], "net")) == (1 if built.reads else 2)


def test_what_a_network_cannot_run_is_named_with_the_reason(deep, capsys) -> None:
    headless = copy.copy(deep)
    headless._modules = deep._modules | {"heads": torch.nn.ModuleDict()}
    runnable(headless, [Point(), operating_point("pause", "", "3:0.4")], "net dense")
    assert capsys.readouterr().out == (
        "net dense: pause 3:0.4 left out: the network has no auxiliary head after block 3\n"
    )


@POINTS
def test_in_a_sweep_it_gives_what_it_gives_alone(deep_kind, images, point) -> None:
    torch.manual_seed(0)
    alone = deep_kind.patch_logits(images, build_strategy(point))
    torch.manual_seed(0)
    [dense, together] = deep_kind.sweep(images, [Dense(), build_strategy(point)])
    assert together.logits.isfinite().all()
    assert_close(together.logits, alone, rtol=0, atol=1e-12)
    assert_close(dense.logits, deep_kind.patch_logits(images), rtol=0, atol=1e-12)


@POINTS
def test_logits_have_the_size_of_the_image_whatever_it_is(deep, point) -> None:
    for shape in ((1, 3, 37, 50), (2, 3, 30, 61)):
        logits = deep(torch.randn(shape, dtype=torch.float64), build_strategy(point))
        assert logits.shape == (shape[0], 5, *shape[2:])
        assert logits.isfinite().all()


@POINTS
def test_it_runs_in_bfloat16(deep, images, point) -> None:
    single, built = copy.deepcopy(deep).float(), build_strategy(point)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert single(images.float(), built).isfinite().all()


@POINTS
def test_it_trains(deep, images, labels, point) -> None:
    built = build_strategy(point)
    if built.per_image:
        return  # images run one by one
    logits, predictions = deep.train_heads(images, labels, built)
    assert logits.isfinite().all()
    assert [said.logits.shape == said.truth.shape for said in predictions]


def test_strategies_of_the_test_helper_are_those_of_the_registry() -> None:
    assert strategy("pause", "3:0.4", "margin") == implementation("pause")(REGISTRY["pause"].parse("3:0.4"), "margin")
