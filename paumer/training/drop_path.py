"""Stochastic depth whose draws do not depend on how the images of a step are split."""

import torch
from timm.layers import DropPath
from torch import Tensor, nn


class _DropPath(nn.Module):
    """Drops a residual branch of the images for which that was drawn.

    Attributes:
        factors: 0 for those, for the others what keeps the mean, (batch,).
    """

    factors: Tensor

    def __init__(self, kept: float) -> None:
        super().__init__()
        self.kept = kept

    def forward(self, tokens: Tensor) -> Tensor:
        """From tokens (batch, count, width) to the same shape."""
        return tokens * self.factors.to(tokens.dtype).view(-1, 1, 1) if self.training else tokens


class DropPaths:
    """The dropped paths of a network in training, drawn for all images of a step at once."""

    def __init__(self, model: nn.Module) -> None:
        """Take the place of timm's layers."""
        self.layers: list[_DropPath] = []
        for parent in list(model.modules()):
            for name, child in parent.named_children():
                if isinstance(child, DropPath):
                    self.layers.append(_DropPath(1 - child.drop_prob))
                    setattr(parent, name, self.layers[-1])
        self.drawn: list[Tensor] = []

    def draw(self, images: int, seed: int, device: torch.device) -> None:
        """Draw for all images of a step, as timm does in a forward pass of all of them."""
        generator = torch.Generator(device).manual_seed(seed)
        empty = torch.empty(images, device=device)
        self.drawn = [torch.bernoulli(empty, layer.kept, generator=generator) / layer.kept for layer in self.layers]

    def show(self, part: slice) -> None:
        """The next forward pass is of this part of the images."""
        for layer, drawn in zip(self.layers, self.drawn, strict=True):
            layer.factors = drawn[part]
