"""Building, saving and loading networks; every mistake is one line that names the culprit."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from paumer.config import Heads
from paumer.errors import PaumerError
from paumer.files import write_json
from paumer.models.build import build, copy_weights, load_run, load_weights, save_weights

TINY = {"embed_dim": 32, "depth": 4, "num_heads": 2}


def save_timm(path, architecture="vit_tiny_patch16_224", **options):
    """Save a small timm network as its own weights file."""
    torch.manual_seed(3)
    vit = timm.create_model(architecture, **{"num_classes": 0, "img_size": 64, "patch_size": 16, **TINY, **options})
    save_file(vit.state_dict(), path)
    return vit


def test_run_is_loaded_bit_for_bit(describe, make, images, tmp_path) -> None:
    settings = describe(decoder={"name": "mask_transformer"}, heads=(2, 4))
    model = make(decoder={"name": "mask_transformer"}, heads=(2, 4)).float()
    save_weights(model, tmp_path / "model.safetensors")
    write_json(tmp_path / "run.json", {"network": settings.model_dump(mode="json"), "seed": 7})
    loaded, run = load_run(tmp_path)
    assert run["seed"] == 7
    assert not loaded.training
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(loaded(images.float()), model(images.float()))


def test_heads_may_be_new_but_nothing_else(describe, tmp_path) -> None:
    plain = build(describe(heads=()))
    weights = plain.state_dict()
    model = build(describe(heads=(2,)))
    copy_weights(model, weights, tmp_path, new_heads=True)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in weights.items())
    with pytest.raises(PaumerError, match=r"heads\.2"):
        copy_weights(model, weights, tmp_path)
    with pytest.raises(PaumerError, match=r"heads\.2"):
        copy_weights(plain, model.state_dict(), tmp_path)
    del weights["decoder.head.linear.bias"]
    with pytest.raises(PaumerError, match=r"decoder\.head\.linear\.bias"):
        copy_weights(model, weights, tmp_path, new_heads=True)


def test_weights_of_another_network_are_named(describe, tmp_path) -> None:
    weights = build(describe(options={"embed_dim": 48})).state_dict()
    with pytest.raises(PaumerError, match=r"other\.safetensors") as caught:
        copy_weights(build(describe()), weights, tmp_path / "other.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"garbage" * 50], ids=["missing", "empty", "garbage"])
def test_damaged_weights_are_named(tmp_path, content) -> None:
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PaumerError, match=r"model\.safetensors") as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)


def test_missing_run_is_named(tmp_path) -> None:
    with pytest.raises(PaumerError, match=r"run\.json"):
        load_run(tmp_path)


@pytest.mark.parametrize("prefix", [{}, {"architecture": "vit_small_patch14_reg4_dinov2"}], ids=["plain", "registers"])
def test_local_weights_load_unchanged_at_their_own_sizes(describe, tmp_path, prefix) -> None:
    vit = save_timm(tmp_path / "vit.safetensors", **prefix)
    options = {"patch_size": 16}
    model = build(describe(options=options, size=(64, 64), weights=str(tmp_path / "vit.safetensors"), **prefix))
    loaded = model.encoder.vit.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in vit.state_dict().items())


def test_local_weights_are_resampled_to_another_patch_and_image_size(describe, tmp_path) -> None:
    vit = save_timm(tmp_path / "vit.safetensors")
    vit.set_input_size(img_size=(32, 64), patch_size=8)
    model = build(describe(weights=str(tmp_path / "vit.safetensors")))
    loaded = model.encoder.vit.state_dict()
    assert loaded["pos_embed"].shape == (1, 1 + 4 * 8, 32)
    for name, value in vit.state_dict().items():
        assert_close(loaded[name], value, rtol=1e-4, atol=1e-5)


def test_local_weights_may_hold_a_classifier_for_images(describe, tmp_path) -> None:
    vit = save_timm(tmp_path / "vit.safetensors", num_classes=10)
    assert "head.weight" in load_file(tmp_path / "vit.safetensors")
    options = {"patch_size": 16}
    model = build(describe(options=options, size=(64, 64), weights=str(tmp_path / "vit.safetensors")))
    assert torch.equal(model.encoder.blocks[0].mlp.fc1.weight, vit.blocks[0].mlp.fc1.weight)


def test_without_pretraining_the_weights_file_is_not_read(describe) -> None:
    build(describe(weights="missing.safetensors"), pretrained=False)


def test_heads_read_the_last_block_at_most(describe) -> None:
    assert set(build(describe(heads=(1, 4))).heads) == {"1", "4"}
    with pytest.raises(PaumerError, match=r"heads\.blocks: no block 5 .* 4 blocks"):
        build(describe(heads=(1, 5)))


def test_network_without_heads_is_built(describe) -> None:
    settings = describe().model_copy(update={"heads": None})
    assert len(build(settings).heads) == 0
    assert Heads().blocks == (3, 6, 9)


ARCHITECTURES = {
    "unknown": "vit_tiny_patch99",
    "convolutions": "resnet18",
    "windows": "swin_tiny_patch4_window7_224",
    "other blocks": "beit_base_patch16_224",
    "distilled": "deit_tiny_distilled_patch16_224",
    "convolutional stem": "vit_tiny_r_s16_p8_224",
}


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_what_is_no_plain_vision_transformer_is_refused(describe, architecture) -> None:
    settings = describe(architecture=architecture)
    backbone = settings.backbone.model_copy(update={"options": {}})
    with pytest.raises(PaumerError, match=rf"backbones\.net\.architecture.*{architecture}") as caught:
        build(settings.model_copy(update={"backbone": backbone}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"nonsense": 1},
        {"num_heads": 5},
        {"patch_size": "x"},
        {"patch_size": 0},
        {"embed_dim": 30, "positions": "sincos"},
        {"pos_embed": "none", "positions": "sincos"},
    ],
    ids=str,
)
def test_bad_options_are_named(describe, options) -> None:
    positions = {"positions": options["positions"]} if "positions" in options else {}
    options = {name: value for name, value in options.items() if name != "positions"}
    with pytest.raises(PaumerError, match=r"backbones\.net\.(options|positions)") as caught:
        build(describe(options=options, **positions))
    assert "\n" not in str(caught.value)


BROKEN = {"empty.safetensors": b"", "garbage.safetensors": b"garbage" * 50, "empty.pth": b"", "garbage.pth": b"ab" * 99}


@pytest.mark.parametrize("name", BROKEN)
def test_unreadable_backbone_weights_are_named(describe, tmp_path, name) -> None:
    path = tmp_path / name
    path.write_bytes(BROKEN[name])
    with pytest.raises(PaumerError, match=rf"backbones\.net\.weights.*{name}") as caught:
        build(describe(weights=str(path)))
    assert "\n" not in str(caught.value)


def test_missing_backbone_weights_are_named(describe) -> None:
    with pytest.raises(PaumerError, match=r"backbones\.net\.weights.*missing\.safetensors"):
        build(describe(weights="missing.safetensors"))


@pytest.mark.parametrize("other", [{"embed_dim": 48}, {"depth": 6}, {"depth": 2}, {"class_token": False}], ids=str)
def test_backbone_weights_of_another_architecture_are_named(describe, tmp_path, other) -> None:
    pool = {"global_pool": "avg"} if "class_token" in other else {}
    save_timm(tmp_path / "other.safetensors", **other, **pool)
    with pytest.raises(PaumerError, match=r"backbones\.net\.weights.*other\.safetensors") as caught:
        build(describe(weights=str(tmp_path / "other.safetensors")))
    assert "\n" not in str(caught.value)
