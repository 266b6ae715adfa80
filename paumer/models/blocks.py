"""A timm block in two halves, so that strategies can merge tokens between them and weigh them by their sizes."""

from timm.models.vision_transformer import Block
from torch import Tensor
from torch.nn import functional


def attend(block: Block, tokens: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """The first half of a block: norm, attention and residual.

    Args:
        block: with one attention that projects queries, keys and values together.
        tokens: (batch, count, width).
        bias: added to the attention's logits, (batch, 1, 1, count); None: nothing.

    Returns:
        Tokens (batch, count, width), and the mean of the keys over the heads, (batch, count, channels).
    """
    attention = block.attn
    normed = block.norm1(tokens)
    batch, count, _ = normed.shape
    projected = attention.qkv(normed).reshape(batch, count, 3, attention.num_heads, attention.head_dim)
    query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)
    query, key = attention.q_norm(query), attention.k_norm(key)
    dropout = attention.attn_drop.p if block.training else 0.0
    mixed = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=None if bias is None else bias.to(query.dtype), dropout_p=dropout
    )
    mixed = attention.norm(mixed.transpose(1, 2).reshape(batch, count, -1))
    if attention.gate is not None:
        mixed = mixed * attention.gate(normed).sigmoid()
    mixed = attention.proj_drop(attention.proj(mixed))
    return tokens + block.drop_path1(block.ls1(mixed)), key.mean(dim=1)


def feed_forward(block: Block, tokens: Tensor) -> Tensor:
    """The second half of a block: norm, feed-forward network and residual."""
    return tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens))))


def block_macs(block: Block, attended: int, fed: int) -> float:
    """Multiply-accumulates of one image in a block.

    Args:
        block: the block.
        attended: tokens in its attention.
        fed: tokens in its feed-forward network.
    """
    attention = block.attn
    matrices = [value.numel() for value in attention.parameters() if value.ndim == 2]
    fed_matrices = [value.numel() for value in block.mlp.parameters() if value.ndim == 2]
    channels = attention.num_heads * attention.head_dim
    return attended * sum(matrices) + 2 * attended**2 * channels + fed * sum(fed_matrices)
