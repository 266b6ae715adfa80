"""Weights of backbones: files of every kind fill every family, wholly; every mistake is one line."""

import argparse
import bz2
import gzip
import io
import lzma
from itertools import product
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import timm
import torch
from hostile import refusal
from safetensors.torch import load_file, save_file
from small_vits import FAMILIES, TINY, check_equal, error_of, make_vit, save_timm
from tiers import first
from timm.models.vision_transformer import VisionTransformer

from paumer.data.images import read_rgb
from paumer.models.backbones import create_vit
from paumer.models.build import load_weights
from paumer.models.weights import read_tensors
from paumer.system.errors import PaumerError

HUB = {  # why weights of the hub are refused where no hub is needed for it
    "vit_large_patch14_224": "timm has no weights of vit_large_patch14_224; use none or a file",
    "vit_huge_patch14_gap_224.in1k_ijepa": "the hub has no vit_huge_patch14_gap_224.in1k_ijepa; fetch https://",
}


@pytest.mark.parametrize("architecture", HUB)
def test_weights_that_are_not_on_the_hub_are_refused(describe, architecture: str) -> None:
    text = error_of(describe(architecture=architecture, weights="hub"))
    assert text.startswith(f"backbones.net.weights: {HUB[architecture]}")


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


def under(prefix: str, weights: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in weights.items()}


OTHER = {"decode_head.conv_seg.weight": torch.zeros(5, 32), "backbone_norm.weight": torch.ones(3)}
# How others save a backbone; the network that is not meant has zeros.
PREFIXED = {
    "mmsegmentation": lambda own, other: {"state_dict": under("backbone.", own) | OTHER, "meta": {"epoch": 3}},
    "Lightning": lambda own, other: {"state_dict": under("model.", own), "epoch": 3, "global_step": 7},
    "Lightning with a backbone": lambda own, other: {"state_dict": under("model.backbone.", own) | OTHER},
    "parallel": lambda own, other: {"model": under("module.encoder.", own)},
    "plain encoder": lambda own, other: under("encoder.", own) | OTHER,
    "DINO, teacher": lambda own, other: {
        "student": under("module.backbone.", other) | {"module.head.mlp.0.weight": torch.zeros(3, 3)},
        "teacher": under("backbone.", own) | {"head.mlp.0.weight": torch.zeros(3, 3)},
        "args": argparse.Namespace(lr=1),
        "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.zeros(3)}}},
    },
    "DINO in one mapping": lambda own, other: under("student.backbone.", other) | under("teacher.backbone.", own),
    "MoCo": lambda own, other: {
        "state_dict": under("module.base_encoder.", own) | under("module.momentum_encoder.", other)
    },
    "I-JEPA": lambda own, other: {"encoder": under("module.", own), "target_encoder": under("module.", other)},
    "averaged": lambda own, other: {"net": under("", other), "ema": own},
    "Segmenter": lambda own, other: {"model": under("encoder.", own) | {"decoder.head.weight": torch.zeros(5, 32)}},
}


@pytest.mark.parametrize("layout", PREFIXED)
def test_backbones_are_found_in_checkpoints_of_others(describe, tmp_path: Path, layout: str, caplog) -> None:
    vit = make_vit(img_size=64, patch_size=16, num_classes=10)
    own = vit.state_dict()
    zeros = {name: torch.zeros_like(value) for name, value in own.items()}
    torch.save(PREFIXED[layout](own, zeros), tmp_path / "vit.pth")
    path = str(tmp_path / "vit.pth")
    check_equal(create_vit(describe(options={"patch_size": 16}, size=(64, 64), weights=path)), vit)
    [note] = caplog.messages
    assert note.startswith(f"{path}: took the weights under ")


def test_a_part_that_is_missing_is_missing_behind_a_prefix_too(describe, tmp_path: Path) -> None:
    weights = make_vit(img_size=64, patch_size=16).state_dict()
    weights.pop("blocks.2.mlp.fc1.weight")
    torch.save({"state_dict": under("backbone.", weights)}, tmp_path / "vit.pth")
    assert "blocks.2.mlp.fc1.weight" in error_of(describe(weights=str(tmp_path / "vit.pth")))


