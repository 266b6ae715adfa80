"""Linear prediction of classes from tokens: the linear decoder, and the auxiliary heads with their adapters.

The decoders of Segmenter (Strudel et al., "Segmenter: Transformer for Semantic Segmentation", ICCV 2021).

Every decoder maps normed patches (batch, patches, width) to class logits (batch, patches, cells, classes).
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from paumer.config.network import Decoder
from paumer.models.blocks import block_macs
from paumer.models.encoder import Encoder
from paumer.strategies.tokens import Count, TokenPositions


@dataclass(frozen=True)
class AuxiliaryOutput:
    """Auxiliary logits in training, with the label counts of the same cells.

    Attributes:
        logits: (batch, running, cells, classes).
        truth: pixels of each class in the same cells.
        share: of the image's patches that reached the head.
    """

    logits: Tensor
    truth: Tensor
    share: float = 1.0


class LinearHead(nn.Module):
    """Predicts class logits for sub_patch x sub_patch cells of every patch."""

    def __init__(self, width: int, classes: int, sub_patch: int = 1, norm: bool = False) -> None:
        super().__init__()
        self.classes, self.sub_patch = classes, sub_patch
        self.norm: nn.Module = nn.LayerNorm(width) if norm else nn.Identity()
        self.linear = nn.Linear(width, sub_patch**2 * classes)
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, patches: Tensor) -> Tensor:
        """From patches (batch, patches, width) to logits (batch, patches, cells, classes)."""
        return self.linear(self.norm(patches)).unflatten(-1, (self.sub_patch**2, self.classes))

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates per image for a number of patches, one or (batch,) of them."""
        return patches * self.linear.weight.numel()


class Adapter(nn.Module):
    """Carries intermediate patches towards where the last block would have: residual layers, which start as identity.

    Each layer is a depthwise convolution, by which every patch sees its neighbours, and a network of one hidden layer.
    Patches that no longer run count as lying beyond the border.
    """

    def __init__(self, width: int, hidden: int, context: int, layers: int = 1) -> None:
        super().__init__()
        self.layers = nn.ModuleList(AdapterLayer(width, hidden, context) for _ in range(layers))

    def forward(self, patches: Tensor, positions: TokenPositions) -> Tensor:
        """From patches (batch, patches, width) to patches that the decoder can read."""
        for layer in self.layers:
            patches = layer(patches, positions)
        return patches

    def macs(self, patches: Count, everywhere: int) -> Count:
        """Multiply-accumulates per image for a number of patches, on a grid of `everywhere` patches."""
        return sum(cast(AdapterLayer, layer).macs(patches, everywhere) for layer in self.layers)


