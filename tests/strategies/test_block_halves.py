"""A block in two halves is timm's block, and merged tokens count in attention as often as they have patches."""

import inspect

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples
from timm.models.vision_transformer import Block
from torch import nn
from torch.testing import assert_close

from paumer.config.network import Backbone, Decoder, NetworkSettings
from paumer.measurement.counting import count
from paumer.models.blocks import attend, block_macs, feed_forward
from paumer.models.build import build
from paumer.strategies.contract import Dense
from paumer.strategies.merge import Merge
from paumer.strategies.notation import Schedule

WIDTH = 32
KINDS = {
    "plain": {},
    "layer scale": {"init_values": 0.5},
    "norm of queries and keys": {"qk_norm": True},
    "norm after attention": {"scale_attn_norm": True},
    "norm in the feed-forward network": {"scale_mlp_norm": True},
    "no bias": {"qkv_bias": False, "proj_bias": False},
}


def make_block(**options) -> Block:
    torch.manual_seed(0)
    block = Block(WIDTH, num_heads=4, **({"qkv_bias": True} | options)).double().eval()
    with torch.no_grad():
        for value in block.parameters():
            value += 0.2 * torch.randn_like(value)
    return block.requires_grad_(False)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def block(request) -> Block:
    if not set(request.param) <= set(inspect.signature(Block).parameters):
        pytest.skip("this release of timm does not have it")
    return make_block(**request.param)


def draw_tokens(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(2, count, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_both_halves_are_timms_block(block) -> None:
    tokens = draw_tokens(7)
    assert torch.equal(feed_forward(block, attend(block, tokens, None)[0]), block(tokens))


def test_both_halves_are_timms_gated_block() -> None:
    block = make_block()
    if not hasattr(block.attn, "gate"):
        pytest.skip("this release of timm has no gates")
    block.attn.gate = nn.Linear(WIDTH, WIDTH).double()
    tokens = draw_tokens(7)
    assert torch.equal(feed_forward(block, attend(block, tokens, None)[0]), block(tokens))


def test_halves_drop_in_training_as_the_block_does() -> None:
    block, tokens = make_block(attn_drop=0.3, proj_drop=0.3, drop_path=0.5).train(), draw_tokens(7)
    torch.manual_seed(3)
    whole = block(tokens)
    torch.manual_seed(3)
    assert torch.equal(feed_forward(block, attend(block, tokens, None)[0]), whole)
    assert not torch.equal(whole, block(tokens))


def test_keys_are_those_of_all_heads(block) -> None:
    tokens = draw_tokens(7)
    projected = block.attn.qkv(block.norm1(tokens))[..., WIDTH : 2 * WIDTH]
    heads = [block.attn.k_norm(part) for part in projected.chunk(4, dim=-1)]
    assert_close(attend(block, tokens, None)[1], torch.stack(heads, dim=1))


def test_a_bias_of_zeros_changes_nothing(block) -> None:
    tokens = draw_tokens(7)
    with_bias, _ = attend(block, tokens, torch.zeros(2, 1, 1, 7, dtype=torch.float64))
    assert_close(with_bias, attend(block, tokens, None)[0])


@settings(max_examples=examples(30))
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 1000))
def test_a_token_of_several_patches_attends_as_its_patches_would(sizes, seed) -> None:
    block, tokens, counts = make_block(init_values=0.5), draw_tokens(len(sizes), seed), torch.tensor(sizes)
    bias = counts.double().log().expand(2, -1)[:, None, None]
    merged, keys = attend(block, tokens, bias)
    apart, all_keys = attend(block, tokens.repeat_interleave(counts, dim=1), None)
    assert_close(merged.repeat_interleave(counts, dim=1), apart)
    assert_close(keys.repeat_interleave(counts, dim=2), all_keys)


def test_macs_of_a_block_are_its_matrices_and_its_products() -> None:
    macs = block_macs(make_block(), attended=10, fed=7)
    assert macs == 10 * 4 * WIDTH**2 + 2 * 10**2 * WIDTH + 7 * 8 * WIDTH**2


@pytest.mark.parametrize(
    ("architecture", "possible"),
    [
        ("vit_tiny_patch16_224", True),
        ("deit3_small_patch16_224", True),
        ("vit_small_patch14_reg4_dinov2", True),
        ("vit_small_patch16_dinov3", True),
        ("eva02_base_patch14_448", True),
        ("eva_giant_patch14_224", True),
        ("vit_small_patch16_18x2_224", False),  # attentions side by side, then feed-forward networks
        ("vit_base_patch16_xp_224", False),  # attention beside the feed-forward network
        ("vit_dwee_patch16_reg1_gap_256", False),  # differential attention
        ("vit_dpwee_patch16_reg1_gap_256", False),  # both
    ],
)
def test_blocks_without_halves_run_and_count_but_never_merge(architecture, possible) -> None:
    if not timm.is_model(architecture):
        pytest.skip("this release of timm does not have it")
    options = {"patch_size": 8, "embed_dim": WIDTH, "depth": 2, "num_heads": 2}
    backbone = Backbone(name="net", architecture=architecture, options=options)
    described = NetworkSettings(backbone=backbone, decoder=Decoder(), heads=None, classes=5, image_size=(16, 32))
    network = build(described).eval().requires_grad_(False)
    assert bool(Merge(Schedule("1:0.3")).skip(network)) != possible
    [dense] = network.sweep(torch.randn(1, 3, 16, 32), [Dense()], count=True)
    assert dense.macs.item() == pytest.approx(1e9 * count(network, (16, 32), Dense())["gmac_total"])