def test_several_networks_in_a_file_are_named(describe, tmp_path: Path) -> None:
    weights = make_vit(img_size=64, patch_size=16).state_dict()
    torch.save(under("left.", weights) | under("right.", weights), tmp_path / "vit.pth")
    text = error_of(describe(weights=str(tmp_path / "vit.pth")))
    assert "it holds several networks, left., right.: save the one that is meant alone" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vit.embeddings.patch_embeddings.projection.weight", "the names of Hugging Face's transformers, not those of"),
        ("backbone.patch_embed.projection.weight", "the names of mmsegmentation, not those of timm"),
        ("conv_proj.weight", "the names of torchvision, not those of timm"),
        ("layer1.0.conv1.weight", "it holds layer1.0.conv1.weight, a, b and 1 more"),
    ],
)
def test_weights_that_others_name_otherwise_are_called_so(describe, tmp_path: Path, name: str, words: str) -> None:
    torch.save({name: torch.zeros(3)} | {letter: torch.zeros(2) for letter in "abc"}, tmp_path / "vit.pth")
    assert words in error_of(describe(weights=str(tmp_path / "vit.pth")))


INSTEAD = {
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n": "is a pointer of Git LFS",
    b"<!DOCTYPE html><html>quota exceeded</html>": "is a web page",
    b"\n <html><body>Sign in</body></html>": "is a web page",
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>": "is a web page",
    b"\xef\xbb\xbf<!-- saved --><html>": "is a web page",
    b"\xef\xbb\xbfversion https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n": "is a pointer of Git LFS",
    b"Access denied:\n no permission\n": "is text",
    b'{"error": "' + 300 * b"no such repository, " + b'"}': "is text",
    "Zugriff verweigert: ä".encode() + 300 * "ö".encode(): "is text",
}


@pytest.mark.parametrize("content", first(INSTEAD, kind=INSTEAD.get))
def test_what_was_never_fetched_is_called_what_it_is(describe, tmp_path: Path, content: bytes) -> None:
    """In the place of weights of every kind, of a trained network, and of an image."""
    photo = ["photo.png"] * (INSTEAD[content] != "is text")
    for name in ("vit.pth", "vit.safetensors", "vit.npz", "model.safetensors", "checkpoint.pth", *photo):
        (tmp_path / name).write_bytes(content)
        path, words = tmp_path / name, f"{tmp_path / name}: {INSTEAD[content]} in the place of the file"
        if name.startswith("vit"):
            assert error_of(describe(weights=str(path))).startswith(f"backbones.net.weights: {words}")
        else:
            read = {"model": load_weights, "checkpoint": read_tensors, "photo": read_rgb}[path.stem]
            with pytest.raises(PaumerError) as caught:
                read(path)
            assert str(caught.value).startswith(words)


PACKED = {
    "is packed by gzip; unpack it": gzip.compress,
    "is packed by bzip2; unpack it": bz2.compress,
    "is packed by xz; unpack it": lzma.compress,
    "(it is cut off": lambda content: content[:2000],
    "(it is an archive of weights/vit.pth; unpack it": lambda content: zipped("weights/vit.pth", content),
}


