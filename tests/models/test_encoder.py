"""The encoder taken apart is the network timm runs."""

import pytest
import torch
from timm.layers import build_sincos2d_pos_embed
from torch.testing import assert_close

from paumer.strategies.contract import Dense

VARIANTS = {
    "class token": {},
    "distilled": {"architecture": "deit_tiny_distilled_patch16_224"},
    "registers": {"architecture": "vit_small_patch14_reg4_dinov2"},
    "registers with positions": {
        "architecture": "vit_small_patch14_reg4_dinov2",
        "options": {"no_embed_class": False},
    },
    "layer scale": {"architecture": "vit_small_patch14_dinov2"},
    "no position for the class": {"architecture": "deit3_small_patch16_224"},
    "no prefix": {"options": {"class_token": False, "global_pool": "avg"}},
    "norm before the blocks": {"architecture": "vit_base_patch16_clip_224"},
    "rotary and registers": {"architecture": "vit_small_patch16_dinov3"},
    "rotary and joint feed-forward gates": {"architecture": "vit_small_plus_patch16_dinov3_qkvb"},
    "rotary and position embeddings": {"architecture": "eva02_tiny_patch14_224"},
    "rotary and apart projections": {"architecture": "eva02_base_patch14_448"},
}


@pytest.mark.parametrize("size", [(32, 64), (48, 40)], ids=["own size", "other size"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_embedding_blocks_and_norm_are_timms_features(make, variant, size) -> None:
    model = make(**variant)
    encoder, images = model.encoder, torch.randn(2, 3, *size, dtype=torch.float64)
    tokens, _ = model.encode(images, Dense())
    expected = encoder.vit.fc_norm(encoder.vit.forward_features(images))
    assert_close(encoder.norm(tokens), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("variant", "prefix"), [("class token", 1), ("distilled", 2), ("registers", 5), ("no prefix", 0)]
)
def test_prefix_stands_before_the_patches(make, images, variant, prefix) -> None:
    encoder = make(**VARIANTS[variant]).encoder
    assert encoder.prefix == prefix
    assert encoder.embed(images).shape == (2, prefix + 4 * 8, 32)


def test_positions_of_another_size_are_resampled(make) -> None:
    encoder = make().encoder
    with torch.no_grad():
        encoder.vit.pos_embed.copy_(torch.full_like(encoder.vit.pos_embed, 3.0))
        encoder.vit.patch_embed.proj.weight.zero_()
        encoder.vit.patch_embed.proj.bias.zero_()
    tokens = encoder.embed(torch.zeros(1, 3, 72, 40, dtype=torch.float64))
    assert_close(tokens[:, 1:], torch.full((1, 9 * 5, 32), 3.0, dtype=torch.float64), rtol=0, atol=1e-5)


def test_sincos_positions_replace_those_of_the_patches_alone(make) -> None:
    encoder = make().encoder
    prefix = encoder.vit.pos_embed[:, :1].clone()
    encoder.start_positions_as_sincos()
    assert_close(encoder.vit.pos_embed[0, 1:], build_sincos2d_pos_embed([4, 8], dim=32).double())
    assert_close(encoder.vit.pos_embed[:, :1], prefix)
    assert encoder.vit.pos_embed.requires_grad
