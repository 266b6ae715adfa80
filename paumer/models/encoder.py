"""The pieces of a plain timm vision transformer, so that strategies can act between its blocks."""

from collections.abc import Hashable
from typing import Any, Literal

import torch
from timm.layers import build_sincos2d_pos_embed, resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from paumer.models.blocks import has_halves

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
        kept_positions: position embeddings by grid, kept from their first use; None: they are resampled in every pass.
        resampling: how position embeddings get to another grid than their own: as timm does (bicubic, antialiased),
            or as published Segmenters do (bilinear, not antialiased, and only where the number of patches differs).
    """

    def __init__(self, vit: VisionTransformer, resampling: Resampling = "bicubic") -> None:
        super().__init__()
        self.vit = vit
        self.resampling: Resampling = resampling
        self.kept_positions: dict[Grid, Tensor] | None = None
        self.prefix: int = vit.num_prefix_tokens
        self.width: int = vit.embed_dim
        self.patch_size: int = vit.patch_embed.patch_size[0]
        self._last_rotation: tuple[Hashable, Tensor] | None = None

    @property
    def blocks(self) -> nn.Sequential:
        """The encoder layers."""
        return self.vit.blocks

    @property
    def splits_blocks(self) -> bool:
        """Whether blocks can run in two halves: an ordinary attention, then a feed-forward network."""
        return all(map(has_halves, self.blocks))

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
        if self.kept_positions is not None and grid in self.kept_positions:
            return self.kept_positions[grid]
        resampled = resample_abs_pos_embed(
            self.vit.pos_embed,
            new_size=list(grid),
            old_size=list(own),
            num_prefix_tokens=0 if self.vit.no_embed_class else self.prefix,
            interpolation=self.resampling,
            antialias=not as_published,
        )
        if self.kept_positions is not None:
            self.kept_positions[grid] = resampled
        return resampled

    def rotation(self, grid: Grid) -> Tensor | None:
        """Sines and cosines by which attention turns queries and keys, (1, prefix + patches, 2 x channels).

        The prefix stays as it is: sine 0, cosine 1. None where the network turns nothing. Those of the last grid are
        kept, but for training, which may draw them anew.
        """
        rope = getattr(self.vit, "rope", None)
        if rope is None:
            return None
        if rope.training or torch.compiler.is_compiling():
            return self._turned(rope, grid)
        like = next(rope.buffers())
        asked = (grid, like.device, like.dtype)
        if self._last_rotation is None or self._last_rotation[0] != asked:
            with torch.inference_mode(False), torch.no_grad():  # whoever comes next may want gradients
                self._last_rotation = asked, self._turned(rope, grid)
        return self._last_rotation[1]

    def _turned(self, rope: Any, grid: Grid) -> Tensor:
        """The same, by an embedding of timm's."""
        patches = rope.get_embed(list(grid))
        sine, cosine = (patches.new_full((self.prefix, patches.shape[1] // 2), value) for value in (0, 1))
        return torch.cat([torch.cat([sine, cosine], dim=1), patches])[None]
