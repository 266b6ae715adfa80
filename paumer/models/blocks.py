"""A timm block in two halves, so that strategies can merge tokens between them and weigh them by their sizes."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from paumer.strategies.heads import Count


def attend(
    block: Block, tokens: Tensor, bias: Tensor | None, lengths: Sequence[int] | None = None
) -> tuple[Tensor, Tensor]:
    """The first half of a block: norm, attention and residual; not every block of timm has such halves.

    Args:
        block: with one attention that projects queries, keys and values together.
        tokens: (batch, count, width).
        bias: added to the attention's logits, (batch, 1, 1, count); None: nothing.
        lengths: tokens of each image, where a batch of one holds several one after the other.

    Returns:
        Tokens (batch, count, width), and the keys of all heads, (batch, heads, count, channels).
    """
    attention = block.attn
    normed = block.norm1(tokens)
    batch, count, _ = normed.shape
    projected = attention.qkv(normed).reshape(batch, count, 3, attention.num_heads, attention.head_dim)
    query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
    query, key = attention.q_norm(query), attention.k_norm(key)
    fused = partial(functional.scaled_dot_product_attention, dropout_p=attention.attn_drop.p if block.training else 0.0)
    mask = None if bias is None else bias.to(query.dtype)
    if lengths is None or len(lengths) == 1:
        mixed = fused(query, key, value, mask).transpose(1, 2)
    else:
        mixed = _image_by_image(fused, lengths, query, key, value, mask)
    mixed = mixed.reshape(batch, count, -1)
    if hasattr(attention, "norm"):  # older releases of timm know neither norm nor gate here
        mixed = attention.norm(mixed)
    if getattr(attention, "gate", None) is not None:
        mixed = mixed * attention.gate(normed).sigmoid()
    mixed = attention.proj_drop(attention.proj(mixed))
    return tokens + block.drop_path1(block.ls1(mixed)), key


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
    return tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))


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
