"""What a training step minimises."""

import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples
from torch.nn import functional
from torch.testing import assert_close

from paumer.config.base import IGNORE
from paumer.config.network import Heads
from paumer.models.heads import AuxiliaryOutput, cells_to_map
from paumer.models.labels import balance_classes, class_counts
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.merge import LocalMerge
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.reductions import PausedTokens
from paumer.strategies.registry import build_strategy, operating_point
from paumer.strategies.resize import Resize, Scale
from paumer.training.objective import auxiliary_loss, compute_losses, draw_strategy, total_pixel_weight

CLASSES = 5


def pause(text: str) -> Pause:
    return Pause(Schedule(text))


def draw_labels(height: int, width: int, images: int = 2) -> torch.Tensor:
    """Random class ids, a fifth of them ignored."""
    labels = torch.randint(CLASSES, (images, height, width), generator=torch.Generator().manual_seed(0))
    labels[torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.2] = IGNORE
    return labels.to(torch.uint8)


def draw_logits(patches: int, cells: int, images: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(images, patches, cells, CLASSES, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("size", [(24, 32), (21, 26)], ids=["whole patches", "padded"])
@pytest.mark.parametrize("side", [1, 2, 4])
def test_auxiliary_loss_is_pixel_cross_entropy_of_nearest_upsampled_logits(side, size) -> None:
    labels, logits = draw_labels(*size), draw_logits(12, side**2)
    full = functional.interpolate(cells_to_map(logits, (3, 4)), size=(24, 32), mode="nearest")
    full = full[..., : size[0], : size[1]]
    expected = functional.cross_entropy(full, labels.long(), ignore_index=IGNORE, reduction="sum")
    loss = auxiliary_loss(AuxiliaryOutput(logits, class_counts(labels, (3, 4), 8, side, CLASSES)))
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
        self.__dict__.update(inner=inner, heard=[])

    def action_key(self, block):
        return "heard"

    def merge_key(self, block):
        return self.inner.merge_key(block)

    def within(self, block, tokens, keys, state):
        return self.inner.within(block, tokens, keys, state)

    def after_block(self, block, tokens, state):
        if str(block) in state.heads:
            said = state.predict(block, tokens)
            reached = said.new_ones(said.shape[:2])
            for reduction in reversed(state.reductions):
                said, reached = undo(reduction, said), undo(reduction, reached)
            self.heard.append((said, reached, float(reached.mean())))
        acts = self.inner.action_key(block) is not None
        return self.inner.after_block(block, tokens, state) if acts else tokens


def undo(reduction, values):
    """Values of all patches before a reduction, 0 where they waited."""
    if isinstance(reduction, PausedTokens):
        nothing = values.new_zeros(len(values), reduction.before, *values.shape[2:])
        return replace(reduction, values=nothing).restore(values)
    return reduction.restore(values)


def pixel_loss(said, reached, share, labels):
    """Cross-entropy over the pixels of the patches that reached a head; all of a cell get the same prediction.

    Divided by as many pixels as the share of patches that did would have if all had the same number.
    """
    nearest = functional.interpolate(cells_to_map(said, (4, 8)), size=(32, 64), mode="nearest")
    seen = reached.view(-1, 4, 8).repeat_interleave(8, dim=1).repeat_interleave(8, dim=2) > 0
    summed = functional.cross_entropy(nearest, labels.long().where(seen, IGNORE), ignore_index=IGNORE, reduction="sum")
    return summed / ((labels != IGNORE).sum() * share)


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
    each = [pixel_loss(*heard, labels) for heard in listener.heard]
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


@pytest.mark.parametrize("strategy", ["pause", "token-exit"])
def test_gradients_reach_every_part_when_patches_leave(make, strategy) -> None:
    leaving = build_strategy(operating_point(strategy, "", "1:0.4+2:0.4"))
    assert_teaches_every_part(make(), leaving, Heads(blocks=(1, 2)))


def test_patches_that_exit_teach_their_head_the_final_loss(make) -> None:
    """Those that leave after block 1 all have its prediction: the loss is that of the head, not of the decoder."""
    model, images, labels = make(), torch.randn(2, 3, 32, 64, dtype=torch.float64), draw_labels(32, 64)
    exits = build_strategy(operating_point("token-exit", "", "1:0.9 keep 1"))
    compute_losses(model, images, labels, exits, Heads(blocks=(1, 2), weight=0)).final.backward()
    assert model.heads["1"].linear.weight.grad.abs().max() > 0
    assert model.heads["2"].linear.weight.grad is None


@pytest.mark.parametrize("recipe", ["merge", "resize"])
@pytest.mark.parametrize("seed", range(4))
def test_gradients_reach_every_part_of_networks_without_heads(make, of_recipe, recipe, seed) -> None:
    assert_teaches_every_part(make(heads=()), draw_strategy(of_recipe(recipe), 4, random.Random(seed)), None)


@pytest.mark.parametrize("strategy", [LocalMerge(Schedule("1:0.5")), Resize(Scale(0.5))])
def test_the_final_loss_is_over_all_pixels_of_the_image(make, strategy) -> None:
    model, images, labels = make(heads=()), torch.randn(2, 3, 30, 61, dtype=torch.float64), draw_labels(30, 61)
    losses = compute_losses(model, images, labels, strategy, None)
    expected = functional.cross_entropy(model(images, strategy).float(), labels.long(), ignore_index=IGNORE)
    assert_close(losses.total, expected)
    assert losses.auxiliary == 0


def test_paused_patches_teach_the_blocks_before_they_paused(make) -> None:
    model, images = make(), torch.randn(1, 3, 32, 64, dtype=torch.float64)
    running = model.encode(images, pause("1:0.5"))[1].positions
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


@settings(max_examples=examples(25))
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4), st.sampled_from(["dense", "1:0.4", "1:0.3+2:0.4"]), st.data()
)
def test_losses_and_gradients_of_parts_add_up_to_those_of_the_whole(make, parts, text, data) -> None:
    """However the images of a step are split, and however unevenly their pixels are labelled."""
    model, count = make(), sum(parts)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 100)))
    images = torch.randn(count, 3, 32, 64, dtype=torch.float64, generator=generator)
    labels = draw_labels(32, 64, count)
    labels[0], labels[-1, :20] = IGNORE, IGNORE
    weights = data.draw(st.sampled_from([None, torch.tensor([0.2, 3.0, 1.0, 0.5, 2.0])]))
    heads = Heads(blocks=(1, 2), weight=0.3)
    weight, strategy = total_pixel_weight(labels, weights), Dense() if text == "dense" else pause(text)

    def losses(chosen: slice):
        return compute_losses(model, images[chosen], labels[chosen], strategy, heads, weights, weight)

    def run(chosen: list[slice]) -> tuple[torch.Tensor, torch.Tensor]:
        model.zero_grad()
        each = [losses(part) for part in chosen]
        sum(one.total for one in each).backward()
        gradients = torch.cat([value.grad.flatten() for value in model.parameters()])
        names = ("total", "final", "auxiliary")
        return torch.stack([sum(getattr(one, name) for one in each) for name in names]), gradients

    ends = [sum(parts[: number + 1]) for number in range(len(parts))]
    split = [slice(end - size, end) for end, size in zip(ends, parts, strict=True)]
    whole, parted = run([slice(0, count)]), run(split)
    assert_close(parted[0], whole[0], rtol=1e-5, atol=1e-6)
    assert_close(parted[1], whole[1], rtol=1e-4, atol=1e-6)


def test_a_step_by_itself_is_the_whole(make) -> None:
    model, images, labels = make(), torch.randn(2, 3, 32, 64, dtype=torch.float64), draw_labels(32, 64)
    heads = Heads(blocks=(1, 2))
    weight = total_pixel_weight(labels, None)
    named = compute_losses(model, images, labels, pause("1:0.4"), heads, weight=weight)
    assert torch.equal(compute_losses(model, images, labels, pause("1:0.4"), heads).total, named.total)
    half = compute_losses(model, images, labels, pause("1:0.4"), heads, weight=2 * weight)
    assert_close(2 * half.total, named.total)
