"""Adaptive exit: every image leaves after the first block where it is certain enough, whatever the others do."""

import copy

import pytest
import torch
from torch.testing import assert_close

from paumer.models.heads import cells_to_map
from paumer.strategies.contract import Dense
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.early_exit import AdaptiveExit, EarlyExit, Exit
from paumer.strategies.notation import Thresholds


def adaptive(*locations: tuple[int, float], criterion: str = "entropy") -> AdaptiveExit:
    return AdaptiveExit(Thresholds(locations), criterion)


def certainties(model, images, block, criterion="entropy"):
    """Mean certainty of each image after a block of the dense network."""
    tokens = model.encoder.blocks[:block](model.encoder.embed(images))
    logits = model.heads[str(block)](tokens[:, model.encoder.prefix :])
    return (1 - CRITERIA[criterion].score(logits)).mean(dim=1)


def between(values: torch.Tensor) -> float:
    """A threshold that some of the values exceed and others do not."""
    ordered = values.sort().values
    return float(ordered[0] + ordered[1]) / 2


def test_a_threshold_above_1_is_dense_bit_for_bit(model, images) -> None:
    single, images = copy.deepcopy(model).float(), images.float()
    assert torch.equal(single(images, adaptive((2, 1.01), (4, 1.01))), single(images, Dense()))


@pytest.mark.parametrize("network", ["plain", "masked"])
def test_a_threshold_below_0_is_an_early_exit_at_its_first_block(request, images, watch, network) -> None:
    network = request.getfixturevalue(network)
    with watch(network) as seen:
        left = network(images, adaptive((2, -0.1), (4, 0.5)))
    assert torch.equal(left, network(images, EarlyExit(Exit(2))))
    assert [number for number, _ in seen] == [1, 2]


@pytest.mark.parametrize("criterion", AdaptiveExit.criteria)
@pytest.mark.parametrize(("margin", "last"), [(-1e-3, 4), (1e-3, 6)])
def test_each_image_leaves_at_the_first_block_where_it_is_certain_enough(
    model, images, criterion, margin, last
) -> None:
    at_2, at_4 = (certainties(model, images, block, criterion) for block in (2, 4))
    slow = int(at_2.argmin())
    point = adaptive((2, between(at_2)), (4, float(at_4[slow]) + margin), criterion=criterion)
    output = model.patch_logits(images, point)
    for number in range(3):
        alone = images[number : number + 1]
        block = last if number == slow else 2
        expected = model.patch_logits(alone, EarlyExit(Exit(block)) if block < 6 else Dense())
        assert_close(output[number], expected[0], rtol=0, atol=1e-12)


def test_images_that_go_on_are_batched_anew(model, images, watch) -> None:
    threshold = between(certainties(model, images, 2))
    with watch(model) as seen:
        model(images, adaptive((2, threshold)))
    assert [len(tokens) for _, tokens in seen] == [3, 3, 1, 1, 1, 1]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 1, 0]])
def test_images_come_back_in_their_order(plain, images, order) -> None:
    point = adaptive((2, between(certainties(plain, images, 2))), (4, between(certainties(plain, images, 4))))
    assert_close(plain(images[order], point), plain(images, point)[order])


@pytest.mark.parametrize("network", ["plain", "masked"])
@pytest.mark.parametrize("count", [1, 3])
def test_all_images_may_leave(request, images, network, count) -> None:
    network, images = request.getfixturevalue(network), images[:count]
    [output] = network.sweep(images, [adaptive((1, -1.0), (3, 0.5), (5, -1.0))], count=True)
    tokens = network.encoder.blocks[:1](network.encoder.embed(images))
    assert torch.equal(output.logits, cells_to_map(network.heads["1"](tokens[:, 1:]), (4, 8)))


def test_merged_patches_weigh_by_their_size(plain, images) -> None:
    """What counts is the mean over the patches of the image, not over the tokens that stand for them."""
    tokens, state = plain.embed(images)
    state.sizes = torch.arange(1.0, 33.0, dtype=torch.float64).expand(3, -1)
    scores = 1 - CRITERIA["entropy"].score(plain.heads["2"](tokens[:, 1:]))
    weighted = (scores * state.sizes).sum(dim=1) / state.sizes.sum(dim=1)
    assert not torch.allclose(weighted.float(), scores.mean(dim=1).float(), atol=1e-4)
    stays = adaptive((2, between(weighted))).after_block(2, tokens, state)
    assert torch.equal(stays, tokens[weighted.argmin()][None])
