"""Images of different lengths in one sequence: each as if it were alone."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from operating_points import restored, strategy
from torch.testing import assert_close

from paumer.models.blocks import block_macs
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
    assert min(lengths(model, model.encode(images, strategy("pause", "3@0"))[1])) == 1


def test_thresholds_above_1_are_dense_bit_for_bit(model, images) -> None:
    assert torch.equal(model(images, strategy("pause", "2@1.01+4@1.01")), model(images, Dense()))


def test_every_patch_comes_back_to_its_place(model, images) -> None:
    blockless = copy.deepcopy(model)
    for block in blockless.blocks:
        for last in (block.attn.proj, block.mlp.fc2):
            last.weight.zero_(), last.bias.zero_()
    embedded = blockless.encoder.embed(images)[:, blockless.encoder.prefix :]
    for text in ("3@0.22", "2@0.1+4@0.3", "2@0.1+3@0.3 rejoin 5"):
        assert torch.equal(restored(*blockless.encode(images, strategy("pause", text, "margin"))), embedded)


@pytest.mark.parametrize(
    "point",
    [
        ("merge>pause", "1-2:0.1>2@0.2+4@0.2"),
        ("merge>token-exit", "1-2:0.1>2@0.35+4@0.4 keep 1"),
        ("token-exit>pause", "2@0.5 keep 1>2@0.48+4@0.5"),
        ("token-exit>early-exit", "2@0.4 keep 1>exit:4"),
    ],
)
def test_mask_decoder_sizes_and_later_strategies_take_part(masked, images, point) -> None:
    """Against one image at a time."""
    built = strategy(*point)
    assert len(set(masked.encode(images, built)[1].packing.lengths)) > 1
    [together] = masked.sweep(images, [built], count=True)
    for number in range(3):
        [alone] = masked.sweep(images[number : number + 1], [built], count=True)
        assert_close(together.logits[number], alone.logits[0])
        assert together.macs[number] == alone.macs[0]


def test_costs_are_those_of_each_images_own_length(plain, images) -> None:
    shared = strategy("pause", "3@0.22")
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
        ("pause>merge", "3@0.9>1-4:0.1"),
        ("token-exit>pause", "3@0.9>6:0.3"),
    ],
)
def test_nothing_else_acts_once_lengths_differ(name, text) -> None:
    with pytest.raises(PaumerError, match="different numbers of patches"):
        operating_point(name, "", text)
