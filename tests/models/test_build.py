"""Building, saving and loading networks; every mistake is one line that names the culprit."""

import pytest
import timm
import torch
from safetensors.torch import save_file

from paumer.config import Heads
from paumer.errors import PaumerError
from paumer.files import write_json
from paumer.models.build import build, copy_weights, load_run, load_weights, save_weights

TINY = {"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}


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
    copy_weights(plain, model.state_dict(), tmp_path, new_heads=True)
    others = build(describe(heads=(2, 3)))
    fresh = {name: value.clone() for name, value in others.heads.state_dict().items()}
    copy_weights(others, model.state_dict(), tmp_path, new_heads=True)
    assert all(torch.equal(value, others.heads.state_dict()[name]) for name, value in fresh.items())
    same = build(describe(heads=(2,)))
    copy_weights(same, model.state_dict(), tmp_path, new_heads=True)
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in model.state_dict().items())
    del weights["decoder.linear.bias"]
    with pytest.raises(PaumerError, match=r"decoder\.linear\.bias"):
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


def test_heads_read_the_last_block_at_most(describe) -> None:
    assert set(build(describe(heads=(1, 4))).heads) == {"1", "4"}
    with pytest.raises(PaumerError, match=r"heads\.blocks: no block 5 .* 4 blocks"):
        build(describe(heads=(1, 5)))


def test_network_without_heads_is_built(describe) -> None:
    settings = describe().model_copy(update={"heads": None})
    assert len(build(settings).heads) == 0
    assert Heads().blocks == (3, 6, 9)


@pytest.mark.parametrize("options", [{"embed_dim": 30}, {"pos_embed": "none"}], ids=str)
def test_positions_that_cannot_start_as_sincos_are_named(describe, options) -> None:
    with pytest.raises(PaumerError, match=r"backbones\.net\.positions") as caught:
        build(describe(options=options, positions="sincos"))
    assert "\n" not in str(caught.value)


def test_backbone_weights_are_loaded_unless_trained_ones_follow(describe, tmp_path) -> None:
    torch.manual_seed(3)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=(32, 64), **TINY)
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    settings = describe(weights=str(tmp_path / "vit.safetensors"))
    loaded = build(settings).encoder.vit.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in vit.state_dict().items())
    (tmp_path / "vit.safetensors").unlink()
    build(settings, pretrained=False)
    with pytest.raises(PaumerError, match=r"backbones\.net\.weights"):
        build(settings)
