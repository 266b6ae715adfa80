"""What a sweep counts is what fvcore counts, image by image."""

import copy

import pytest
import torch
from operating_points import describe, examples, pairs, strategy
from tiers import first

from paumer.measurement.counting import count
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Dense
from paumer.strategies.criteria import entropy
from paumer.strategies.early_exit import AdaptiveExit
from paumer.strategies.notation import Thresholds
from paumer.strategies.registry import build_strategy, criteria_of

SIZE = (32, 64)
SINGLES, PAIRS = examples(), pairs()
# The criterion does not change what is counted; test_counting_many_at_once_is_counting_each has them all.
FIXED = [point for point in SINGLES if not point.varies and point.criterion in ("", *criteria_of(point.strategy)[:1])]
VARYING = [point for point in [*SINGLES, *PAIRS] if point.varies and point.criterion != "random"]


@pytest.fixture(scope="module")
def singles(deep_kinds) -> list[Segmenter]:
    """A network of each kind, in the precision in which costs are counted; not to be changed."""
    return [copy.deepcopy(network).float() for network in deep_kinds]


@pytest.fixture(scope="module")
def single(singles) -> Segmenter:
    """One whose decoder is a mask transformer."""
    return singles[1]


def macs_of(model, images, *strategies) -> list[list[float]]:
    return [output.macs.tolist() for output in model.sweep(images.float(), strategies, count=True)]


def gmac_parts(model, one) -> dict[str, float]:
    return {name: 1e9 * value for name, value in count(model, SIZE, one).items()}


def assert_macs_are_fvcores(model, images, one) -> None:
    [counted] = macs_of(model, images, one)
    assert counted == pytest.approx(3 * [gmac_parts(model, one)["gmac_total"]], rel=1e-12)


@pytest.mark.parametrize("point", FIXED, ids=describe)
@pytest.mark.parametrize("kind", first([1, 0, 3]), ids=["masks and registers", "linear", "distilled"])
def test_a_fixed_cost_is_fvcores_for_every_image(singles, images, kind, point) -> None:
    assert_macs_are_fvcores(singles[kind], images, build_strategy(point))


@pytest.mark.parametrize("number", first(range(len(PAIRS)), 4), ids=[describe(point) for point in PAIRS])
def test_the_fixed_cost_of_a_composition_is_fvcores(singles, images, number) -> None:
    if not PAIRS[number].varies:
        assert_macs_are_fvcores(singles[number % len(singles)], images, build_strategy(PAIRS[number]))


def test_dense_costs_what_fvcore_counts_at_any_size(single) -> None:
    for size in ((37, 50), (64, 32)):
        [[counted]] = macs_of(single, torch.zeros(1, 3, *size), Dense())
        assert counted == pytest.approx(1e9 * count(single, size, Dense())["gmac_total"], rel=1e-12)


def test_counting_many_at_once_is_counting_each(single, images) -> None:
    built = [build_strategy(point) for point in [*SINGLES, *PAIRS] if point.criterion != "random"]
    together = macs_of(single, images, *built)
    assert together == [macs_of(single, images, one)[0] for one in built]


@pytest.mark.parametrize("point", VARYING, ids=describe)
def test_a_varying_cost_is_that_of_the_image_alone(single, images, point) -> None:
    built = build_strategy(point)
    [together] = macs_of(single, images, built)
    assert together == [macs_of(single, images[number : number + 1], built)[0][0] for number in range(3)]
    assert max(together) <= 1.05 * macs_of(single, images, Dense())[0][0]


def test_an_adaptive_exit_costs_the_exit_taken_and_the_heads_read_on_the_way(single, images) -> None:
    """Each image costs a fixed exit at the block where it left, or dense, and the heads that kept it running."""
    tokens, certain = single.encoder.embed(images.float()), {}
    for block in (1, 2, 3, 4):
        tokens = single.blocks[block - 1](tokens)
        certain[block] = 1 - entropy(single.heads[str(block)](tokens[:, single.encoder.prefix :])).mean(dim=1)
    first, second = float(certain[2].sort().values[1]), float(certain[4].sort().values[1])
    [counted] = macs_of(single, images, AdaptiveExit(Thresholds(((2, first), (4, second)))))
    [dense], [at_2], [at_4] = (
        macs_of(single, images[:1], one)
        for one in (Dense(), strategy("early-exit", "exit:2"), strategy("early-exit", "exit:4"))
    )
    head = gmac_parts(single, strategy("early-exit", "exit:2"))["gmac_heads"]
    for number in range(3):
        if certain[2][number] > first:
            assert counted[number] == at_2[0]
        elif certain[4][number] > second:
            assert counted[number] == at_4[0] + head
        else:
            assert counted[number] == dense[0] + 2 * head
    assert len(set(counted)) > 1


def test_pausing_costs_its_heads_where_it_pauses(single) -> None:
    """The first head reads 32 patches, the second those that still run."""
    parts = gmac_parts(single, strategy("pause", "2:0.25+4:0.25"))
    each = gmac_parts(single, strategy("early-exit", "exit:2"))["gmac_heads"] / 32
    assert parts["gmac_heads"] == pytest.approx(each * (32 + 24))
    assert gmac_parts(single, strategy("pause", "2:0.25+4:0.25", "random"))["gmac_heads"] == 0
    assert parts["gmac_decoder"] == pytest.approx(gmac_parts(single, Dense())["gmac_decoder"])


def test_finished_patches_spare_the_decoder(single) -> None:
    finished, dense = (gmac_parts(single, one) for one in (strategy("token-exit", "3:0.5"), Dense()))
    assert finished["gmac_decoder"] < 0.8 * dense["gmac_decoder"]


def test_a_smaller_input_costs_what_a_smaller_image_costs(single) -> None:
    smaller = gmac_parts(single, strategy("resize", "scale:0.5"))
    assert smaller["gmac_total"] == pytest.approx(1e9 * count(single, (16, 32), Dense())["gmac_total"])
