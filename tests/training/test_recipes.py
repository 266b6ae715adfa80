"""Recipes: what each step trains under, and the losses."""

import random
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close

from paumer.config import Heads, Merging, Pausing, Resizing
from paumer.data.balance import balance_classes
from paumer.data.datasets import IGNORE
from paumer.data.patches import class_counts
from paumer.errors import PaumerError
from paumer.models.heads import cells_to_map, map_to_cells
from paumer.models.teaching import Prediction, Teaching
from paumer.parameters import Scale
from paumer.registry import operating_point
from paumer.schedule import Schedule
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.local_merge import LocalMerge
from paumer.strategies.pause import Pause
from paumer.strategies.points import build_strategy
from paumer.strategies.reductions import Paused
from paumer.strategies.resize import Resize
from paumer.training.recipes import (
    auxiliary_loss,
    compute_losses,
    draw_schedule,
    draw_strategy,
    teach,
)

BLOCKS = (2, 3, 4, 6)
CLASSES = 5


def pause(text: str) -> Pause:
    return Pause(Schedule.parse(text))


def draw_labels(height: int, width: int, images: int = 2) -> torch.Tensor:
    """Random class ids, a fifth of them ignored."""
    labels = torch.randint(CLASSES, (images, height, width), generator=torch.Generator().manual_seed(0))
    labels[torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.2] = IGNORE
    return labels.to(torch.uint8)


