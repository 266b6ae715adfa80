"""The pieces of a plain timm vision transformer, so that strategies can act between its blocks.

A timm block in two halves, so that strategies can merge tokens between them and weigh them by their sizes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from timm.layers import build_sincos2d_pos_embed, resample_abs_pos_embed
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from paumer.strategies.tokens import Count

Grid = tuple[int, int]
Resampling = Literal["bicubic", "bilinear"]


class Encoder(nn.Module):
    """Embeds images, offers the blocks one by one, and norms the result.

    Attributes:
        blocks: the encoder layers; block k of the vocabulary is `blocks[k - 1]`.
        prefix: class, distillation and register tokens, in this order before the patches, and never
            paused.
        width: channels of a token.
        patch_size: side of a patch in pixels.
        resampling: how position embeddings get to another grid than their own: as timm does (bicubic, antialiased),
            or as published Segmenters do (bilinear, not antialiased, and only where the number of patches differs).
    """

    def __init__(self, vit: VisionTransformer, resampling: Resampling = "bicubic") -> None:
        super().__init__()
        self.vit = vit
        self.resampling: Resampling = resampling
        self.prefix: int = vit.num_prefix_tokens
        self.width: int = vit.embed_dim
        self.patch_size: int = vit.patch_embed.patch_size[0]

    @property
    def blocks(self) -> nn.Sequential:
        """The encoder layers."""
        return self.vit.blocks

    @property
    def splits_blocks(self) -> bool:
        """Whether blocks can run in two halves: an ordinary attention, then a feed-forward network."""
        return all(type(block) is Block and type(block.attn) is Attention for block in self.blocks)

    @property
    def depth(self) -> int:
        """How many blocks there are."""
        return len(self.vit.blocks)

    def grid(self, height: int, width: int) -> Grid:
        """Patches along the height and the width of an image whose sides are multiples of the patch size."""
        return int(height) // self.patch_size, int(width) // self.patch_size  # tracing hands over tensors

    def embed(self, images: Tensor) -> Tensor:
        """Turn images into tokens.

        Args:
            images: (batch, 3, height, width), sides multiples of the patch size.

        Returns:
            (batch, prefix + patches, width), patches row by row.
        """
        patches = self.vit.patch_embed(images).flatten(1, 2)
        dist_token = getattr(self.vit, "dist_token", None)  # of timm's VisionTransformerDistilled alone
        prefix = [
            token.expand(images.shape[0], -1, -1)
            for token in (self.vit.cls_token, dist_token, self.vit.reg_token)
            if token is not None
        ]
        positions = self._positions(self.grid(*images.shape[-2:]))
        if positions is None:
            tokens = torch.cat([*prefix, patches], dim=1)
        elif self.vit.no_embed_class:
            tokens = torch.cat([*prefix, patches + positions], dim=1)
        else:
            tokens = torch.cat([*prefix, patches], dim=1) + positions
        return self.vit.norm_pre(self.vit.pos_drop(tokens))

    def embed_squares(self, pixels: Tensor, grid: Grid) -> Tensor:
        """One token for every 2 x 2 patches: embedded at half the size, with the mean of their position embeddings.

        Args:
            pixels: the squares at half the size, (batch, 3, height, width).
            grid: patches of the whole image along height and width.

        Returns:
            (batch, squares, width), row by row.
        """
        squares, positions = self.vit.patch_embed(pixels).flatten(1, 2), self._positions(grid)
        if positions is not None:
            apart = positions[:, -grid[0] * grid[1] :].transpose(1, 2).unflatten(2, grid)
            squares = squares + functional.avg_pool2d(apart, 2).flatten(2).transpose(1, 2)
        return self.vit.norm_pre(self.vit.pos_drop(squares))

    def norm(self, tokens: Tensor) -> Tensor:
        """The network's final norm, which average-pooling networks keep in `fc_norm`."""
        return self.vit.fc_norm(self.vit.norm(tokens))

    def embed_macs(self, patches: int) -> float:
        """Multiply-accumulates of embedding one image of `patches` patches."""
        return patches * self.vit.patch_embed.proj.weight.numel()

    def start_positions_as_sincos(self) -> None:
        """Set the position embeddings of the patches to 2-D sines and cosines (they stay trainable)."""
        height, width = self.vit.patch_embed.grid_size
        waves = build_sincos2d_pos_embed([height, width], dim=self.width)
        with torch.no_grad():
            self.vit.pos_embed[:, -height * width :] = waves

    def _positions(self, grid: Grid) -> Tensor | None:
        """Position embeddings for `grid`, resampled where the network was built for another one."""
        own = tuple(self.vit.patch_embed.grid_size)
        as_published = self.resampling == "bilinear"
        if self.vit.pos_embed is None or own == grid or (as_published and own[0] * own[1] == grid[0] * grid[1]):
            return self.vit.pos_embed
        return resample_abs_pos_embed(
            self.vit.pos_embed,
            new_size=list(grid),
            old_size=list(own),
            num_prefix_tokens=0 if self.vit.no_embed_class else self.prefix,
            interpolation=self.resampling,
            antialias=not as_published,
        )


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