class AdapterLayer(nn.Module):
    """One layer of an adapter."""

    def __init__(self, width: int, hidden: int, context: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.context = nn.Conv2d(width, width, context, padding=context // 2, groups=width) if context else None
        last = nn.Linear(hidden, width)
        self.network = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, patches: Tensor, positions: TokenPositions) -> Tensor:
        """From patches (batch, patches, width) to such that are nearer to the decoder's."""
        normed = self.norm(patches)
        if self.context is not None:
            # A processor takes three times as long for the gradient of this convolution in bfloat16 as in float32.
            with torch.autocast("cpu", enabled=False):
                seen = positions.to_map(normed.to(self.context.weight.dtype))
                normed = normed + positions.from_map(self.context(seen))
        return patches + self.network(normed)

    def macs(self, patches: Count, everywhere: int) -> Count:
        """Multiply-accumulates per image for a number of patches, on a grid of `everywhere` patches."""
        linear = sum(value.numel() for value in self.network.parameters() if value.ndim == 2)
        return patches * linear + (0 if self.context is None else everywhere * self.context.weight.numel())


class AuxiliaryHead(LinearHead):
    """Predicts classes from intermediate patches, once its adapter has carried them."""

    def __init__(self, width: int, classes: int, sub_patch: int, adapter: Adapter | None = None) -> None:
        super().__init__(width, classes, sub_patch, norm=True)
        self.adapter = adapter


class DecoderHead(nn.Module):
    """Predicts by the network's final norm and decoder, from patches as they are or as an adapter carries them.

    Encoder and decoder are no submodules, so that they are trained, moved and stored once. The adapter learns what the
    decoder reads; the decoder learns nothing from it.
    """

    def __init__(self, encoder: Encoder, decoder: Any, adapter: Adapter | None = None) -> None:
        super().__init__()
        self.network = (encoder, decoder)
        self.classes, self.sub_patch = decoder.classes, decoder.sub_patch
        self.adapter = adapter

    def forward(self, patches: Tensor) -> Tensor:
        """From patches (batch, patches, width) to logits (batch, patches, cells, classes)."""
        encoder, decoder = self.network
        with nullcontext() if self.adapter is None else frozen(encoder, decoder):
            return decoder(encoder.norm(patches))

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates per image for a number of patches, one or (batch,) of them."""
        return self.network[1].macs(patches)


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Disable the gradients of these modules' parameters meanwhile."""
    trainable = [value for module in modules for value in module.parameters() if value.requires_grad]
    trainable = trainable if torch.is_grad_enabled() else []
    for value in trainable:
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in trainable:
            value.requires_grad_(True)


def cells_to_map(cells: Tensor, grid: tuple[int, int]) -> Tensor:
    """Arrange values per cell as a map.

    Args:
        cells: (batch, patches, sub_patch ** 2, channels), patches and cells row by row.
        grid: patches along height and width.

    Returns:
        (batch, channels, grid height x sub_patch, grid width x sub_patch).
    """
    batch, _, count, channels = cells.shape
    side = int(count**0.5)
    arranged = cells.view(batch, *grid, side, side, channels).permute(0, 5, 1, 3, 2, 4)
    return arranged.reshape(batch, channels, grid[0] * side, grid[1] * side)


HEAD_WIDTH = 64  # channels of one attention head in every Segmenter


class MaskTransformer(nn.Module):
    """Class tokens and patches attend to each other; a patch's logit is its cosine with the class token.

    In training `dropout` of the attention weights, of what attention gives, and of both layers of the feed-forward
    network is dropped, as in Segmenter.
    """

    def __init__(self, width: int, classes: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.classes = classes
        self.project = nn.Linear(width, width)
        self.class_tokens = nn.Parameter(torch.empty(1, classes, width))
        heads, dropped = max(1, width // HEAD_WIDTH), {"proj_drop": dropout, "attn_drop": dropout}
        self.blocks = nn.ModuleList(
            Block(width, heads, qkv_bias=True, norm_layer=nn.LayerNorm, **dropped) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.project_patches = nn.Linear(width, width, bias=False)
        self.project_classes = nn.Linear(width, width, bias=False)
        self.mask_norm = nn.LayerNorm(classes)
        nn.init.trunc_normal_(self.class_tokens, std=0.02)
        for layer in (self.project_patches, self.project_classes):
            nn.init.normal_(layer.weight, std=width**-0.5)

    def forward(self, patches: Tensor) -> Tensor:
        """From patches (batch, patches, width) to logits (batch, patches, 1, classes)."""
        tokens = torch.cat([self.project(patches), self.class_tokens.expand(patches.shape[0], -1, -1)], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        patches, classes = tokens[:, : -self.classes], tokens[:, -self.classes :]
        patches = functional.normalize(self.project_patches(patches), dim=-1)
        classes = functional.normalize(self.project_classes(classes), dim=-1)
        return self.mask_norm(patches @ classes.transpose(1, 2)).unsqueeze(2)

    def macs(self, patches: Count) -> Count:
        """Multiply-accumulates per image for a number of patches, one or (batch,) of them."""
        width, tokens = self.project.in_features, patches + self.classes
        blocks = sum(block_macs(block, tokens, tokens) for block in self.blocks)
        return blocks + (patches + tokens) * width**2 + patches * self.classes * width


def build_decoder(settings: Decoder, width: int, classes: int) -> nn.Module:
    """Build the configured decoder; the linear one is one linear layer per token."""
    if settings.name == "mask_transformer":
        return MaskTransformer(width, classes, settings.layers, settings.dropout)
    return LinearHead(width, classes, settings.sub_patch)