def zipped(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("words", first(PACKED))
def test_weights_that_are_packed_or_cut_are_called_so(describe, tmp_path: Path, words: str) -> None:
    torch.save({"a": torch.zeros(999)}, tmp_path / "vit.pth")
    (tmp_path / "vit.pth").write_bytes(PACKED[words]((tmp_path / "vit.pth").read_bytes()))
    assert words in error_of(describe(weights=str(tmp_path / "vit.pth")))


def test_a_network_that_was_saved_whole_is_called_so(describe, tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "vit.pth")
    line = error_of(describe(weights=str(tmp_path / "vit.pth")))
    assert (
        "it asks to run " in line and ", as a network does that was saved whole; save its state_dict() instead" in line
    )
    assert "trust" not in line and "weights_only" not in line


@pytest.mark.parametrize(("value", "name"), first(product([torch.nan, torch.inf], ["vit.pth", "vit.safetensors"])))
def test_weights_that_are_no_numbers_are_named(describe, tmp_path: Path, value: float, name: str) -> None:
    """Of a backbone; and of a trained network, which is read by the same."""
    save_timm(tmp_path / "sound.safetensors")
    weights = load_file(tmp_path / "sound.safetensors")
    weights["blocks.0.mlp.fc1.weight"][1, 2] = value
    (torch.save if name.endswith("pth") else save_file)(weights, tmp_path / name)
    words = "blocks.0.mlp.fc1.weight holds values that are not finite"
    assert words in error_of(describe(weights=str(tmp_path / name)))
    if name.endswith("safetensors"):
        assert f"{words}, as of a training that diverged); train this run again" in refusal(
            load_weights, tmp_path / name
        )


def test_without_pretraining_the_weights_file_is_not_read(describe) -> None:
    create_vit(describe(weights="missing.safetensors"), pretrained=False)


NOISE = np.random.default_rng(0).bytes(350)
BROKEN = {"empty.safetensors": b"", "garbage.safetensors": NOISE, "empty.pth": b"", "garbage.pth": NOISE}


@pytest.mark.parametrize("name", [*BROKEN, "garbage.npz"])
def test_unreadable_weights_are_named(describe, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(BROKEN.get(name, b"PK" + NOISE))
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


def test_jax_archives_are_resampled_as_timm_does(describe, tmp_path: Path) -> None:
    save_npz(make_vit("vit_tiny_patch16_224"), tmp_path / "vit.npz")
    sizes = {"patch_size": 8, "img_size": (32, 64)}
    expected = timm.create_model(
        "vit_tiny_patch16_224", **TINY, **sizes, num_classes=0, checkpoint_path=tmp_path / "vit.npz"
    )
    check_equal(create_vit(describe(weights=str(tmp_path / "vit.npz"))), expected)


OTHERS = [
    {"embed_dim": 48},
    {"depth": 6},
    {"reg_tokens": 2},
    {"init_values": 0.1},
    {"architecture": "deit_tiny_distilled_patch16_224"},
]


@pytest.mark.parametrize("file", ["vit.safetensors", "vit.npz"])
def test_a_network_of_fewer_blocks_takes_the_first_ones(describe, tmp_path: Path, file: str, caplog) -> None:
    """`depth` asks for it; an architecture of fewer blocks than the file has does not."""
    vit, path = make_vit(img_size=(32, 64), patch_size=8), tmp_path / file
    (save_npz(vit, path) if path.suffix == ".npz" else save_file(vit.state_dict(), path))
    cut = create_vit(describe(options={"depth": 3}, weights=str(path)))
    vit.blocks = vit.blocks[:3]
    check_equal(cut, vit)
    assert any("took the first 3" in message for message in caplog.messages)
    undemanded = describe(weights=str(path)).backbone
    options = {name: value for name, value in undemanded.options.items() if name != "depth"}
    deeper = make_vit(img_size=(32, 64), patch_size=8, depth=13)
    (save_npz(deeper, path) if path.suffix == ".npz" else save_file(deeper.state_dict(), path))
    text = error_of(describe().model_copy(update={"backbone": undemanded.model_copy(update={"options": options})}))
    assert text.startswith(f"backbones.net.weights: '{path}' does not load into vit_tiny_patch16_224 (")


@pytest.mark.parametrize("file", ["vit.safetensors", "vit.npz"])
@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_weights_of_another_network_are_refused(describe, tmp_path: Path, other: dict[str, Any], file: str) -> None:
    """Nothing is left at its random start, and nothing of the file is passed over in silence."""
    vit, path = make_vit(), tmp_path / file
    (save_npz(vit, path) if path.suffix == ".npz" else save_file(vit.state_dict(), path))
    options = {name: value for name, value in other.items() if name != "architecture"}
    architecture = other.get("architecture", "vit_tiny_patch16_224")
    text = error_of(describe(architecture=architecture, options=options, weights=str(path)))
    assert text.startswith(f"backbones.net.weights: '{path}' does not load into {architecture} (")
