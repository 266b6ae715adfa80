"""Decoders and heads: where cells go, what a mask is, and what each costs."""

import pytest
import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from paumer.config.network import Decoder
from paumer.models.heads import LinearHead, MaskTransformer, build_decoder, cells_to_map


@pytest.mark.parametrize("side", [1, 2, 3])
def test_cells_lie_row_by_row_within_patches_row_by_row(side) -> None:
    height, width = 3, 4
    cells = torch.randn(2, height * width, side**2, 5)
    arranged = cells_to_map(cells, (height, width))
    assert arranged.shape == (2, 5, height * side, width * side)
    for row in range(height * side):
        for column in range(width * side):
            patch = (row // side) * width + column // side
            cell = (row % side) * side + column % side
            assert torch.equal(arranged[:, :, row, column], cells[:, patch, cell])


def test_head_with_norm_ignores_scale_and_shift_of_tokens() -> None:
    head, patches = LinearHead(8, 5, norm=True).double(), torch.randn(2, 6, 8, dtype=torch.float64)
    assert_close(head(patches), head(50 * patches + 3), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("settings", "cells"), [(Decoder(), 1), (Decoder(sub_patch=3), 9)])
def test_linear_decoder_is_a_linear_layer_on_every_patch(settings, cells) -> None:
    decoder, patches = build_decoder(settings, 8, 5), torch.randn(2, 12, 8)
    assert isinstance(decoder, LinearHead)
    assert torch.equal(decoder(patches), decoder.linear(patches).view(2, 12, cells, 5))


def test_mask_transformer_scores_patches_by_cosine_with_class_tokens() -> None:
    torch.manual_seed(0)
    decoder, patches = MaskTransformer(64, 5, layers=2).eval(), torch.randn(2, 12, 64)
    tokens = torch.cat([decoder.project(patches), decoder.class_tokens.expand(2, -1, -1)], dim=1)
    for block in decoder.blocks:
        tokens = block(tokens)
    tokens = decoder.norm(tokens)
    seen, classes = decoder.project_patches(tokens[:, :12]), decoder.project_classes(tokens[:, 12:])
    cosine = functional.cosine_similarity(seen[:, :, None], classes[:, None], dim=-1)
    logits = decoder(patches)
    assert logits.shape == (2, 12, 1, 5)
    assert logits.isfinite().all()
    assert_close(logits, decoder.mask_norm(cosine)[:, :, None], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("width", "heads"), [(32, 1), (192, 3), (384, 6)])
def test_mask_transformer_has_heads_of_64_channels(width, heads) -> None:
    assert MaskTransformer(width, 5, layers=1).blocks[0].attn.num_heads == heads


def test_mask_transformer_takes_no_image_at_all() -> None:
    assert MaskTransformer(64, 5, layers=2).eval()(torch.randn(0, 12, 64)).shape == (0, 12, 1, 5)


@pytest.mark.parametrize("patches", [1, 12, 40])
def test_macs_are_those_that_torch_counts(patches) -> None:
    decoders = [LinearHead(64, 5, sub_patch=2, norm=True), MaskTransformer(64, 5, layers=2).eval()]
    for decoder in decoders:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            decoder(torch.randn(1, patches, 64))
        assert decoder.macs(patches) == counter.get_total_flops() / 2


def test_dropout_of_the_mask_transformer_acts_in_training_alone() -> None:
    """On attention weights, what attention gives, and both layers of the feed-forward network."""
    torch.manual_seed(0)
    decoder = build_decoder(Decoder(name="mask_transformer", dropout=0.3), 64, 5)
    layers = [module.p for module in decoder.blocks[0].modules() if isinstance(module, torch.nn.Dropout)]
    assert layers == [0.3] * 4
    patches = torch.randn(1, 6, 64)
    assert not torch.equal(decoder(patches), decoder(patches))
    plain = MaskTransformer(64, 5, layers=2)
    plain.load_state_dict(decoder.state_dict())
    assert torch.equal(decoder.eval()(patches), plain.eval()(patches))
    assert torch.equal(plain.train()(patches), plain.eval()(patches))