def draw_logits(patches: int, cells: int, images: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(images, patches, cells, CLASSES, dtype=torch.float64, generator=generator)


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


NONE = Pausing(none=1.0)
ALWAYS = Pausing(none=0.0)


@pytest.mark.parametrize(
    ("recipe", "kinds"),
    [
        ("dense", {Dense}),
        ("multi-exit", {Dense}),
        ("shared", {Dense}),
        ("paumer", {Pause}),
        ("merge", {Dense, LocalMerge}),
        ("resize", {Resize}),
    ],
)
def test_a_recipe_draws_its_own_strategies(of_recipe, recipe, kinds) -> None:
    described = of_recipe(recipe)
    drawn = [draw_strategy(described, 4, random.Random(seed)) for seed in range(100)]
    assert {type(strategy) for strategy in drawn} == kinds
    assert not any(strategy.per_image for strategy in drawn)


@pytest.mark.parametrize("recipe", ["dense", "paumer", "merge", "resize"])
def test_the_same_seed_draws_the_same_strategy(of_recipe, recipe) -> None:
    def draw(seed: int) -> str:
        strategy = draw_strategy(of_recipe(recipe), 4, random.Random(seed))
        return f"{strategy.name} {strategy.schedule_text}"

    assert [draw(seed) for seed in range(20)] == [draw(seed) for seed in range(20)]
    assert recipe == "dense" or len({draw(seed) for seed in range(20)}) > 1


def test_merging_follows_its_probabilities(of_recipe) -> None:
    merging = Merging(none=0.25, schedules=("1:0.2", "1:0.3+2:0.2", "1:0.45"))
    generator, draws = random.Random(0), 4000
    drawn = Counter(
        draw_strategy(of_recipe("merge", merging=merging), 4, generator).schedule_text for _ in range(draws)
    )
    assert set(drawn) == {"dense", *merging.schedules}
    assert all(abs(count / draws - 0.25) < 0.03 for count in drawn.values())


def test_input_scales_are_each_as_likely_as_the_others(of_recipe) -> None:
    resizing = Resizing(scales=(1.0, 0.75, 0.5, 0.25))
    generator, draws = random.Random(0), 4000
    drawn = Counter(
        draw_strategy(of_recipe("resize", resizing=resizing), 4, generator).input_scale for _ in range(draws)
    )
    assert set(drawn) == set(resizing.scales)
    assert all(abs(count / draws - 0.25) < 0.03 for count in drawn.values())


def test_pausing_is_drawn_where_a_head_is_and_a_block_follows(of_recipe) -> None:
    described = of_recipe("paumer", heads=Heads(blocks=(1, 2, 4)), pausing=ALWAYS)
    drawn = [draw_strategy(described, 4, random.Random(seed)) for seed in range(50)]
    assert {block for strategy in drawn for block in strategy.parameters.blocks} == {1, 2}
    with pytest.raises(PaumerError, match=r"heads\.blocks: pausing needs a head before block 1"):
        draw_strategy(described, 1, random.Random(0))
    assert draw_strategy(of_recipe("paumer", pausing=NONE), 4, random.Random(0)) == Pause(Schedule())


def test_pausing_starts_after_a_share_of_the_steps(of_recipe) -> None:
    described = of_recipe("paumer", pausing=Pausing(none=0, after=0.3))
    drawn = [draw_strategy(described, 4, random.Random(7), done / 100) for done in range(100)]
    assert [str(strategy.parameters) == "dense" for strategy in drawn] == [True] * 30 + [False] * 70


@pytest.mark.parametrize("size", [(24, 32), (21, 26)], ids=["whole patches", "padded"])
@pytest.mark.parametrize("side", [1, 2, 4])
def test_auxiliary_loss_is_pixel_cross_entropy_of_nearest_upsampled_logits(side, size) -> None:
    labels, logits = draw_labels(*size), draw_logits(12, side**2)
    full = functional.interpolate(cells_to_map(logits, (3, 4)), size=(24, 32), mode="nearest")
    full = full[..., : size[0], : size[1]]
    expected = functional.cross_entropy(full, labels.long(), ignore_index=IGNORE)
    loss = auxiliary_loss(Prediction(logits, class_counts(labels, (3, 4), 8, side, CLASSES)))
    assert_close(loss.double(), expected, rtol=1e-5, atol=0)


def test_dense_loss_is_pixel_cross_entropy(make) -> None:
    model, images, labels = make(), torch.randn(2, 3, 30, 61, dtype=torch.float64), draw_labels(30, 61)
    losses = compute_losses(model, images, labels, Dense(), None)
    expected = functional.cross_entropy(model(images).float(), labels.long(), ignore_index=IGNORE)
    assert_close(losses.total, expected)
    assert torch.equal(losses.total, losses.final)
    assert losses.auxiliary == 0


class Listener(Strategy):
    """A strategy that remembers what each head says of all patches, and which of them have reached it."""

    def __init__(self, inner: Strategy) -> None:
        self.inner, self.heard = inner, []

    def inside(self, block):
        return self.inner.inside(block)

    def inside_block(self, block, tokens, keys, state):
        return self.inner.inside_block(block, tokens, keys, state)

    def after_block(self, block, tokens, state):
        if str(block) in state.heads:
            said = state.predict(block, tokens)
            reached = said.new_ones(said.shape[:2])
            for reduction in reversed(state.reductions):
                said, reached = undo(reduction, said), undo(reduction, reached)
            self.heard.append((said, reached))
        return self.inner.after_block(block, tokens, state)


def undo(reduction, values):
    """Values of all patches before a reduction, 0 where they waited."""
    if isinstance(reduction, Paused):
        nothing = values.new_zeros(len(values), reduction.before, *values.shape[2:])
        return replace(reduction, tokens=nothing).undo(values)
    return reduction.undo(values)


def pixel_loss(said, reached, labels):
    """Cross-entropy over the pixels of the patches that reached a head; all of a cell get the same prediction."""
    nearest = functional.interpolate(cells_to_map(said, (4, 8)), size=(32, 64), mode="nearest")
    seen = reached.view(-1, 4, 8).repeat_interleave(8, dim=1).repeat_interleave(8, dim=2) > 0
    return functional.cross_entropy(nearest, labels.long().where(seen, IGNORE), ignore_index=IGNORE)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dense", "dense"),
        ("pause", "1:0.4"),
        ("pause", "1:0.3+2:0.3"),
        ("local-merge", "1:0.4+2:0.2"),
        ("merge", "1:0.2+2:0.2"),
        ("merge>pause", "1:0.3>1:0.4"),
    ],
)
@pytest.mark.parametrize("sub_patch", [1, 2])
def test_heads_learn_from_the_pixels_of_the_patches_that_reach_them(make, name, text, sub_patch) -> None:
    """Spelled out: merged patches all have their token's prediction, patches that wait count no more."""
    model, labels = make(sub_patch=sub_patch), draw_labels(32, 64)
    images = torch.randn(2, 3, 32, 64, dtype=torch.float64)
    strategy = Dense() if name == "dense" else build_strategy(operating_point(name, "", text))
    losses = compute_losses(model, images, labels, strategy, Heads(blocks=(1, 2), weight=0.3))
    listener = Listener(strategy)
    model.train_heads(images, labels, listener)
    each = [pixel_loss(said, reached, labels) for said, reached in listener.heard]
    assert len(each) == 2
    assert_close(losses.auxiliary.double(), (each[0] + each[1]) / 2, rtol=1e-5, atol=0)
    assert_close(losses.total, losses.final + 0.3 * losses.auxiliary)
    final = functional.cross_entropy(model(images, strategy).float(), labels.long(), ignore_index=IGNORE)
    assert_close(losses.final, final)


def assert_teaches_every_part(model, strategy, heads) -> None:
    images = torch.randn(2, 3, 32, 64, dtype=torch.float64)
    compute_losses(model, images, draw_labels(32, 64), strategy, heads).total.backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())
    assert all(block.mlp.fc1.weight.grad.abs().max() > 0 for block in model.encoder.blocks)


def test_gradients_reach_every_part_when_patches_pause(make) -> None:
    assert_teaches_every_part(make(), pause("1:0.4+2:0.4"), Heads(blocks=(1, 2)))


@pytest.mark.parametrize("recipe", ["merge", "resize"])
@pytest.mark.parametrize("seed", range(4))
def test_gradients_reach_every_part_of_networks_without_heads(make, of_recipe, recipe, seed) -> None:
    assert_teaches_every_part(make(heads=()), draw_strategy(of_recipe(recipe), 4, random.Random(seed)), None)


