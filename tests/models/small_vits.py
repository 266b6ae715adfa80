"""Small networks of every supported family, as others would make them, and their weights files."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer

from paumer.models.backbones import create_vit
from paumer.system.errors import PaumerError

TINY = {"embed_dim": 32, "depth": 4, "num_heads": 2}

# Family to architecture and number of prefix tokens.
FAMILIES = {
    "augreg tiny": ("vit_tiny_patch16_384.augreg_in21k_ft_in1k", 1),
    "augreg small": ("vit_small_patch16_384.augreg_in21k_ft_in1k", 1),
    "augreg base": ("vit_base_patch16_384.augreg_in21k_ft_in1k", 1),
    "augreg large": ("vit_large_patch16_384.augreg_in21k_ft_in1k", 1),
    "deit": ("deit_small_patch16_224.fb_in1k", 1),
    "deit distilled": ("deit_small_distilled_patch16_224.fb_in1k", 2),
    "deit3": ("deit3_small_patch16_224.fb_in22k_ft_in1k", 1),
    "dinov2": ("vit_small_patch14_dinov2.lvd142m", 1),
    "dinov2 registers": ("vit_small_patch14_reg4_dinov2.lvd142m", 5),
    "flexivit": ("flexivit_small.1200ep_in1k", 1),
    "dinov3": ("vit_small_patch16_dinov3.lvd1689m", 5),
    "eva02": ("eva02_small_patch14_336.mim_in22k_ft_in1k", 1),
}


def stir(vit: VisionTransformer) -> VisionTransformer:
    """Move every weight away from its start, so that none equals that of another network by chance."""
    with torch.no_grad():
        for value in vit.parameters():
            value += 0.2 * torch.randn_like(value)
    return vit


def make_vit(architecture: str = "vit_tiny_patch16_224", **options: Any) -> VisionTransformer:
    """A small network as others would make and train it."""
    torch.manual_seed(3)
    return stir(timm.create_model(architecture, **{"num_classes": 0, **TINY, **options}))


def save_timm(path: Path, architecture: str = "vit_tiny_patch16_224", **options: Any) -> VisionTransformer:
    """Save a small network for images of 64 x 64 as its own weights file."""
    vit = make_vit(architecture, **{"img_size": 64, "patch_size": 16, **options})
    save_file(vit.state_dict(), path)
    return vit


def check_equal(vit: VisionTransformer, expected: VisionTransformer) -> None:
    """The weights are the same, but for a classifier of images, which ours never has."""
    weights = vit.state_dict()
    assert not any(name.startswith("head") for name in weights)
    assert {name for name in expected.state_dict() if not name.startswith("head")} == set(weights)
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in weights.items())


def error_of(settings: Any) -> str:
    with pytest.raises(PaumerError) as caught:
        create_vit(settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)
