"""Backbones of every family are created for any patch and image; every mistake is one line."""

from typing import Any

import pytest
import timm
import torch
from small_vits import FAMILIES, TINY, error_of

from paumer.config.network import Backbone
from paumer.models.backbones import create_vit, whole_patches
from paumer.models.build import build


@pytest.mark.parametrize("patch", [None, 8], ids=["own patches", "patches of 8"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_sees_images_of_odd_sizes(describe, family: str, patch: int | None) -> None:
    architecture, prefix = FAMILIES[family]
    settings = describe(architecture=architecture, size=(37, 53))
    options = TINY | ({"patch_size": patch} if patch else {})
    model = build(settings.model_copy(update={"backbone": settings.backbone.model_copy(update={"options": options})}))
    side = patch or (14 if family.startswith(("dinov2", "eva02")) else 16)
    assert (model.encoder.patch_size, model.encoder.prefix) == (side, prefix)
    assert model.encoder.vit.patch_embed.grid_size == (-(-37 // side), -(-53 // side))
    for size in ((37, 53), (70, 41)):
        logits = model(torch.randn(2, 3, *size))
        assert logits.shape == (2, 5, *size)
        assert logits.isfinite().all()


# Parameters as published, in millions, with the classifier that ours lack; and the width.
MILLIONS = {"tiny": (5.8, 192), "small": (22.2, 384), "base": (86.9, 768), "large": (304.7, 1024)}


@pytest.mark.parametrize("size", MILLIONS)
def test_parameters_are_as_many_as_published(describe, size: str) -> None:
    settings = describe(architecture=f"vit_{size}_patch16_384.augreg_in21k_ft_in1k", size=(384, 384))
    backbone = settings.backbone.model_copy(update={"options": {}})
    with torch.device("meta"):
        vit = create_vit(settings.model_copy(update={"backbone": backbone}))
    published, width = MILLIONS[size]
    classifier = 1000 * (width + 1)
    ours = sum(value.numel() for value in vit.parameters())
    assert (ours + classifier) / 1e6 == pytest.approx(published, abs=0.051)


SUITABLE = "vit_small_patch16_384.augreg_in21k_ft_in1k"


@pytest.mark.parametrize(
    ("architecture", "options", "expected"),
    [
        (SUITABLE, {}, (48, 64)),
        ("vit_small_patch16_384", {}, (48, 64)),
        ("vit_small_patch14_reg4_dinov2.lvd142m", {}, (42, 56)),
        ("vit_base_patch32_clip_224.laion2b_ft_in12k_in1k", {}, (64, 64)),
        (SUITABLE, {"patch_size": 8}, (40, 56)),
    ],
)
def test_sizes_are_padded_to_whole_patches(architecture: str, options: dict[str, Any], expected: Any) -> None:
    assert whole_patches(Backbone(name="net", architecture=architecture, options=options), (40, 50)) == expected


UNSUITABLE = {
    "unknown": "vit_tiny_patch99",
    "convolutions": "resnet18",
    "windows": "swin_tiny_patch4_window7_224",
    "other blocks": "beit_base_patch16_224",
    "convolutional stem": "vit_tiny_r_s16_p8_224",
    "rotations that are learned": "vit_small_patch16_rope_mixed_224",
    "repository": "timm/vit_small_patch16_384",
}


@pytest.mark.parametrize("architecture", UNSUITABLE.values(), ids=UNSUITABLE)
def test_what_is_no_plain_vision_transformer_is_refused(describe, architecture: str) -> None:
    settings = describe(architecture=architecture)
    backbone = settings.backbone.model_copy(update={"options": {}})
    text = error_of(settings.model_copy(update={"backbone": backbone}))
    assert text.startswith("backbones.net.architecture: ")
    assert architecture in text


def test_near_names_are_offered(describe) -> None:
    assert "vit_small_patch16_384" in error_of(describe(architecture="vit_smal_patch16_384")).split("use one like")[1]


@pytest.mark.parametrize("tag", ["augreg_in22k", "lvd142m", ""])
def test_unknown_tags_are_refused_with_the_known_ones(describe, tag: str) -> None:
    text = error_of(describe(architecture=f"vit_small_patch16_384.{tag}"))
    assert text.startswith(f"backbones.net.architecture: timm has no weights 'vit_small_patch16_384.{tag}'; use one of")
    for known in timm.list_pretrained("vit_small_patch16_384"):
        assert known in text


@pytest.mark.parametrize(
    "options",
    [
        {"nonsense": 1},
        {"num_heads": 5},
        {"patch_size": "x"},
        {"patch_size": 0},
        {"embed_dim": -32},
        {"global_pool": "avg", "architecture": "deit_small_distilled_patch16_224"},
    ],
    ids=str,
)
def test_bad_options_are_named(describe, options: dict[str, Any]) -> None:
    options = dict(options)
    architecture = options.pop("architecture", "vit_tiny_patch16_224")
    assert error_of(describe(architecture=architecture, options=options)).startswith("backbones.net.options: ")
