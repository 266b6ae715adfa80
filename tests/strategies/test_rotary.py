"""Networks that turn queries and keys by the positions of their patches: those of the patches that run."""

import copy

import pytest
import torch
from operating_points import strategy
from timm.layers import apply_rot_embed_cat
from torch.testing import assert_close

from paumer.measurement.counting import count
from paumer.measurement.floor import Floor
from paumer.models.blocks import attend, feed_forward
from paumer.strategies.contract import Dense
from paumer.strategies.notation import Schedule
from paumer.strategies.pause import Pause

GRID, PREFIX, CHANNELS = (4, 8), 5, 16


def timms_rotation(model, grid=GRID) -> torch.Tensor:
    """As timm computes it, (patches, 2 x channels)."""
    return model.encoder.vit.rope.get_embed(list(grid))


@pytest.mark.parametrize("text", ["2:0.5", "2:0.25+4:0.25"])
def test_blocks_turn_what_runs_by_its_own_positions(rotary, images, text) -> None:
    """Against timm's blocks, whose rotations are looked up at the patches that are kept."""
    tokens, state = rotary.encode(images, strategy("pause", text))
    vit, rope = rotary.encoder.vit, timms_rotation(rotary)
    expected, places = rotary.encoder.embed(images), torch.arange(32).expand(3, -1)
    reductions = {int(part.split(":")[0]): one for part, one in zip(text.split("+"), state.reductions, strict=True)}
    for number, block in enumerate(vit.blocks, start=1):
        expected = block(expected, rope=rope[places][:, None])
        if number in reductions:
            rows = reductions[number].kept.rows.view(3, -1) - torch.arange(3)[:, None] * places.shape[1]
            places = places.gather(1, rows)
            kept = expected[:, PREFIX:].gather(1, rows[..., None].expand(-1, -1, 32))
            expected = torch.cat([expected[:, :PREFIX], kept], dim=1)
    assert torch.equal(state.positions, places)
    assert_close(tokens, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("nothing", [Pause(Schedule()), strategy("pause", "2@1.01+4@1.01")])
def test_where_nothing_pauses_it_is_dense(rotary, images, nothing) -> None:
    assert_close(rotary(images, nothing), rotary(images, Dense()), rtol=0, atol=1e-10)


def test_packed_images_turn_by_their_own_positions(rotary, images) -> None:
    shared = strategy("pause", "2@0.22+4@0.25")
    tokens, state = rotary.encode(images, shared)
    assert len(set(state.packing.lengths)) > 1
    for number, together in enumerate(tokens.split(state.packing.lengths, dim=1)):
        alone, other = rotary.encode(images[number : number + 1], shared)
        assert_close(together, alone, rtol=0, atol=1e-10)
        assert torch.equal(other.rotation[0, :PREFIX], state.rotation[0, :PREFIX])


def test_a_merged_token_attends_with_the_mean_of_its_patches_logits(rotary, images) -> None:
    """Queries and keys turned by mean rotations give the mean product over all pairs of patches."""
    _, state = rotary.encode(images, strategy("merge", "1-3:0.2"))
    index = torch.arange(32).expand(3, -1)
    for reduction in state.reductions:
        index = reduction.index.gather(1, index)
    rope, vector = timms_rotation(rotary), torch.randn(CHANNELS, dtype=torch.float64)
    turned = apply_rot_embed_cat(vector.expand(32, -1), rope, half=True)
    for image in range(3):
        mean = apply_rot_embed_cat(
            vector.expand(state.running(state.rotation), -1), state.rotation[image, PREFIX:], half=True
        )
        members = torch.nn.functional.one_hot(index[image]).double()
        share = members / members.sum(dim=0)
        assert_close(mean @ mean.T, share.T @ (turned @ turned.T) @ share, rtol=0, atol=1e-10)


def test_what_rejoins_turns_as_before(rotary, images) -> None:
    _, state = rotary.encode(images, strategy("pause", "2:0.4 rejoin 5"))
    assert torch.equal(state.rotation[:, PREFIX:], timms_rotation(rotary)[None])


def test_halves_are_timms_block(rotary, images) -> None:
    block, tokens = rotary.encoder.blocks[0], rotary.encoder.embed(images)
    rotation = rotary.encoder.rotation(GRID)
    halves = feed_forward(block, attend(block, tokens, None, None, rotation)[0])
    assert_close(halves, block(tokens, rope=timms_rotation(rotary)), rtol=0, atol=1e-12)


def test_rotations_follow_the_size_and_the_number_type(rotary) -> None:
    """Kept between passes of one size, without a trace of what was seen before."""
    network = copy.deepcopy(rotary)
    for grid in (GRID, (3, 5), GRID):
        assert torch.equal(network.encoder.rotation(grid)[0, PREFIX:], timms_rotation(network, grid))
    assert network.encoder.rotation(GRID) is network.encoder.rotation(GRID)
    assert network.float().encoder.rotation(GRID).dtype == torch.float32


def test_gradients_flow_after_inference(rotary, images) -> None:
    network = copy.deepcopy(rotary).requires_grad_(True)
    with torch.inference_mode():
        network(images)
    network(images).sum().backward()
    assert network.encoder.blocks[0].attn.qkv.weight.grad.isfinite().all()


def test_training_draws_rotations_anew(rotary) -> None:
    network = copy.deepcopy(rotary).train()
    rope = network.encoder.vit.rope
    rope.shift_coords, rope.aug_active = 0.5, True
    assert not torch.equal(network.encoder.rotation(GRID), network.encoder.rotation(GRID))


@pytest.mark.parametrize("point", [("pause", "3:0.5"), ("merge", "1-3:0.1"), ("shared-patches", "share:0.5")])
def test_costs_are_those_that_are_counted(rotary, images, point) -> None:
    built = strategy(*point)
    [ran] = rotary.sweep(images[:1], [built], count=True)
    single = copy.deepcopy(rotary).float()
    assert ran.macs.item() == pytest.approx(1e9 * count(single, (32, 64), built)["gmac_total"])


def test_the_floor_runs_as_many_tokens(rotary, images) -> None:
    assert rotary(images, Floor(Schedule("2:0.5"))).shape == (3, 5, 32, 64)
