"""Shared patches: which squares share a token, what it is, and that all patches get it back."""

import pytest
import torch
from operating_points import restored, strategy
from torch.nn import functional
from torch.testing import assert_close

from paumer.strategies.contract import Dense
from paumer.strategies.shared_patches import roughness

SQUARES = [[corner, corner + 1, corner + 8, corner + 9] for corner in (0, 2, 4, 6, 16, 18, 20, 22)]  # of 4 x 8 patches


def flat_where(squares: list[int]) -> torch.Tensor:
    """An image of noise in which some squares of 2 x 2 patches have one colour."""
    image = torch.randn(1, 3, 32, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    for number in squares:
        row, column = divmod(number, 4)
        image[0, :, row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] = 0.1 * number
    return image


def test_squares_without_edges_share_a_token(model) -> None:
    tokens, state = model.encode(flat_where([1, 6]), strategy("shared-patches", "share:0.25"))
    assert tokens.shape[1] == model.encoder.prefix + 32 - 6
    index = state.reductions[0].index[0].tolist()
    alone = [patch for patch in range(32) if patch not in SQUARES[1] + SQUARES[6]]
    assert all(len({index[patch] for patch in SQUARES[number]}) == 1 for number in (1, 6))
    assert len({index[patch] for patch in alone}) == len(alone)


def test_the_token_is_the_square_as_one_patch_at_its_mean_position(model, images) -> None:
    tokens, state = model.embed(images)
    prefix, vit = model.encoder.prefix, model.encoder.vit
    shared = strategy("shared-patches", "share:1").before_blocks(model, tokens, state)
    half = functional.interpolate(images, scale_factor=0.5, mode="bilinear")
    expected = vit.patch_embed(half).flatten(1, 2)
    if vit.pos_embed is not None:
        expected = expected + vit.pos_embed[:, -32:][:, SQUARES].mean(dim=2)
    assert torch.equal(shared[:, :prefix], tokens[:, :prefix])
    assert_close(shared[:, prefix:], expected)


def test_no_square_is_dense_bit_for_bit_and_sizes_do_not_weigh(model, images) -> None:
    assert torch.equal(model(images, strategy("shared-patches", "share:0.05")), model(images, Dense()))
    _, state = model.encode(images, strategy("shared-patches", "share:0.5"))
    assert state.sizes.sum(dim=1).tolist() == [32.0] * 3 and state.bias is None


def test_every_patch_comes_back_to_its_place(blockless, images) -> None:
    final = restored(*blockless.encode(images, strategy("shared-patches", "share:0.5")))
    embedded = blockless.encoder.embed(images)[:, blockless.encoder.prefix :]
    kept = (final == embedded).all(dim=-1)
    assert kept.sum(dim=1).tolist() == [16, 16, 16]
    for image in range(3):
        for square in SQUARES:
            assert kept[image, square].all() or torch.equal(
                final[image, square], final[image, square[:1]].expand(4, -1)
            )


@pytest.mark.parametrize("shape", [(1, 3, 8, 40), (2, 3, 40, 24)])
def test_odd_rows_and_columns_take_no_part(plain, shape) -> None:
    image = torch.randn(shape, dtype=torch.float64)
    rows, columns = shape[2] // 8, shape[3] // 8
    tokens, _ = plain.encode(image, strategy("shared-patches", "share:1"))
    assert tokens.shape[1] == 1 + rows * columns - 3 * (rows // 2) * (columns // 2)


def test_roughness_is_the_mean_squared_slope() -> None:
    rises = 3 * torch.arange(32.0)
    across, down = rises.expand(1, 1, 32, 32), rises[:, None].expand(1, 1, 32, 32)
    for pixels in (across, down):  # one of two directions; at the border the slope is half
        inside = roughness(pixels, 8).view(4, 4)[1:3, 1:3]
        assert_close(inside, torch.full((2, 2), 9 / 2))
    assert roughness(torch.cat([across, torch.ones_like(across)], dim=1), 8)[0, 5] == 9 / 4
    assert not roughness(torch.ones(2, 3, 16, 16), 8).any()


def test_sweeps_share_blocks_only_where_the_same_squares_do(plain, images, watch) -> None:
    points = [strategy("shared-patches", text) for text in ("share:0.5", "share:0.25")]
    points += [strategy("shared-patches>pause", "share:0.5>3:0.4"), Dense()]
    with watch(plain) as seen:
        together = plain.sweep(images, points, count=True)
    assert [number for number, _ in seen].count(1) == 3
    for point, output in zip(points, together, strict=True):
        assert torch.equal(output.logits, plain.patch_logits(images, point))
