"""Backbones: every family is created and filled, from files of every kind; every mistake is one line."""

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch.testing import assert_close

from paumer.config import Backbone
from paumer.errors import PaumerError
from paumer.models.backbones import create_vit, whole_patches
from paumer.models.build import build

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


# Architectures


@pytest.mark.parametrize("patch", [None, 8], ids=["own patches", "patches of 8"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_sees_images_of_odd_sizes(describe, family: str, patch: int | None) -> None:
    architecture, prefix = FAMILIES[family]
    settings = describe(architecture=architecture, size=(37, 53))
    options = TINY | ({"patch_size": patch} if patch else {})
    model = build(settings.model_copy(update={"backbone": settings.backbone.model_copy(update={"options": options})}))
    side = patch or (14 if "dinov2" in family else 16)
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


# Weights of the hub that no hub is needed to refuse; test_hub.py fetches some.


def test_without_published_weights_the_hub_is_refused(describe) -> None:
    text = error_of(describe(architecture="vit_large_patch14_224", weights="hub"))
    assert text == "backbones.net.weights: timm has no weights of vit_large_patch14_224; use none or a file"


def test_weights_outside_the_hub_are_named(describe) -> None:
    text = error_of(describe(architecture="vit_huge_patch14_gap_224.in1k_ijepa", weights="hub"))
    assert text.startswith("backbones.net.weights: the hub has no vit_huge_patch14_gap_224.in1k_ijepa; fetch https://")
    assert text.endswith(".pth.tar and set weights: to that file")


# Weights of local files


@pytest.mark.parametrize("family", FAMILIES)
def test_local_weights_load_as_timm_loads_its_own(describe, tmp_path: Path, family: str) -> None:
    """Resampled to other patches and images, from the network's native size, with a classifier in the file."""
    architecture, _ = FAMILIES[family]
    path = tmp_path / "vit.safetensors"
    save_file(make_vit(architecture, num_classes=1000).state_dict(), path)
    torch.manual_seed(8)
    expected = timm.create_model(
        architecture,
        pretrained=True,
        pretrained_cfg_overlay={"file": str(path), "custom_load": False},
        **TINY,
        num_classes=1000,
        patch_size=8,
        img_size=(48, 64),
        dynamic_img_size=True,
    )
    vit = create_vit(describe(architecture=architecture, options=TINY, size=(41, 64), weights=str(path)))
    check_equal(vit, expected)
    assert "state_dict" not in vit.pretrained_cfg


@pytest.mark.parametrize("family", FAMILIES)
def test_local_weights_load_unchanged_at_their_own_sizes(describe, tmp_path: Path, family: str) -> None:
    architecture, _ = FAMILIES[family]
    expected = save_timm(tmp_path / "vit.safetensors", architecture)
    path = str(tmp_path / "vit.safetensors")
    settings = describe(architecture=architecture, options={"patch_size": 16}, size=(64, 64), weights=path)
    check_equal(create_vit(settings), expected)


def test_local_weights_are_resampled_to_another_patch_and_image_size(describe, tmp_path: Path) -> None:
    vit = save_timm(tmp_path / "vit.safetensors")
    vit.set_input_size(img_size=(32, 64), patch_size=8)
    loaded = create_vit(describe(weights=str(tmp_path / "vit.safetensors"))).state_dict()
    assert loaded["pos_embed"].shape == (1, 1 + 4 * 8, 32)
    for name, value in vit.state_dict().items():
        assert_close(loaded[name], value, rtol=1e-4, atol=1e-5)


FORMATS = {
    "vit.safetensors": save_file,
    "vit.pth": torch.save,
    "vit.bin": torch.save,
    "checkpoint.pth": lambda weights, path: torch.save({"model": weights, "args": argparse.Namespace(lr=1)}, path),
    "parallel.pth": lambda weights, path: torch.save({f"module.{k}": v for k, v in weights.items()}, path),
}


@pytest.mark.parametrize("name", FORMATS)
def test_files_of_every_format_load(describe, tmp_path: Path, name: str) -> None:
    vit = make_vit("deit_tiny_distilled_patch16_224", img_size=64, num_classes=10)
    weights = vit.state_dict()
    assert {"head.weight", "head_dist.weight"} < set(weights)
    FORMATS[name](weights, tmp_path / name)
    settings = describe(
        architecture="deit_tiny_distilled_patch16_224",
        options={"patch_size": 16},
        size=(64, 64),
        weights=str(tmp_path / name),
    )
    check_equal(create_vit(settings), vit)


def test_nested_checkpoints_load(describe, tmp_path: Path) -> None:
    """As I-JEPA publishes its own, beside the hub."""
    architecture = "vit_huge_patch14_gap_224.in1k_ijepa"
    vit = make_vit(architecture, img_size=64, patch_size=16)
    encoder = {f"module.{name}": value for name, value in vit.state_dict().items()}
    torch.save({"encoder": encoder, "epoch": 3}, tmp_path / "vit.pth.tar")
    path = str(tmp_path / "vit.pth.tar")
    settings = describe(architecture=architecture, options={"patch_size": 16}, size=(64, 64), weights=path)
    check_equal(create_vit(settings), vit)


def test_files_run_no_code(describe, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "attacked"),)

    torch.save({"model": Attack()}, tmp_path / "vit.pth")
    assert "vit.pth" in error_of(describe(weights=str(tmp_path / "vit.pth")))
    assert not (tmp_path / "attacked").exists()


def test_without_pretraining_the_weights_file_is_not_read(describe) -> None:
    create_vit(describe(weights="missing.safetensors"), pretrained=False)


BROKEN = {"empty.safetensors": b"", "garbage.safetensors": b"garbage" * 50, "empty.pth": b"", "garbage.pth": b"ab" * 99}


@pytest.mark.parametrize("name", [*BROKEN, "garbage.npz"])
def test_unreadable_weights_are_named(describe, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BROKEN.get(name, b"PK garbage"))
    text = error_of(describe(weights=str(tmp_path / name)))
    assert text.startswith(f"backbones.net.weights: '{tmp_path / name}' does not load into vit_tiny_patch16_224 (")


@pytest.mark.parametrize(
    "content",
    [{}, {"head.weight": torch.zeros(3)}, {"epoch": 3}, {"patch_embed.proj.weight": 3}, torch.zeros(3), [3]],
    ids=["empty", "classifier", "numbers", "number", "tensor", "list"],
)
def test_files_without_named_weights_are_refused(describe, tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "vit.pth")
    assert error_of(describe(weights=str(tmp_path / "vit.pth"))).startswith("backbones.net.weights: ")


def test_missing_weights_are_named(describe) -> None:
    text = error_of(describe(weights="missing.safetensors"))
    assert text.startswith("backbones.net.weights: no file 'missing.safetensors'")


OTHERS = [
    {"embed_dim": 48},
    {"depth": 6},
    {"depth": 2},
    {"class_token": False, "global_pool": "avg"},
    {"reg_tokens": 2},
    {"init_values": 0.1},
    {"architecture": "deit_tiny_distilled_patch16_224"},
]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_weights_of_another_network_are_refused(describe, tmp_path: Path, other: dict[str, Any]) -> None:
    """Nothing is left at its random start, and nothing of the file is passed over in silence."""
    save_timm(tmp_path / "other.safetensors", **other)
    text = error_of(describe(weights=str(tmp_path / "other.safetensors")))
    assert text.startswith(f"backbones.net.weights: '{tmp_path / 'other.safetensors'}' does not load into")


# Archives of JAX


def save_npz(vit: VisionTransformer, path: Path) -> None:
    """Write a network in the layout in which Google publishes AugReg, with a classifier of images."""
    width, heads = vit.embed_dim, vit.blocks[0].attn.num_heads
    arrays = {"cls": vit.cls_token, "Transformer/posembed_input/pos_embedding": vit.pos_embed}
    arrays |= {
        "embedding/kernel": vit.patch_embed.proj.weight.permute(2, 3, 1, 0),
        "embedding/bias": vit.patch_embed.proj.bias,
    }
    arrays |= {"head/kernel": torch.zeros(width, 10), "head/bias": torch.zeros(10)}
    norms = {"Transformer/encoder_norm": vit.norm}
    for number, block in enumerate(vit.blocks):
        name = f"Transformer/encoderblock_{number}"
        norms |= {f"{name}/LayerNorm_0": block.norm1, f"{name}/LayerNorm_2": block.norm2}
        attention = f"{name}/MultiHeadDotProductAttention_1"
        parts = zip(
            ("query", "key", "value"), block.attn.qkv.weight.chunk(3), block.attn.qkv.bias.chunk(3), strict=True
        )
        for part, weight, bias in parts:
            arrays |= {f"{attention}/{part}/kernel": weight.T.unflatten(1, (heads, -1))}
            arrays |= {f"{attention}/{part}/bias": bias.unflatten(0, (heads, -1))}
        arrays |= {f"{attention}/out/kernel": block.attn.proj.weight.T.unflatten(0, (heads, -1))}
        arrays |= {f"{attention}/out/bias": block.attn.proj.bias}
        for layer, linear in enumerate((block.mlp.fc1, block.mlp.fc2)):
            arrays |= {f"{name}/MlpBlock_3/Dense_{layer}/kernel": linear.weight.T}
            arrays |= {f"{name}/MlpBlock_3/Dense_{layer}/bias": linear.bias}
    for name, norm in norms.items():
        arrays |= {f"{name}/scale": norm.weight, f"{name}/bias": norm.bias}
    np.savez(path, **{name: value.detach().numpy() for name, value in arrays.items()})


def test_jax_archives_load(describe, tmp_path: Path) -> None:
    vit = make_vit("vit_tiny_patch16_224", img_size=64)
    save_npz(vit, tmp_path / "vit.npz")
    settings = describe(options={"patch_size": 16}, size=(64, 64), weights=str(tmp_path / "vit.npz"))
    check_equal(create_vit(settings), vit)


def test_jax_archives_are_resampled_as_timm_does(describe, tmp_path: Path) -> None:
    save_npz(make_vit("vit_tiny_patch16_224"), tmp_path / "vit.npz")
    sizes = {"patch_size": 8, "img_size": (32, 64)}
    expected = timm.create_model(
        "vit_tiny_patch16_224", **TINY, **sizes, num_classes=0, checkpoint_path=tmp_path / "vit.npz"
    )
    check_equal(create_vit(describe(weights=str(tmp_path / "vit.npz"))), expected)


@pytest.mark.parametrize(
    "other",
    [
        {"depth": 2},
        {"depth": 6},
        {"embed_dim": 48},
        {"reg_tokens": 2},
        {"init_values": 0.1},
        {"architecture": "deit_tiny_distilled_patch16_224"},
    ],
    ids=str,
)
def test_jax_archives_of_another_network_are_refused(describe, tmp_path: Path, other: dict[str, Any]) -> None:
    save_npz(make_vit(), tmp_path / "vit.npz")
    options = {name: value for name, value in other.items() if name != "architecture"}
    architecture = other.get("architecture", "vit_tiny_patch16_224")
    text = error_of(describe(architecture=architecture, options=options, weights=str(tmp_path / "vit.npz")))
    assert text.startswith(f"backbones.net.weights: '{tmp_path / 'vit.npz'}' does not load into {architecture} (")
