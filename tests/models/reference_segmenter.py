"""Segmenter once more, spelt out in plain tensor algebra, with the parameter names of published checkpoints.

It shares no code with the package: it is what a loaded network is compared with.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head self-attention with its softmax written out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        channels = tokens.shape[-1] // self.heads
        mixed = []
        for head in range(self.heads):
            query, key, value = (
                part[..., head * channels : (head + 1) * channels] for part in self.qkv(tokens).chunk(3, dim=-1)
            )
            scores = torch.einsum("bqc,bkc->bqk", query, key) / math.sqrt(channels)
            weights = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)
            mixed.append(weights @ value)
        return self.proj(torch.cat(mixed, dim=-1))


class FeedForward(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.fc1(tokens)
        return self.fc2(hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2)


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-5)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-5)
        self.mlp = FeedForward(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class ReferenceEncoder(nn.Module):
    """A vision transformer that still has its classification heads."""

    def __init__(
        self, grid: tuple[int, int], patch: int, width: int, layers: int, heads: int, distilled: bool, pretrained: int
    ) -> None:
        super().__init__()
        self.grid, self.patch, self.prefix = grid, patch, 2 if distilled else 1
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        if distilled:
            self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
            self.head_dist = nn.Linear(width, pretrained)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.prefix + grid[0] * grid[1], width))
        self.blocks = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.head = nn.Linear(width, pretrained)

    def forward(self, images: Tensor) -> Tensor:
        """From padded images to normed patches, (batch, patches, width)."""
        features = self.patch_embed.proj(images)
        tokens = [self.cls_token.expand(len(images), -1, -1)]
        if self.prefix == 2:
            tokens.append(self.dist_token.expand(len(images), -1, -1))
        tokens.append(features.flatten(2).transpose(1, 2))
        x = torch.cat(tokens, dim=1) + self.positions(features.shape[-2:])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, self.prefix :]

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings, resampled where the number of patches is not that of the native grid."""
        if grid[0] * grid[1] == self.grid[0] * self.grid[1]:
            return self.pos_embed
        picture = self.pos_embed[0, self.prefix :].T.reshape(1, -1, *self.grid)
        picture = functional.interpolate(picture, size=tuple(grid), mode="bilinear", align_corners=False)
        return torch.cat([self.pos_embed[:, : self.prefix], picture.flatten(2).transpose(1, 2)], dim=1)


class ReferenceLinear(nn.Module):
    """The linear decoder."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, classes)

    def forward(self, patches: Tensor) -> Tensor:
        return self.head(patches)


class ReferenceMask(nn.Module):
    """The mask transformer."""

    def __init__(self, width: int, classes: int, layers: int) -> None:
        super().__init__()
        self.cls_emb = nn.Parameter(torch.zeros(1, classes, width))
        self.proj_dec = nn.Linear(width, width)
        self.proj_patch = nn.Parameter(torch.zeros(width, width))
        self.proj_classes = nn.Parameter(torch.zeros(width, width))
        self.blocks = nn.ModuleList(Layer(width, max(1, width // 64)) for _ in range(layers))
        self.decoder_norm = nn.LayerNorm(width, eps=1e-5)
        self.mask_norm = nn.LayerNorm(classes, eps=1e-5)

    def forward(self, patches: Tensor) -> Tensor:
        count = patches.shape[1]
        x = torch.cat([self.proj_dec(patches), self.cls_emb.expand(len(patches), -1, -1)], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.decoder_norm(x)
        seen, classes = x[:, :count] @ self.proj_patch, x[:, count:] @ self.proj_classes
        lengths = seen.norm(dim=-1)[:, :, None] * classes.norm(dim=-1)[:, None, :]
        return self.mask_norm(torch.einsum("bnc,bkc->bnk", seen, classes) / lengths)


class ReferenceSegmenter(nn.Module):
    """The whole network; its `state_dict` is the entry `model` of a published checkpoint."""

    def __init__(
        self,
        decoder: str = "linear",
        grid: tuple[int, int] = (4, 4),
        patch: int = 8,
        width: int = 32,
        layers: int = 3,
        heads: int = 2,
        classes: int = 5,
        distilled: bool = False,
        decoder_layers: int = 2,
        pretrained: int = 10,
    ) -> None:
        super().__init__()
        self.encoder = ReferenceEncoder(grid, patch, width, layers, heads, distilled, pretrained)
        self.decoder: nn.Module
        if decoder == "linear":
            self.decoder = ReferenceLinear(width, classes)
        else:
            self.decoder = ReferenceMask(width, classes, decoder_layers)

    def forward(self, images: Tensor) -> Tensor:
        """From images to logits of their size."""
        patch, (height, width) = self.encoder.patch, images.shape[-2:]
        rows, columns = math.ceil(height / patch), math.ceil(width / patch)
        padded = images.new_zeros(len(images), 3, rows * patch, columns * patch)
        padded[..., :height, :width] = images
        scores = self.decoder(self.encoder(padded))
        scores = scores.transpose(1, 2).reshape(len(images), -1, rows, columns)
        scores = functional.interpolate(scores, size=padded.shape[-2:], mode="bilinear", align_corners=False)
        return scores[..., :height, :width]


def reference_windows(model: nn.Module, images: Tensor, window: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    """Logits of `images`, at least as large as the window, merged from windows by counting."""

    def starts(length: int, side: int, step: int) -> list[int]:
        found = [0]
        while found[-1] + side < length:
            found.append(min(found[-1] + step, length - side))
        return found

    total: Tensor | float = 0.0
    count = images.new_zeros(images.shape[-2:])
    for top in starts(images.shape[-2], window[0], stride[0]):
        for left in starts(images.shape[-1], window[1], stride[1]):
            logits = model(images[..., top : top + window[0], left : left + window[1]])
            right, bottom = images.shape[-1] - left - window[1], images.shape[-2] - top - window[0]
            total = total + functional.pad(logits, (left, right, top, bottom))
            count[top : top + window[0], left : left + window[1]] += 1
    return total / count
