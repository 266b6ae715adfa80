"""Images of different lengths in one sequence: each as if it were alone, under a budget that they share."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from operating_points import restored, strategy
from torch.testing import assert_close

from paumer.models.encoder import block_macs
from paumer.strategies.contract import Dense
from paumer.strategies.criteria import entropy
from paumer.strategies.registry import operating_point
from paumer.strategies.tokens import Packing
from paumer.system.errors import PaumerError

PATCHES = 4 * 8
CPU = torch.device("cpu")


def lengths(model, state) -> list[int]:
    """Patches of each image that run in the end."""
    return [count - model.encoder.prefix for count in state.packing.lengths]


@given(st.integers(1, 4), st.integers(0, 3), st.lists(st.booleans(), min_size=24, max_size=24))
def test_packing_keeps_prefixes_and_chosen_patches_in_their_order(batch, prefix, wanted) -> None:
    count = 6
    tokens = torch.arange(batch * (prefix + count))
    rows, packing = Packing.even(batch, prefix + count, prefix, CPU).keep(torch.tensor(wanted[: batch * count]))
    expected = []
    for image in range(batch):
        start = image * (prefix + count)
        patches = [start + prefix + patch for patch in range(count) if wanted[image * count + patch]]
        expected.append([*range(start, start + prefix), *patches])
    assert tokens[rows].tolist() == [token for image in expected for token in image]
    assert packing.lengths == tuple(map(len, expected))
    assert packing.images.tolist() == [number for number, image in enumerate(expected) for _ in image]
    assert [int(tokens[rows][place]) for place in packing.patches] == [t for image in expected for t in image[prefix:]]


def test_a_threshold_pauses_exactly_what_exceeds_it(model, images) -> None:
    tokens = model.encoder.blocks[:3](model.encoder.embed(images))
    certainty = 1 - entropy(model.heads["3"](tokens[:, model.encoder.prefix :]))
    _, state = model.encode(images, strategy("pause", "3@0.22"))
    assert lengths(model, state) == (certainty <= 0.22).sum(dim=1).tolist()
    assert state.reductions[0].kept.rows.tolist() == (certainty <= 0.22).flatten().nonzero().squeeze(1).tolist()


def test_every_image_keeps_its_least_certain_patch(model, images) -> None:
    for text in ("3@0", "3:0.96 over batch"):
        assert min(lengths(model, model.encode(images, strategy("pause", text))[1])) == 1


def test_thresholds_above_1_are_dense_bit_for_bit(model, images) -> None:
    assert torch.equal(model(images, strategy("pause", "2@1.01+4@1.01")), model(images, Dense()))


@pytest.mark.parametrize("text", ["3:0.4", "2:0.25+4:0.25"])
def test_a_budget_over_the_batch_keeps_the_total_and_the_least_certain_of_all_images(model, images, text) -> None:
    alone = strategy("pause", text)
    _, even = model.encode(images, alone)
    _, shared = model.encode(images, strategy("pause", f"{text} over batch"))
    left = alone.parameters.running(PATCHES)[alone.parameters.blocks[-1]]
    assert sum(lengths(model, shared)) == 3 * left
    first = shared.reductions[0]
    tokens = model.encoder.blocks[: alone.parameters.blocks[0]](model.encoder.embed(images))
    scores = entropy(model.heads[text[0]](tokens[:, model.encoder.prefix :])).flatten()
    runs = torch.zeros_like(scores, dtype=torch.bool).index_fill(0, first.kept.rows, True)
    assert scores[~runs].max() < scores[runs].min()
    assert [len(one.kept.rows) for one in shared.reductions] == [len(one.kept.rows) for one in even.reductions]


def test_a_budget_over_a_batch_of_one_is_the_budget_of_the_image(model, images) -> None:
    for text in ("3:0.4", "2:0.2+4:0.3"):
        alone = model(images[:1], strategy("pause", text))
        assert_close(model(images[:1], strategy("pause", f"{text} over batch")), alone)


def test_every_patch_comes_back_to_its_place(model, images) -> None:
    blockless = copy.deepcopy(model)
    for block in blockless.blocks:
        for last in (block.attn.proj, block.mlp.fc2):
            last.weight.zero_(), last.bias.zero_()
    embedded = blockless.encoder.embed(images)[:, blockless.encoder.prefix :]
    for text in ("2:0.3+4:0.3 over batch", "3@0.22"):
        tokens, state = blockless.encode(images, strategy("pause", text, "margin" if "@" in text else "entropy"))
        assert torch.equal(restored(tokens, state), embedded)


@pytest.mark.parametrize("point", [("pause", "2:0.3+4:0.3 over batch"), ("token-exit", "2@0.35+4@0.4 keep 1")])
def test_mask_decoder_and_merged_sizes_take_part(masked, images, point) -> None:
    """Against one image at a time, with the places that run taken from the whole batch."""
    name, text = point
    merged = strategy(f"merge>{name}", f"1-2:0.1>{text}")
    together, state = masked.encode(images, merged)
    assert len(set(state.packing.lengths)) > 1
    assert masked.finish(together, state, merged).isfinite().all()
    if name == "token-exit":
        for number in range(3):
            alone = masked.patch_logits(images[number : number + 1], merged)
            assert_close(masked.patch_logits(images, merged)[number], alone[0])


def test_costs_are_those_of_each_images_own_length(plain, images) -> None:
    shared = strategy("pause", "3:0.4 over batch")
    [counted] = [output.macs for output in plain.sweep(images, [shared], count=True)]
    _, state = plain.encode(images, shared)
    [dense] = [output.macs for output in plain.sweep(images, [Dense()], count=True)]
    head = plain.heads["3"].macs(PATCHES)
    block = plain.blocks[0]
    for image, length in enumerate(state.packing.lengths):
        saved = 3 * (block_macs(block, PATCHES + 1, PATCHES + 1) - block_macs(block, length, length))
        assert counted[image] == pytest.approx(float(dense[image]) + head - saved)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pause>merge", "3:0.4 over batch>1-4:0.1"),
        ("pause>merge", "3@0.9>1-4:0.1"),
        ("token-exit>pause", "3@0.9>6:0.3"),
    ],
)
def test_nothing_else_acts_once_lengths_differ(name, text) -> None:
    with pytest.raises(PaumerError, match="different numbers of patches"):
        operating_point(name, "", text)
