"""The blocks of timm's vision transformers: whole, and in two halves, so that strategies can act in between.

Between the halves tokens merge; in them tokens count by their sizes, and images of different lengths run one by one.
Blocks of class `EvaBlock` (EVA-02, DINOv3) turn queries and keys by the positions of their patches.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from timm.layers import AttentionRope, apply_rot_embed_cat
from timm.models.eva import EvaAttention, EvaBlock
from timm.models.vision_transformer import Attention, Block
from torch import Tensor, nn
from torch.nn import functional

from paumer.strategies.tokens import Count

ROTARY = (EvaAttention, AttentionRope)


def has_halves(block: nn.Module) -> bool:
    """Whether a block is an ordinary attention, then a feed-forward network."""
    if type(block) is EvaBlock:
        return type(block.attn) in ROTARY and getattr(block.attn, "num_kv_groups", 1) == 1
    return type(block) is Block and type(block.attn) is Attention


def run_whole(block: nn.Module, tokens: Tensor, rotation: Tensor | None, prefix: int) -> Tensor:
    """The tokens (batch, count, width) after a block, as timm runs it.

    Args:
        block: any of timm's.
        tokens: (batch, prefix + patches, width).
        rotation: of the tokens, as `attend` takes it; None: the block turns nothing.
        prefix: tokens before the patches, which timm leaves as they are.
    """
    return block(tokens) if rotation is None else block(tokens, rope=rotation[:, None, prefix:])


def attend(
    block: Block,
    tokens: Tensor,
    bias: Tensor | None,
    lengths: Sequence[int] | None = None,
    rotation: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The first half of a block: norm, attention and residual; not every block of timm has such halves.

    Args:
        block: one that `has_halves`.
        tokens: (batch, count, width).
        bias: added to the attention's logits, (batch, 1, 1, count); None: nothing.
        lengths: tokens of each image, where a batch of one holds several one after the other.
        rotation: sines and cosines by which queries and keys turn, (batch or 1, count, 2 x channels); None: they stay.

    Returns:
        Tokens (batch, count, width), and the keys of all heads before they turn, (batch, heads, count, channels).
    """
    attention = block.attn
    normed = block.norm1(tokens)
    batch, count, _ = normed.shape
    projected = _project(attention, normed).reshape(batch, count, 3, attention.num_heads, -1)
    query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
    query, key = attention.q_norm(query), attention.k_norm(key)
    turned, asked = key, query
    if rotation is not None:
        turned, asked = (_turn(attention, values, rotation).to(value) for values in (key, query))
    fused = partial(functional.scaled_dot_product_attention, dropout_p=attention.attn_drop.p if block.training else 0.0)
    mask = None if bias is None else bias.to(query.dtype)
    if lengths is None or len(lengths) == 1:
        mixed = fused(asked, turned, value, mask).transpose(1, 2)
    else:
        mixed = _image_by_image(fused, lengths, asked, turned, value, mask)
    mixed = mixed.reshape(batch, count, -1)
    if hasattr(attention, "norm"):  # older releases of timm know neither norm nor gate here
        mixed = attention.norm(mixed)
    if getattr(attention, "gate", None) is not None:
        mixed = mixed * attention.gate(normed).sigmoid()
    mixed = attention.proj_drop(attention.proj(mixed))
    return tokens + block.drop_path1(_scale(block, 1, mixed)), key


def _project(attention: EvaAttention, normed: Tensor) -> Tensor:
    """Queries, keys and values one after the other, (batch, count, 3 x heads x channels)."""
    if attention.qkv is None:
        return torch.cat(
            [project(normed) for project in (attention.q_proj, attention.k_proj, attention.v_proj)], dim=-1
        )
    if getattr(attention, "q_bias", None) is None:
        return attention.qkv(normed)
    bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    return functional.linear(normed, attention.qkv.weight, bias)


def _turn(attention: EvaAttention, values: Tensor, rotation: Tensor) -> Tensor:
    """Queries or keys (batch, heads, count, channels), turned in the layout of channels that the attention has."""
    return apply_rot_embed_cat(values, rotation[:, None], half=attention.rotate_half)


def _scale(block: Block, half: int, values: Tensor) -> Tensor:
    """LayerScale of a half, where it has one."""
    if hasattr(block, f"ls{half}"):
        return getattr(block, f"ls{half}")(values)
    gamma = getattr(block, f"gamma_{half}")
    return values if gamma is None else gamma * values


def _image_by_image(
    fused: Callable[..., Tensor], lengths: Sequence[int], query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
) -> Tensor:
    """Attention within each image of a sequence, (1, tokens of all images, heads, channels).

    A processor is as fast at one image after the other as at a batch.
    """
    parts = [tensor.split(list(lengths), dim=2) for tensor in (query, key, value)]
    masks = [None] * len(lengths) if mask is None else mask.split(list(lengths), dim=3)
    return torch.cat([fused(*image).transpose(1, 2) for image in zip(*parts, masks, strict=True)], dim=1)


def feed_forward(block: Block, tokens: Tensor) -> Tensor:
    """The second half of a block: norm, feed-forward network and residual."""
    return tokens + block.drop_path2(_scale(block, 2, block.mlp(block.norm2(tokens))))


def block_macs(block: nn.Module, attended: Count, fed: Count) -> Count:
    """Multiply-accumulates of one image in a block; of each image, where there are several counts.

    Args:
        block: any of timm's; those without halves attend to and feed the same tokens.
        attended: tokens in its attention.
        fed: tokens in its feed-forward network.
    """
    attentions: list[Any] = [module for module in block.modules() if hasattr(module, "num_heads")]
    matrices = [value.numel() for item in attentions for value in item.parameters() if value.ndim == 2]
    others = sum(value.numel() for value in block.parameters() if value.ndim == 2) - sum(matrices)
    products = attended**2 * sum(_products(item) * item.num_heads * item.head_dim for item in attentions)
    return attended * sum(matrices) + products + fed * others


def _products(attention: nn.Module) -> int:
    """Products of queries and keys and of weights and values, each as wide as the keys."""
    differential = hasattr(attention, "lambda_init")  # two attentions, whose values are twice as wide
    return 6 if differential else 2
