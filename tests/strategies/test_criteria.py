"""Criteria: their range, their ends, and their order."""

import copy
import math
from math import log
from typing import ClassVar

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close

from paumer.config.base import IGNORE
from paumer.models.heads import cells_to_map
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.criteria import CRITERIA, INFORMED, balanced, confidence, entropy, margin, smooth, space
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.registry import build_strategy, criteria_of, operating_point, read_point
from paumer.strategies.tokens import TokenPositions

BOUNDED = pytest.mark.parametrize("criterion", [entropy, confidence, margin])


def logits_of(*probabilities: list[float]) -> torch.Tensor:
    """One image with a patch of one cell for each distribution."""
    return torch.tensor(probabilities).log()[None, :, None]


@BOUNDED
@given(st.integers(0, 10**6), st.integers(2, 30), st.sampled_from([0.0, 0.1, 1.0, 10.0, 1000.0]))
def test_scores_lie_between_0_and_1(criterion, seed, classes, scale) -> None:
    logits = scale * torch.randn(2, 6, 4, classes, generator=torch.Generator().manual_seed(seed))
    scores = criterion(logits)
    assert scores.shape == (2, 6)
    assert (scores >= -1e-6).all()
    assert (scores <= 1 + 1e-6).all()


@pytest.mark.parametrize("classes", [2, 19, 150])
def test_uniform_prediction_has_entropy_1(classes) -> None:
    assert_close(entropy(torch.full((1, 3, 4, classes), 7.0)), torch.ones(1, 3))


@pytest.mark.parametrize("criterion", [entropy, confidence, margin])
def test_certain_prediction_scores_0(criterion) -> None:
    logits = torch.zeros(1, 3, 4, 5)
    logits[..., 2] = 1e4
    assert torch.equal(criterion(logits), torch.zeros(1, 3))


def test_values_of_an_example() -> None:
    logits = logits_of([0.5, 0.5, 0.0], [0.7, 0.2, 0.1])
    assert_close(confidence(logits), torch.tensor([[0.5, 0.3]]))
    assert_close(margin(logits), torch.tensor([[1.0, 0.5]]))
    assert_close(entropy(logits_of([0.25, 0.75]))[0, 0], torch.tensor(0.811278))


def test_balanced_entropy_of_classes_that_count_alike_is_entropy() -> None:
    logits = 3 * torch.randn(2, 6, 4, 5)
    assert_close(balanced(logits, torch.full((5,), 7.0)), entropy(logits))


def test_doubt_about_a_rare_class_counts_more() -> None:
    weights = torch.tensor([1.0, 1.0, 4.0])
    needs = balanced(logits_of([0.5, 0.5, 1e-9], [0.5, 1e-9, 0.5], [0.1, 0.1, 0.8], [1 / 3, 1 / 3, 1 / 3]), weights)
    doubt = log(2) / 2 / log(3)  # of each of two classes that are as likely
    assert needs[0, :2].tolist() == pytest.approx([doubt / 2 + doubt / 2, doubt / 2 + doubt * 2], abs=1e-6)
    assert needs[0, 3] == 1


def test_smoothing_is_half_the_mean_of_the_running_patches_around() -> None:
    needs, height, width = torch.rand(2, 12), 4, 5
    cells = torch.stack([torch.randperm(height * width)[:12] for _ in range(2)])
    smoothed = smooth(needs, TokenPositions((height, width), 2, torch.arange(2)[:, None], cells))
    for image in range(2):
        lies = {divmod(int(cell), width): float(need) for cell, need in zip(cells[image], needs[image], strict=True)}
        for patch, (row, column) in enumerate(lies):
            near = [lies.get((row + down, column + across)) for down in (-1, 0, 1) for across in (-1, 0, 1)]
            known = [need for need in near if need is not None]
            expected = (float(needs[image, patch]) + sum(known) / len(known)) / 2
            assert float(smoothed[image, patch]) == pytest.approx(expected, abs=1e-6)


def test_spacing_puts_the_middle_of_every_square_first() -> None:
    height, width = 9, 7
    needs, cells = torch.rand(2, 30), torch.stack([torch.randperm(height * width)[:30] for _ in range(2)])
    spaced = space(needs, TokenPositions((height, width), 2, torch.arange(2)[:, None], cells))
    middles = {(row, column) for row in (2, 6) for column in (2, 6)}
    expected = [[float(divmod(cell, width) in middles) for cell in image] for image in cells.tolist()]
    assert_close(spaced - needs, torch.tensor(expected))
    everywhere = space(torch.zeros(2, height * width), TokenPositions((height, width), 2))
    assert {divmod(cell, width) for cell in everywhere[0].nonzero().flatten().tolist()} == middles
    assert_close(everywhere[0], everywhere[1])


def test_a_network_that_knows_no_frequencies_is_skipped(plain) -> None:
    blind = copy.deepcopy(plain)
    blind.class_weights = None
    for criterion in ("balanced", "smoothed"):
        assert "how frequent the classes are" in Pause(Schedule("2:0.4"), criterion).skip(blind)
        assert not Pause(Schedule("2:0.4"), criterion).skip(plain)
    assert not Pause(Schedule("2:0.4")).skip(blind)


@pytest.mark.parametrize("criterion", [entropy, confidence, margin])
def test_less_certain_scores_higher(criterion) -> None:
    scores = criterion(logits_of([0.4, 0.35, 0.25], [0.6, 0.3, 0.1], [0.9, 0.06, 0.04]))[0]
    assert scores[0] > scores[1] > scores[2]


