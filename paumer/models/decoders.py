"""The decoders of Segmenter (Strudel et al., "Segmenter: Transformer for Semantic Segmentation", ICCV 2021)."""

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from paumer.config import Decoder
from paumer.models.encoder import Grid
from paumer.models.heads import LinearHead, cells_to_map

HEAD_WIDTH = 64  # channels of one attention head in every Segmenter


class LinearDecoder(nn.Module):
    """One linear layer per token; with sub_patch above 1 it predicts a finer map than one cell a patch."""

    def __init__(self, width: int, classes: int, sub_patch: int) -> None:
        super().__init__()
        self.head = LinearHead(width, classes, sub_patch)

    def forward(self, patches: Tensor, grid: Grid) -> Tensor:
        """From patches (batch, patches, width) to logits (batch, classes, height, width) of the cells."""
        return cells_to_map(self.head(patches), grid)


class MaskTransformer(nn.Module):
    """Class tokens and patches attend to each other; a patch's logit is its cosine with the class token."""

    def __init__(self, width: int, classes: int, layers: int) -> None:
        super().__init__()
        self.classes = classes
        self.project = nn.Linear(width, width)
        self.class_tokens = nn.Parameter(torch.empty(1, classes, width))
        self.blocks = nn.ModuleList(
            Block(width, num_heads=max(1, width // HEAD_WIDTH), qkv_bias=True) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.project_patches = nn.Linear(width, width, bias=False)
        self.project_classes = nn.Linear(width, width, bias=False)
        self.mask_norm = nn.LayerNorm(classes)
        nn.init.trunc_normal_(self.class_tokens, std=0.02)
        for layer in (self.project_patches, self.project_classes):
            nn.init.normal_(layer.weight, std=width**-0.5)

    def forward(self, patches: Tensor, grid: Grid) -> Tensor:
        """From patches (batch, patches, width) to logits (batch, classes, height, width) of the grid."""
        tokens = torch.cat([self.project(patches), self.class_tokens.expand(len(patches), -1, -1)], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        patches, classes = tokens[:, : -self.classes], tokens[:, -self.classes :]
        patches = functional.normalize(self.project_patches(patches), dim=-1)
        classes = functional.normalize(self.project_classes(classes), dim=-1)
        masks = self.mask_norm(patches @ classes.transpose(1, 2))
        return masks.transpose(1, 2).unflatten(-1, grid)


def build_decoder(settings: Decoder, width: int, classes: int) -> nn.Module:
    """Build the configured decoder."""
    if settings.name == "mask_transformer":
        return MaskTransformer(width, classes, settings.layers)
    return LinearDecoder(width, classes, settings.sub_patch)
