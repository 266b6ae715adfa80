"""Published Segmenters: the same logits as the original network, and mistakes told in one line."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from reference_segmenter import ReferenceMask, ReferenceSegmenter, reference_windows
from torch import Tensor, nn
from torch.testing import assert_close

import paumer
from paumer import load_segmenter, sliding_window_logits
from paumer.system.errors import PaumerError

ROUNDING = 5e-5  # what float32 leaves after a few layers of large weights
HEADS = ["encoder.head.weight", "encoder.head.bias"]


def stirred(**shape: Any) -> ReferenceSegmenter:
    """A reference network whose every parameter matters."""
    torch.manual_seed(0)
    network = ReferenceSegmenter(**shape).eval()
    with torch.no_grad():
        for value in network.parameters():
            value += 0.2 * torch.randn_like(value)
    return network


def describe(network: ReferenceSegmenter, net: dict[str, Any] | None = None) -> dict[str, Any]:
    """What `variant.yml` says about a reference network, changed by `net`."""
    encoder = network.encoder
    patch, width = encoder.patch, encoder.norm.weight.numel()
    described = {
        "backbone": "vit_tiny_patch16_384",
        "normalization": "vit",
        "distilled": encoder.prefix == 2,
        "image_size": [encoder.grid[0] * patch, encoder.grid[1] * patch],
        "patch_size": patch,
        "d_model": width,
        "n_heads": encoder.blocks[0].attn.heads,
        "n_layers": len(encoder.blocks),
        "n_cls": 5,
        "drop_path_rate": 0.1,
        "dropout": 0.5,
        "decoder": {"name": "linear", "n_cls": 5},
    }
    if isinstance(network.decoder, ReferenceMask):
        layers = len(network.decoder.blocks)
        described["decoder"] = {"name": "mask_transformer", "n_layers": layers, "drop_path_rate": 0.0, "dropout": 0.1}
    return {
        "version": "normal",
        "net_kwargs": described | (net or {}),
        "inference_kwargs": {"im_size": 64, "window_size": 32, "window_stride": 24},
    }


def publish(folder: Path, weights: dict[str, Tensor], variant: dict[str, Any]) -> Path:
    """Write a folder as the original training script does; tuples in it stay tuples."""
    folder.mkdir(exist_ok=True)
    checkpoint = {"model": weights, "optimizer": {"state": {}}, "n_cls": 5, "lr_scheduler": {"power": 0.9}, "epoch": 63}
    torch.save(checkpoint, folder / "checkpoint.pth")
    (folder / "variant.yml").write_text(yaml.dump(variant))
    return folder


@pytest.fixture
def published(tmp_path) -> Callable[..., tuple[nn.Module, ReferenceSegmenter]]:
    """Publish a reference network and load it."""

    def make(decoder: str = "linear", net: dict[str, Any] | None = None, **shape: Any):
        network = stirred(decoder=decoder, **shape)
        folder = publish(tmp_path / "network", network.state_dict(), describe(network, net))
        return load_segmenter(folder), network

    return make


def random_images(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, 3, *size, dtype=dtype, generator=torch.Generator().manual_seed(1))


SIZES = {"native": (32, 32), "not square": (24, 56), "no whole patches": (43, 30), "as many patches": (16, 64)}
DECODERS = pytest.mark.parametrize("decoder", ["linear", "mask_transformer"])
DISTILLED = pytest.mark.parametrize("distilled", [False, True], ids=["plain", "distilled"])


@torch.no_grad()
@DECODERS
@DISTILLED
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_logits_are_those_of_the_original_network(published, decoder, distilled, size) -> None:
    model, network = published(decoder, distilled=distilled)
    images = random_images(*size)
    logits = model(images)
    assert logits.shape == (2, 5, *size)
    assert logits.std() > 0.1
    assert_close(logits, network(images), rtol=0, atol=ROUNDING)


@torch.no_grad()
def test_two_heads_of_the_mask_transformer_and_a_native_grid_that_is_not_square(published) -> None:
    model, network = published("mask_transformer", width=128, heads=4, grid=(3, 5), patch=4, decoder_layers=3)
    for size in ((12, 20), (20, 12), (17, 9)):
        assert_close(model(random_images(*size)), network(random_images(*size)), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("image_size", [32, [32, 32], (32, 32), 64], ids=["number", "list", "tuple", "other size"])
@DISTILLED
@torch.no_grad()
def test_position_embeddings_decide_the_native_grid(published, image_size, distilled) -> None:
    model, network = published(net={"image_size": image_size}, distilled=distilled)
    assert_close(model(random_images(32, 48)), network(random_images(32, 48)), rtol=0, atol=ROUNDING)


@torch.no_grad()
@DECODERS
@pytest.mark.parametrize(("window", "stride"), [(32, 24), ((24, 32), (24, 10)), ((20, 36), (7, 36))])
def test_sliding_windows_are_those_of_the_original(published, decoder, window, stride) -> None:
    model, network = published(decoder)
    images = random_images(45, 70)
    pairs = [(side, side) if isinstance(side, int) else side for side in (window, stride)]
    expected = reference_windows(network, images, *pairs)
    logits = sliding_window_logits(model, images, window, stride, batch=3)
    assert_close(logits, expected, rtol=0, atol=ROUNDING)
    assert not logits.requires_grad
    [single] = [sliding_window_logits(model, images[1], window, stride)]
    assert single.shape == (5, 45, 70)
    assert_close(single, expected[1], rtol=0, atol=ROUNDING)


def test_the_network_carries_what_it_expects_of_its_input(published) -> None:
    model, _ = published()
    assert (model.evaluation.window, model.evaluation.stride) == ((32, 32), (24, 24))
    images = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    assert_close(model.normalize(images), images / 127.5 - 1)
    model, _ = published(net={"normalization": "deit"})
    assert_close(model.mean[:, 0, 0] / 255, torch.tensor([0.485, 0.456, 0.406]))


def test_windows_are_those_of_training_where_none_are_named(tmp_path) -> None:
    network = stirred(grid=(3, 5))
    variant = describe(network)
    del variant["inference_kwargs"]
    model = load_segmenter(publish(tmp_path, network.state_dict(), variant))
    assert (model.evaluation.window, model.evaluation.stride) == ((24, 40), (24, 40))


def test_the_network_is_ready_to_run_and_keeps_no_classifier(published) -> None:
    model, network = published("mask_transformer", distilled=True)
    assert not any(module.training for module in model.modules())
    assert not any("head" in name for name in model.state_dict())
    heads = sum(value.numel() for name, value in network.named_parameters() if name.startswith("encoder.head"))
    assert sum(value.numel() for value in model.parameters()) + heads == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("distilled", "names"),
    [(False, HEADS), (True, [*HEADS, "encoder.head_dist.weight", "encoder.head_dist.bias"])],
    ids=["plain", "distilled"],
)
def test_ignored_classification_heads_are_named_in_one_warning(published, caplog, distilled, names) -> None:
    with caplog.at_level(logging.WARNING, logger="paumer"):
        published(distilled=distilled)
    [record] = [record for record in caplog.records if record.name == "paumer"]
    assert record.levelno == logging.WARNING
    assert "\n" not in record.getMessage()
    assert all(name in record.getMessage() for name in names)
    assert "encoder.norm.weight" not in record.getMessage()


def test_nothing_is_said_where_nothing_is_ignored(tmp_path, caplog) -> None:
    network = stirred()
    weights = {name: value for name, value in network.state_dict().items() if name not in HEADS}
    load_segmenter(publish(tmp_path, weights, describe(network)))
    assert not caplog.records


def refusal(folder: Path) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(PaumerError) as caught:
        load_segmenter(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path) -> Path:
    network = stirred()
    return publish(tmp_path / "network", network.state_dict(), describe(network))


def test_missing_folder_and_files_are_named(folder) -> None:
    assert "nowhere" in refusal(folder / "nowhere")
    for name in ("checkpoint.pth", "variant.yml"):
        (folder / name).rename(folder / "aside")
        assert name in refusal(folder)
        (folder / "aside").rename(folder / name)
    load_segmenter(str(folder))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "weights cannot be read"),
        (bytes(range(256)), "weights cannot be read"),
        (b"<html>404</html>", "is a web page in the place of the file"),
        (b"PK\x03\x04" + bytes(99), "weights cannot be read (it is cut off"),
    ],
    ids=["empty", "garbage", "page", "cut off"],
)
def test_garbled_checkpoint_is_named(folder, content, words) -> None:
    (folder / "checkpoint.pth").write_bytes(content)
    assert f"checkpoint.pth: {words}" in refusal(folder)


def test_checkpoint_with_objects_is_refused(folder) -> None:
    torch.save({"model": stirred().state_dict(), "args": argparse.Namespace(lr=1)}, folder / "checkpoint.pth")
    assert "argparse.Namespace" in refusal(folder)


@pytest.mark.parametrize(
    "content", [{"state_dict": {}}, [1, 2], {"model": [1]}, {"model": {"encoder.norm.weight": 3}}], ids=str
)
def test_checkpoint_without_weights_is_named(folder, content) -> None:
    torch.save(content, folder / "checkpoint.pth")
    message = refusal(folder)
    assert "checkpoint.pth" in message
    assert "'model'" in message


@pytest.mark.parametrize("content", ["a: [", "just text", "", "!!python/object/apply:os.getcwd []"], ids=str)
def test_garbled_variant_is_named(folder, content) -> None:
    (folder / "variant.yml").write_text(content)
    assert "variant.yml" in refusal(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"decoder": {"name": "deeplab_dec", "encoder_layer": -1}}, ["net_kwargs.decoder.name", "deeplab_dec"]),
        ({"normalization": "clip"}, ["net_kwargs.normalization", "clip"]),
        ({"n_layers": "many"}, ["net_kwargs.n_layers", "many"]),
        ({"d_model": None}, ["net_kwargs.d_model"]),
        ({"n_heads": 3}, ["n_heads", "d_model"]),
        ({"image_size": [32]}, ["net_kwargs.image_size"]),
        ({"patch_size": 0}, ["net_kwargs.patch_size"]),
        ({"decoder": {}}, ["net_kwargs.decoder.name"]),
    ],
)
def test_keys_of_the_variant_are_named(folder, change, words) -> None:
    publish(folder, stirred().state_dict(), describe(stirred(), change))
    message = refusal(folder)
    assert "variant.yml" in message
    assert all(word in message for word in words)


MISFITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # by the name at fault: changes of variant and weights
    "encoder.blocks.3.norm1.weight": ({"n_layers": 4}, {}),
    "encoder.blocks.2.norm1.weight": ({"n_layers": 2}, {}),
    "encoder.cls_token": ({"d_model": 48}, {}),
    "decoder.head.weight": ({"n_cls": 7}, {}),
    "encoder.dist_token": ({"distilled": True}, {}),
    "encoder.patch_embed.proj.weight": ({"patch_size": 16}, {}),
    "decoder.cls_emb": ({"decoder": {"name": "mask_transformer", "n_layers": 2}}, {}),
    "encoder.norm.bias": ({}, {"encoder.norm.bias": None}),
    "encoder.pos_embed": ({}, {"encoder.pos_embed": None}),
    "encoder.heads.weight": ({}, {"encoder.heads.weight": torch.zeros(3)}),
    "encoder.pos_embed has shape": ({}, {"encoder.pos_embed": torch.zeros(1, 12, 32)}),
    "decoder.head.bias holds values that are not finite": ({}, {"decoder.head.bias": torch.full((5,), torch.nan)}),
}


@pytest.mark.parametrize("words", MISFITS)
def test_weights_that_do_not_fit_the_variant_are_named(folder, words) -> None:
    net, changes = MISFITS[words]
    weights = {name: value for name, value in (stirred().state_dict() | changes).items() if value is not None}
    publish(folder, weights, describe(stirred(), net))
    message = refusal(folder)
    assert "checkpoint.pth: weights do not fit variant.yml (" in message
    assert words in message


def test_public_names_are_listed_and_others_are_not_there() -> None:
    assert {"load_segmenter", "sliding_window_logits"} <= set(dir(paumer))
    assert paumer.load_segmenter is load_segmenter
    with pytest.raises(AttributeError, match="nothing"):
        _ = paumer.nothing
