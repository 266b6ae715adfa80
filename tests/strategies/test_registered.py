"""Every registered strategy, a new one without a word more, is what the registry says and runs at its examples."""

import copy

import pytest
import torch
from operating_points import describe, examples, strategy
from tiers import first
from torch.testing import assert_close

from paumer.strategies.contract import Dense
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.declared import RECIPES
from paumer.strategies.registry import REGISTRY, OperatingPoint, build_strategy, operating_point, runnable

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


@POINTS
def test_points_are_written_as_they_are_read_and_fit_a_network_of_nine_blocks(point) -> None:
    assert operating_point(*point.label) == point
    assert hash(operating_point(*point.label)) == hash(point)
    built = build_strategy(point)
    assert (str(built), built.schedule_text) == (str(point), point.schedule)
    point.check_depth(9)


@POINTS
def test_it_needs_the_heads_that_it_reads(deep, point) -> None:
    headless = copy.copy(deep)
    headless._modules = deep._modules | {"heads": torch.nn.ModuleDict()}
    built = build_strategy(point)
    assert built.skip(deep) == ""
    assert bool(built.skip(headless)) == bool(built.head_blocks)
    assert len(runnable(headless, [OperatingPoint(), point], "net")) == (1 if built.head_blocks else 2)


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
def test_in_a_sweep_it_gives_what_it_gives_alone(deep_kind, images, point) -> None:
    torch.manual_seed(0)
    alone = deep_kind.patch_logits(images, build_strategy(point))
    torch.manual_seed(0)
    [dense, together] = deep_kind.sweep(images, [Dense(), build_strategy(point)])
    assert together.logits.isfinite().all()
    assert_close(together.logits, alone, rtol=0, atol=1e-12)
    assert_close(dense.logits, deep_kind.patch_logits(images), rtol=0, atol=1e-12)


@pytest.mark.parametrize("point", [one for one in EXAMPLES if one.criterion != "random"], ids=describe)
def test_images_run_as_if_they_were_alone(deep_or_rotary, images, point) -> None:
    built = build_strategy(point)
    together = deep_or_rotary(images, built)
    for number in range(len(images)):
        assert_close(deep_or_rotary(images[number : number + 1], built)[0], together[number])


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
def test_logits_have_the_size_of_the_image_whatever_it_is(deep_or_rotary, point) -> None:
    for shape in ((1, 3, 37, 50), (2, 3, 30, 61)):
        logits = deep_or_rotary(torch.randn(shape, dtype=torch.float64), build_strategy(point))
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
