"""Every registered strategy, a new one without a word more, is what the registry says and runs at its examples."""

import copy

import pytest
import torch
from operating_points import describe, examples, strategy
from tiers import first

from paumer.deployment.extending.conformance import CHECKS, alone, sizes, sweep
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.declared import RECIPES
from paumer.strategies.registry import REGISTRY, OperatingPoint, operating_point, runnable

EXAMPLES = examples()
ENTRIES = pytest.mark.parametrize("kind", REGISTRY.values(), ids=REGISTRY)
POINTS = pytest.mark.parametrize(
    "point", first(EXAMPLES, kind=lambda point: (point.strategy, point.schedule)), ids=describe
)


@ENTRIES
def test_it_is_described_and_runs_on_networks_that_there_are(kind) -> None:
    assert kind.description
    assert kind.__doc__
    assert kind.recipes
    assert set(kind.recipes) <= set(RECIPES)
    assert len(set(kind.criteria)) == len(kind.criteria)
    assert set(kind.criteria) <= set(CRITERIA)


def test_what_a_network_cannot_run_is_named_with_the_reason(deep, capsys) -> None:
    headless = copy.copy(deep)
    headless._modules = deep._modules | {"heads": torch.nn.ModuleDict()}
    points = [operating_point("pause", "", "3:0.4"), operating_point("merge>pause", "", "1:0.1>3:0.4")]
    runnable(headless, [OperatingPoint(), *points], "net dense")
    assert capsys.readouterr().out == (
        "net dense: pause 3:0.4 left out: the network has no auxiliary head after block 3\n"
        "net dense: merge>pause 1:0.1>3:0.4 left out: the network has no auxiliary head after block 3\n"
    )


@POINTS
@pytest.mark.parametrize("says", CHECKS)
def test_it_keeps_what_every_strategy_keeps(deep, images, says, point) -> None:
    CHECKS[says](deep, images, point)


@POINTS
def test_in_a_sweep_it_gives_what_it_gives_alone_in_every_kind_of_network(deep_kind, images, point) -> None:
    sweep(deep_kind, images, point)


@pytest.mark.parametrize("point", EXAMPLES, ids=describe)
def test_images_run_as_if_they_were_alone(deep_or_rotary, images, point) -> None:
    assert bool(alone(deep_or_rotary, images, point)) == (point.criterion == "random")


@pytest.mark.parametrize(
    ("name", "text", "same", "others"),
    [
        ("pause", "3:0.4", "3:0.4+5:0.2", ["3:0.3", "3@0.4", "3:0.4 rejoin 8"]),
        ("pause", "3:0.4 rejoin 8", "3:0.4 rejoin 9", ["3:0.3 rejoin 8"]),
        ("adaptive-exit", "3@0.4", "3@0.4+6@0.9", ["3@0.8"]),
        ("token-exit", "3:0.4", "3:0.4+5:0.1", ["3:0.4 keep 2", "3:0.3", "3@0.4"]),
        ("merge", "2:0.1", "1-3:0.1", ["2:0.2", "2:0.1 unweighted"]),
        ("mutual-merge", "2", "2+5", []),
        ("local-merge", "2:0.4", "2:0.4+5:0.1", ["2:0.2", "2@0.4"]),
        ("local-merge", "2@0.4", "2@0.4+5@0.1", ["2@0.4 std"]),
    ],
)
def test_keys_are_equal_where_the_same_is_computed(name, text, same, others) -> None:
    block = int(text[0])

    def keys(text: str, number: int, criterion: str = "") -> tuple:
        built = strategy(name, text, criterion)
        return built.action_key(number), built.merge_key(number)

    assert keys(text, block) == keys(same, block) != (None, None)
    assert all(keys(text, block) != keys(other, block) for other in others)
    assert keys(text, block + 1) == (None, None)
    if REGISTRY[name].criteria:
        assert keys(text, block) != keys(text, block, "margin")


@POINTS
def test_logits_have_the_size_of_the_image_in_networks_of_either_kind_of_positions(
    deep_or_rotary, images, point
) -> None:
    sizes(deep_or_rotary, images, point)