@pytest.mark.parametrize("criterion", [entropy, confidence, margin])
def test_score_is_the_mean_over_cells(criterion) -> None:
    cells = torch.randn(2, 6, 4, 5)
    each = torch.stack([criterion(cells[:, :, cell : cell + 1]) for cell in range(4)])
    assert_close(criterion(cells), each.mean(dim=0))


@pytest.mark.parametrize("criterion", [entropy, confidence, margin])
def test_classes_may_change_places(criterion) -> None:
    logits = torch.randn(2, 6, 4, 5)
    assert_close(criterion(logits[..., torch.randperm(5)]), criterion(logits))


def after_block_2(network, images, labels=None):
    """The tokens after block 2 and the state there."""
    tokens, state = network.embed(images, labels=labels)
    return network.blocks[:2](tokens), state


@pytest.mark.parametrize("criterion", ["entropy", "confidence", "margin"])
def test_scores_are_the_criterion_of_the_heads_prediction_of_patches(model, images, criterion) -> None:
    tokens, state = after_block_2(model, images)
    logits = model.heads["2"](tokens[:, model.encoder.prefix :])
    assert torch.equal(state.scores(criterion, 2, tokens), CRITERIA[criterion].score(logits))


def test_random_scores_follow_the_seed_and_need_no_head(plain, images) -> None:
    headless = copy.copy(plain)
    headless._modules = plain._modules | {"heads": torch.nn.ModuleDict()}
    tokens, state = after_block_2(headless, images)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(state.scores("random", 2, tokens))
    assert drawn[0].shape == (3, 32)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not Pause(Schedule("2:0.4"), "random").skip(headless)
    assert Pause(Schedule("2:0.4"), "entropy").skip(headless)


@BOUNDED
@given(st.floats(-30, 30))
def test_one_logit_is_that_of_a_sigmoid(criterion, logit) -> None:
    one = torch.tensor(logit, dtype=torch.float64).view(1, 1, 1, 1)
    assert_close(criterion(one), criterion(torch.cat([torch.zeros_like(one), one], dim=-1)))
    assert_close(criterion(one), criterion(-one), rtol=1e-5, atol=1e-6)
    assert (
        criterion(one).item()
        <= criterion(torch.zeros(1, 1, 1, 1)).item() + 1e-6
        == pytest.approx(1 if criterion is not confidence else 0.5, abs=1e-5)
    )


@pytest.mark.parametrize("criterion", INFORMED)
@pytest.mark.parametrize("strategy", ["pause 2:0.75", "pause 2@0.01", "token-exit 2:0.75 keep 1"])
def test_patches_whose_prediction_is_no_number_run_on(plain, images, criterion, strategy) -> None:
    """A broken prediction says nothing of its patch: it is as uncertain as can be."""
    point = read_point(strategy)
    if criterion not in criteria_of(point.strategy):
        pytest.skip("not a criterion of it")
    broken, lost = copy.deepcopy(plain), [3, 17]
    broken.heads["2"].register_forward_hook(
        lambda _, inputs, logits: logits.index_fill(1, torch.tensor(lost), math.nan)
    )
    built = build_strategy(operating_point(point.strategy, criterion, point.schedule))
    tokens, state = broken.encode(images, built)
    cells, of_image = state.positions, torch.arange(len(images)).repeat_interleave(state.running(tokens))
    if state.packing is not None:
        of_image = state.packing.images[state.packing.patches]
    for image in range(len(images)):
        assert set(lost) <= set(cells.flatten()[of_image == image].tolist())


def pixel_losses(logits, labels):
    """Cross-entropy of every pixel (batch, height, width) under logits (batch, patches, cells, classes)."""
    nearest = functional.interpolate(cells_to_map(logits, (4, 8)), size=labels.shape[-2:], mode="nearest")
    return functional.cross_entropy(nearest, labels.long(), ignore_index=IGNORE, reduction="none")


def in_patches(pixels):
    """Sum over the pixels of every patch, (batch, patches)."""
    return functional.avg_pool2d(pixels[:, None], 8).flatten(1) * 64


class Listener(Strategy):
    """Dense inference that remembers the scores after block 2."""

    heard: ClassVar[dict[str, torch.Tensor]] = {}

    def action_key(self, block):
        return "heard" if block == 2 else None

    def after_block(self, block, tokens, state):
        self.heard["scores"] = state.scores("oracle", block, tokens)
        return tokens


def test_oracle_scores_the_pixel_loss_that_the_remaining_blocks_save(plain, images, labels) -> None:
    """Spelled out: cross-entropy of the head's word less that of the dense network's, over the pixels of a patch."""
    dense = Dense().finish(plain, *plain.encode(images, Dense()))
    head = plain.heads["2"](after_block_2(plain, images)[0][:, 1:])
    plain.sweep(images, [Listener(criterion_name="oracle")], labels)
    saved = in_patches(pixel_losses(head, labels) - pixel_losses(dense, labels))
    assert_close(Listener.heard["scores"].double(), saved, rtol=0, atol=1e-3)


def test_oracle_without_labels_knows_nothing(plain, images) -> None:
    tokens, state = after_block_2(plain, images)
    assert torch.equal(state.scores("oracle", 2, tokens), torch.zeros(3, 32, dtype=torch.float64))


def test_oracle_is_0_where_no_pixel_is_labelled(plain, images, labels) -> None:
    tokens, state = after_block_2(plain, images, torch.full_like(labels, IGNORE))
    assert torch.equal(state.scores("oracle", 2, tokens), torch.zeros(3, 32, dtype=torch.float64))
