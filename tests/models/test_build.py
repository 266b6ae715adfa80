"""Building, saving and loading networks; every mistake is one line that names the culprit."""

import copy
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from paumer.config.network import Heads
from paumer.models.build import build, copy_weights, load_run, load_weights, save_weights, start_from
from paumer.models.segmenter import Segmenter
from paumer.system.errors import PaumerError
from paumer.system.files import write_json

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


def saved(model: Segmenter, folder: Path) -> Path:
    save_weights(model, folder / "model.safetensors")
    return folder / "model.safetensors"


def same(first: Segmenter, second: Segmenter, part: str) -> bool:
    pairs = [(value, second.state_dict()[name]) for name, value in first.state_dict().items() if name.startswith(part)]
    return bool(pairs) and all(torch.equal(*pair) for pair in pairs)


def test_a_network_starts_from_another_of_its_shape(describe, tmp_path) -> None:
    trained, model = build(describe(heads=(2,))), build(describe(heads=(2,)))
    assert start_from(model, saved(trained, tmp_path)) == []
    assert same(model, trained, "")


@pytest.mark.parametrize(("own", "given"), [((2, 3), (2,)), ((2,), ()), ((2,), (3,))])
def test_heads_start_anew_unless_all_fit(describe, tmp_path, own, given) -> None:
    trained, model = build(describe(heads=given)), build(describe(heads=own))
    before = copy.deepcopy(model)
    assert start_from(model, saved(trained, tmp_path)) == ["heads"]
    assert same(model, before, "heads.") and same(model, trained, "encoder.") and same(model, trained, "decoder.")


def test_a_shallower_network_takes_the_first_blocks(describe, images, tmp_path) -> None:
    trained = build(describe(heads=(2,)))
    model = build(describe(heads=(), options={"depth": 3}))
    assert start_from(model, saved(trained, tmp_path)) == []
    assert model.encoder.depth == 3
    assert same(model, trained, "")
    with pytest.raises(PaumerError, match=r"encoder\.vit\.blocks\.3.*at least as many blocks"):
        start_from(build(describe(heads=())), saved(model, tmp_path))


def test_a_decoder_of_another_shape_starts_anew(describe, tmp_path) -> None:
    trained, model = build(describe(heads=())), build(describe(heads=(), decoder={"sub_patch": 2}))
    before = copy.deepcopy(model)
    assert start_from(model, saved(trained, tmp_path)) == ["decoder"]
    assert same(model, before, "decoder.") and same(model, trained, "encoder.")


@pytest.mark.parametrize("options", [{"embed_dim": 48}, {"class_token": False, "global_pool": "avg"}])
def test_an_encoder_of_other_options_is_no_start(describe, tmp_path, options) -> None:
    trained = build(describe(heads=(), options=options))
    with pytest.raises(PaumerError, match=r"model\.safetensors: weights do not fit") as caught:
        start_from(build(describe(heads=())), saved(trained, tmp_path))
    assert "\n" not in str(caught.value)


def test_weights_must_fit_in_names_too(describe, tmp_path) -> None:
    model, weights = build(describe(heads=(2,))), build(describe(heads=())).state_dict()
    with pytest.raises(PaumerError, match=r"heads\.2"):
        copy_weights(model, weights, tmp_path)
    with pytest.raises(PaumerError, match=r"heads\.2"):
        copy_weights(build(describe(heads=())), model.state_dict(), tmp_path)
    wider = build(describe(heads=(2,), options={"embed_dim": 48}))
    with pytest.raises(PaumerError, match=r"other: weights do not fit the network \(encoder\.vit\.cls_token has shape"):
        copy_weights(model, wider.state_dict(), tmp_path / "other")


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