@pytest.mark.parametrize("strategy", [LocalMerge(Schedule.parse("1:0.5")), Resize(Scale(0.5))])
def test_the_final_loss_is_over_all_pixels_of_the_image(make, strategy) -> None:
    model, images, labels = make(heads=()), torch.randn(2, 3, 30, 61, dtype=torch.float64), draw_labels(30, 61)
    losses = compute_losses(model, images, labels, strategy, None)
    expected = functional.cross_entropy(model(images, strategy).float(), labels.long(), ignore_index=IGNORE)
    assert_close(losses.total, expected)
    assert losses.auxiliary == 0


def test_paused_patches_teach_the_blocks_before_they_paused(make) -> None:
    model, images = make(), torch.randn(1, 3, 32, 64, dtype=torch.float64)
    [(_, running)] = model.encode(images, pause("1:0.5"))[1].paused_at()
    labels = torch.ones(1, 32, 64, dtype=torch.uint8)
    for patch in running[0].tolist():  # only paused patches are labelled
        labels[0, patch // 8 * 8 : patch // 8 * 8 + 8, patch % 8 * 8 : patch % 8 * 8 + 8] = IGNORE
    compute_losses(model, images, labels, pause("1:0.5"), None).total.backward()
    assert model.encoder.blocks[0].mlp.fc1.weight.grad.abs().max() > 0


def test_a_batch_without_labels_teaches_nothing_and_breaks_nothing(make) -> None:
    model, images = make(), torch.randn(1, 3, 32, 64, dtype=torch.float64)
    labels = torch.full((1, 32, 64), IGNORE, dtype=torch.uint8)
    losses = compute_losses(model, images, labels, Dense(), Heads(blocks=(1, 2)))
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
    losses = compute_losses(model, images, labels, Dense(), heads, weights)
    tokens = model.encoder.blocks[:2](model.encoder.embed(images))
    cells = cells_to_map(model.heads["2"](tokens[:, 1:]), (4, 8))
    nearest = functional.interpolate(cells, size=(32, 64), mode="nearest")
    for loss, logits in ((losses.final, model(images)), (losses.auxiliary, nearest)):
        expected = functional.cross_entropy(logits.float(), labels.long(), weights, ignore_index=IGNORE)
        assert_close(loss, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("side", [1, 2, 3])
def test_cells_come_back_from_their_map(side) -> None:
    cells = draw_logits(12, side**2)
    assert torch.equal(map_to_cells(cells_to_map(cells, (3, 4)), side), cells)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_teacher_gives_its_share_of_the_targets(make, share) -> None:
    model, labels, heads = make(sub_patch=2), draw_labels(32, 64), Heads(blocks=(1, 2), weight=0.3)
    images, strategy = torch.randn(2, 3, 32, 64, dtype=torch.float64), pause("1:0.4")
    said = torch.randn(2, CLASSES, 8, 16).softmax(dim=1)
    plain = compute_losses(model, images, labels, strategy, heads)
    taught = compute_losses(model, images, labels, strategy, heads, teaching=Teaching(said, share))
    logits = model.patch_logits(images, strategy).float()
    assert_close(taught.final, (1 - share) * plain.final + share * functional.cross_entropy(logits, said))
    cells, counts = map_to_cells(said, 2), class_counts(labels, (4, 8), 8, 2, CLASSES)
    mixed = Teaching(said, share).mix(counts)
    assert_close(mixed.sum(dim=-1), counts.sum(dim=-1))
    assert_close(mixed, (1 - share) * counts + share * counts.sum(dim=-1, keepdim=True) * cells)
    _, predictions = model.train_heads(images, labels, strategy, teaching=Teaching(said, share))
    assert_close(taught.auxiliary, torch.stack([auxiliary_loss(one) for one in predictions]).mean())


def test_a_network_teaches_what_it_says_of_all_patches(make) -> None:
    model, images = make(), torch.randn(2, 3, 32, 64, dtype=torch.float64)
    teaching = teach(model, images, 0.5)
    assert_close(teaching.probabilities, model.patch_logits(images).float().softmax(dim=1))
    assert not teaching.probabilities.requires_grad


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_the_auxiliary_losses_teach_the_encoder_by_their_share(make, share) -> None:
    model, images, labels = make(), torch.randn(2, 3, 32, 64, dtype=torch.float64), draw_labels(32, 64)
    gradients = {}
    for gradient in (1.0, share):
        model.zero_grad()
        compute_losses(model, images, labels, Dense(), Heads(blocks=(1, 2), gradient=gradient)).auxiliary.backward()
        gradients[gradient] = model.encoder.blocks[0].mlp.fc1.weight.grad
    assert model.heads["1"].linear.weight.grad.abs().max() > 0
    if share == 0:
        assert gradients[share] is None
    else:
        assert_close(gradients[share], share * gradients[1.0])
