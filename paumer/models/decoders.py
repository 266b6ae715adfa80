"""The decoders of Segmenter (Strudel et al., "Segmenter: Transformer for Semantic Segmentation", ICCV 2021).

Every decoder maps normed patches (batch, patches, width) to class logits (batch, patches, cells, classes).
"""

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from paumer.config import Decoder
from paumer.models.blocks import block_macs
from paumer.models.heads import LinearHead
from paumer.strategies.heads import Count

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
        """Multiply-accumulates of one image of so many patches; of each image, where there are several counts."""
        width, tokens = self.project.in_features, patches + self.classes
        blocks = sum(block_macs(block, tokens, tokens) for block in self.blocks)
        return blocks + (patches + tokens) * width**2 + patches * self.classes * width


def build_decoder(settings: Decoder, width: int, classes: int) -> nn.Module:
    """Build the configured decoder; the linear one is one linear layer per token."""
    if settings.name == "mask_transformer":
        return MaskTransformer(width, classes, settings.layers, settings.dropout)
    return LinearHead(width, classes, settings.sub_patch)
