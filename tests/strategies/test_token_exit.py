"""Token exit: who finishes, who never does, and who speaks for each patch."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from operating_points import strategy
from torch.testing import assert_close

from paumer.models.heads import cells_to_map
from paumer.strategies.contract import Dense
from paumer.strategies.criteria import CRITERIA
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.token_exit import TokenExit, TokenExitParameters, best_of_each_class

PATCHES = 4 * 8


def best_spelled_out(certainty, classes, keep):
    """Mark the most certain patches of every class of one image."""
    marked = [False] * len(certainty)
    for name in set(classes):
        members = [patch for patch, other in enumerate(classes) if other == name]
        for patch in sorted(members, key=lambda patch: certainty[patch], reverse=True)[:keep]:
            marked[patch] = True
    return marked


@given(st.integers(0, 10**6), st.integers(1, 20), st.integers(1, 4), st.integers(2, 6), st.integers(1, 5))
def test_best_of_each_class_are_those_of_a_loop(seed, patches, cells, classes, keep) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, patches, cells, classes, generator=generator)
    certainty = torch.rand(2, patches, generator=generator)
    marked = best_of_each_class(certainty, logits, keep)
    predicted = logits.softmax(dim=-1).mean(dim=2).argmax(dim=-1)
    for image in range(2):
        assert marked[image].tolist() == best_spelled_out(certainty[image].tolist(), predicted[image].tolist(), keep)


def after_block(model, images, block):
    """The head's logits after a block of the dense network."""
    tokens = model.encoder.blocks[:block](model.encoder.embed(images))
    return model.heads[str(block)](tokens[:, model.encoder.prefix :])


def running_places(state):
    """TokenPositions of the patches that still run, of a state whose reductions all took patches away."""
    places = torch.arange(PATCHES)
    for reduction in state.reductions:
        places = (
            places.expand(reduction.values.shape[:2]).flatten()[reduction.kept.rows].view(len(reduction.values), -1)
        )
    return places


@pytest.mark.parametrize("criterion", TokenExit.criteria)
@pytest.mark.parametrize("keep", [1, 3])
def test_the_most_certain_finish_but_for_the_best_of_each_class(model, images, criterion, keep) -> None:
    _, state = model.encode(images, strategy("token-exit", f"3:0.4 keep {keep}", criterion))
    logits = after_block(model, images, 3)
    certainty = 1 - CRITERIA[criterion].score(logits)
    classes = logits.softmax(dim=-1).mean(dim=2).argmax(dim=-1)
    for image, running in enumerate(running_places(state).tolist()):
        scores = certainty[image].tolist()
        stays = best_spelled_out(scores, classes[image].tolist(), keep)
        others = [patch for patch in range(PATCHES) if not stays[patch]]
        finished = sorted(others, key=lambda patch: scores[patch], reverse=True)[:13]
        assert running == [patch for patch in range(PATCHES) if patch not in finished]


@pytest.mark.parametrize("threshold", [0.3, 0.45, 0.55])
def test_a_threshold_finishes_exactly_what_exceeds_it(model, images, threshold) -> None:
    image = images[:1]
    _, state = model.encode(image, strategy("token-exit", f"3@{threshold} keep 1"))
    logits = after_block(model, image, 3)
    certainty = (1 - CRITERIA["confidence"].score(logits))[0].tolist()
    classes = logits.softmax(dim=-1).mean(dim=2).argmax(dim=-1)[0].tolist()
    stays = best_spelled_out(certainty, classes, 1)
    expected = [patch for patch in range(PATCHES) if stays[patch] or certainty[patch] <= threshold]
    assert running_places(state).flatten().tolist() == expected
    assert len(expected) < PATCHES


def test_a_threshold_above_1_is_dense_bit_for_bit(model, images) -> None:
    single, images = copy.deepcopy(model).float(), images.float()
    images = images[:1]  # alone, as thresholds run
    assert torch.equal(single(images, strategy("token-exit", "2@1.01+4@1.01")), single(images, Dense()))


@pytest.mark.parametrize("decoder", ["plain", "masked"])
def test_finished_patches_speak_by_the_head_and_running_ones_by_the_decoder(request, images, decoder) -> None:
    network = request.getfixturevalue(decoder)
    early = strategy("token-exit", "2:0.3+4:0.3 keep 1")
    tokens, state = network.encode(images, early)
    first, second = state.reductions
    after_2 = torch.arange(PATCHES).repeat(3)[first.kept.rows].view(3, -1)
    after_4 = after_2.flatten()[second.kept.rows].view(3, -1)
    decoded = network.decoder(network.encoder.norm(tokens[:, 1:]))
    expected = after_block(network, images, 2).log_softmax(dim=-1)
    for image in range(3):
        expected[image, after_2[image]] = second.values[image].log_softmax(dim=-1)
        expected[image, after_4[image]] = decoded[image].log_softmax(dim=-1)
    assert_close(network.patch_logits(images, early), cells_to_map(expected, (4, 8)))


def test_heads_are_asked_about_running_patches_alone(plain, images) -> None:
    asked = []
    hooks = [head.register_forward_pre_hook(lambda _, x: asked.append(x[0].shape[1])) for head in plain.heads.values()]
    plain(images, strategy("token-exit", "2:0.25+4:0.25"))
    for hook in hooks:
        hook.remove()
    assert asked == [32, 24]


def test_where_every_patch_is_among_the_best_the_fraction_still_finishes(plain, images) -> None:
    """Batches stay rectangular: `keep` decides who comes last, not how many finish."""
    _, state = plain.encode(images, strategy("token-exit", "3:0.4 keep 1000"))
    assert running_places(state).shape == (3, PATCHES - 13)


def test_pausing_is_a_token_exit_that_keeps_none_where_the_decoder_is_the_classifier(sharing, plain, images) -> None:
    """A linear decoder reads every patch by itself: what waits is then read as it was when it paused."""
    where = Schedule("2:0.3+4:0.3")
    points = Pause(where, "confidence"), TokenExit(TokenExitParameters(where, keep=0), "confidence")
    paused, left = (sharing.patch_logits(images, point).log_softmax(dim=1) for point in points)
    assert_close(paused, left)
    # With classifiers of the heads' own, an exit is what the head says, and a pause what the decoder says.
    paused, left = (plain.patch_logits(images, point).log_softmax(dim=1) for point in points)
    assert not torch.allclose(paused, left, atol=0.1)
