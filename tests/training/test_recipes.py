"""Recipes: the schedules drawn, and the losses."""

import random
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close

from paumer.config import Heads, Pausing
from paumer.data.datasets import IGNORE
from paumer.models.heads import cells_to_map
from paumer.schedule import Schedule
from paumer.strategies.contract import Prediction
from paumer.strategies.pause import Pause
from paumer.training.recipes import auxiliary_loss, balance_classes, class_counts, compute_losses, draw_schedule

BLOCKS = (2, 3, 4, 6)
CLASSES = 5


def draw_labels(height: int, width: int, images: int = 2) -> torch.Tensor:
    """Random class ids, a fifth of them ignored."""
    labels = torch.randint(CLASSES, (images, height, width), generator=torch.Generator().manual_seed(0))
    labels[torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.2] = IGNORE
    return labels.to(torch.uint8)


def prediction(patches: int, cells: int, images: int = 2) -> Prediction:
    generator = torch.Generator().manual_seed(2)
    return Prediction(torch.randn(images, patches, cells, CLASSES, dtype=torch.float64, generator=generator), None)


@given(
    st.integers(0, 10**6),
    st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2).map(sorted),
    st.integers(1, 5),
    st.sets(st.sampled_from(BLOCKS), min_size=1),
)
def test_drawn_schedules_are_valid_and_within_range(seed, fraction, locations, blocks) -> None:
    pausing = Pausing(none=0.0, fraction=tuple(fraction), locations=locations)
    schedule = draw_schedule(pausing, tuple(sorted(blocks)), random.Random(seed))
    assert 1 <= len(schedule.locations) <= min(locations, len(blocks))
    assert set(schedule.blocks) <= blocks
    rounding = 1e-4 * min(locations, len(blocks))
    assert fraction[0] - rounding <= schedule.paused <= fraction[1] + rounding
    assert Schedule.parse(str(schedule)) == schedule


def test_draws_follow_their_probabilities() -> None:
    generator, draws = random.Random(0), 6000
    drawn = [draw_schedule(Pausing(none=0.25, fraction=(0.2, 0.8)), BLOCKS, generator) for _ in range(draws)]
    counts = Counter(len(schedule.locations) for schedule in drawn)
    assert abs(counts[0] / draws - 0.25) < 0.03
    assert all(abs(counts[count] / draws - 0.25) < 0.03 for count in (1, 2, 3))
    paused = [schedule.paused for schedule in drawn if schedule.locations]
    assert abs(sum(paused) / len(paused) - 0.5) < 0.02
    first = Counter(block for schedule in drawn for block in schedule.blocks)
    assert max(first.values()) < 1.1 * min(first.values())


def test_draws_follow_the_seed() -> None:
    def draw(seed):
        return draw_schedule(Pausing(none=0), BLOCKS, random.Random(seed))

    assert draw(3) == draw(3)
    assert len({str(draw(seed)) for seed in range(20)}) == 20


@pytest.mark.parametrize("size", [(24, 32), (21, 26)], ids=["whole patches", "padded"])
@pytest.mark.parametrize("side", [1, 2])
def test_class_counts_are_those_of_a_loop(side, size) -> None:
    labels, grid, patch = draw_labels(*size), (3, 4), 8
    counts = class_counts(labels, grid, patch, prediction(12, side**2))
    expected = torch.zeros(2, 12, side**2, CLASSES)
    for image, row, column in torch.cartesian_prod(*map(torch.arange, labels.shape)).tolist():
        label = int(labels[image, row, column])
        if label != IGNORE:
            index = row // patch * grid[1] + column // patch
            cell = row % patch * side // patch * side + column % patch * side // patch
            expected[image, index, cell, label] += 1
    assert torch.equal(counts, expected)


@pytest.mark.parametrize("size", [(24, 32), (21, 26)], ids=["whole patches", "padded"])
@pytest.mark.parametrize("side", [1, 2, 4])
def test_auxiliary_loss_is_pixel_cross_entropy_of_nearest_upsampled_logits(side, size) -> None:
    labels, said = draw_labels(*size), prediction(12, side**2)
    full = functional.interpolate(cells_to_map(said.logits, (3, 4)), size=(24, 32), mode="nearest")
    full = full[..., : size[0], : size[1]]
    expected = functional.cross_entropy(full, labels.long(), ignore_index=IGNORE)
    loss = auxiliary_loss(said, class_counts(labels, (3, 4), 8, said))
    assert_close(loss.double(), expected, rtol=1e-5, atol=0)


def test_auxiliary_loss_counts_the_patches_that_reach_the_head() -> None:
    labels, said = draw_labels(24, 32), prediction(12, 4)
    positions = torch.tensor([[7, 0, 3], [11, 2, 5]])
    seen = torch.stack([logits[index] for logits, index in zip(said.logits, positions, strict=True)])
    reached = Prediction(seen, positions)
    hidden = torch.full_like(labels, IGNORE)
    for image, patches in enumerate(positions.tolist()):
        for patch in patches:
            square = (image, slice(patch // 4 * 8, patch // 4 * 8 + 8), slice(patch % 4 * 8, patch % 4 * 8 + 8))
            hidden[square] = labels[square]
    loss = auxiliary_loss(reached, class_counts(labels, (3, 4), 8, reached))
    assert_close(loss, auxiliary_loss(said, class_counts(hidden, (3, 4), 8, said)))


def test_dense_loss_is_pixel_cross_entropy(make) -> None:
    model, images, labels = make(), torch.randn(2, 3, 30, 61, dtype=torch.float64), draw_labels(30, 61)
    losses = compute_losses(model, images, labels, Schedule(), None)
    expected = functional.cross_entropy(model(images).float(), labels.long(), ignore_index=IGNORE)
    assert_close(losses.total, expected)
    assert torch.equal(losses.total, losses.final)
    assert losses.auxiliary == 0


@pytest.mark.parametrize("text", ["dense", "1:0.4", "1:0.3+2:0.3"])
def test_total_is_final_plus_weighted_mean_of_heads(make, text) -> None:
    model, images, labels = make(), torch.randn(2, 3, 32, 64, dtype=torch.float64), draw_labels(32, 64)
    schedule = Schedule.parse(text)
    losses = compute_losses(model, images, labels, schedule, Heads(blocks=(1, 2), weight=0.3))
    assert_close(losses.total, losses.final + 0.3 * losses.auxiliary)
    _, state = model.encode(images, Pause(schedule), read_heads=True)
    said = [state.predictions[block] for block in (1, 2)]
    running = schedule.running(32)
    assert [item.logits.shape[1] for item in said] == [32, running.get(1, 32)]
    each = [auxiliary_loss(item, class_counts(labels, (4, 8), 8, item)) for item in said]
    assert_close(losses.auxiliary, (each[0] + each[1]) / 2)


def test_gradients_reach_every_part_when_patches_pause(make) -> None:
    model, images, labels = make(), torch.randn(2, 3, 32, 64, dtype=torch.float64), draw_labels(32, 64)
    compute_losses(model, images, labels, Schedule.parse("1:0.4+2:0.4"), Heads(blocks=(1, 2))).total.backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())
    assert all(block.mlp.fc1.weight.grad.abs().max() > 0 for block in model.encoder.blocks)


def test_paused_patches_teach_the_blocks_before_they_paused(make) -> None:
    model, images = make(), torch.randn(1, 3, 32, 64, dtype=torch.float64)
    schedule = Schedule.parse("1:0.5")
    _, state = model.encode(images, Pause(schedule))
    labels = torch.ones(1, 32, 64, dtype=torch.uint8)
    for patch in state.positions[0].tolist():  # only paused patches are labelled
        labels[0, patch // 8 * 8 : patch // 8 * 8 + 8, patch % 8 * 8 : patch % 8 * 8 + 8] = IGNORE
    compute_losses(model, images, labels, schedule, None).total.backward()
    assert model.encoder.blocks[0].mlp.fc1.weight.grad.abs().max() > 0


def test_a_batch_without_labels_teaches_nothing_and_breaks_nothing(make) -> None:
    model, images = make(), torch.randn(1, 3, 32, 64, dtype=torch.float64)
    labels = torch.full((1, 32, 64), IGNORE, dtype=torch.uint8)
    losses = compute_losses(model, images, labels, Schedule(), Heads(blocks=(1, 2)))
    assert losses.auxiliary == 0
    assert losses.total == 0
    losses.total.backward()
    assert all(value.grad is None or (value.grad == 0).all() for value in model.parameters())


def test_balanced_classes_weigh_1_on_the_mean_pixel_and_rare_ones_more() -> None:
    frequencies = [0.6, 0.3, 0.1, 0.0]
    assert balance_classes(frequencies, 0) is None
    for power in (0.25, 0.5, 1.0):
        weights = balance_classes(frequencies, power)
        assert float(weights @ torch.tensor(frequencies)) == pytest.approx(1)
        assert float(weights[2] / weights[0]) == pytest.approx(6**power)
        assert weights[3] == weights[2]


def test_class_weights_act_on_final_and_auxiliary_loss(make) -> None:
    model, images, labels = make(heads=(2,)), torch.randn(2, 3, 32, 64, dtype=torch.float64), draw_labels(32, 64)
    weights, heads = torch.tensor([0.2, 3.0, 1.0, 0.5, 2.0]), Heads(blocks=(2,))
    losses = compute_losses(model, images, labels, Schedule(), heads, weights)
    tokens = model.encoder.blocks[:2](model.encoder.embed(images))
    cells = cells_to_map(model.heads["2"](tokens[:, 1:]), (4, 8))
    nearest = functional.interpolate(cells, size=(32, 64), mode="nearest")
    for loss, logits in ((losses.final, model(images)), (losses.auxiliary, nearest)):
        expected = functional.cross_entropy(logits.float(), labels.long(), weights, ignore_index=IGNORE)
        assert_close(loss, expected, rtol=1e-5, atol=0)
