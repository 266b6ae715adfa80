"""Images are normalised as the weights ask for, unless the configuration says otherwise."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hostile import refusal
from timm.models import get_pretrained_cfg, is_model_in_modules

from paumer.config.base import parse
from paumer.config.network import Backbone, NetworkSettings, Statistics, statistics_of
from paumer.models.backbones import MODULES, asked_for, described, normalization_of
from paumer.models.build import build
from paumer.system.files import write_json

OWN = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
CLIP = Statistics(mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711))
AUGREG = "vit_small_patch16_384.augreg_in21k_ft_in1k"


def backbone(**given: Any) -> Backbone:
    return parse(Backbone, {"name": "net", **given}, "test")


def tiny(**given: Any) -> Backbone:
    return backbone(options={"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}, **given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "imagenet"),
        ({"architecture": AUGREG}, "imagenet"),  # without weights
        ({"architecture": AUGREG, "weights": "hub"}, "half"),
        ({"architecture": AUGREG, "weights": "file.npz"}, "half"),
        ({"architecture": AUGREG, "weights": "hub", "normalization": "imagenet"}, "imagenet"),
        ({"architecture": "deit_small_patch16_224.fb_in1k", "weights": "hub"}, "imagenet"),
        ({"architecture": "vit_base_patch16_clip_224.openai", "weights": "hub"}, CLIP),
        ({"weights": "demo"}, "imagenet"),
        ({"normalization": OWN}, Statistics(**OWN)),
    ],
)
def test_it_follows_the_weights_unless_given(given: dict[str, Any], expected: Any) -> None:
    assert normalization_of(backbone(**given)) == expected


def test_it_is_timms_for_all_plain_networks() -> None:
    names = [name for name in timm.list_pretrained() if is_model_in_modules(name.split(".")[0], MODULES)]
    assert len(names) > 100
    for name in names:
        source = get_pretrained_cfg(name)
        statistics = statistics_of(normalization_of(backbone(architecture=name, weights="hub")))
        assert (statistics.mean, statistics.std) == (source.mean, source.std), name


@pytest.mark.parametrize("file", ["run.json", "config.json"])
@pytest.mark.parametrize(("stored", "expected"), [("half", "half"), (OWN, Statistics(**OWN)), (None, "imagenet")])
def test_it_is_that_of_a_trained_network(tmp_path: Path, file: str, stored: Any, expected: Any) -> None:
    """None: nothing is stored, as before there was a choice."""
    network = NetworkSettings(backbone=backbone(weights="hub"), decoder={}, heads=None, classes=3, image_size=(32, 64))
    content = network.model_dump(mode="json")
    del content["backbone"]["normalization"]
    content["backbone"] |= {} if stored is None else {"normalization": stored}
    write_json(tmp_path / file, {"network": content, "recipe": "dense", "seed": 0})
    assert normalization_of(backbone(weights=str(tmp_path))) == expected
    assert asked_for(backbone(weights=str(tmp_path), normalization="imagenet")) == expected


def test_images_are_normalised_by_any_statistics() -> None:
    images = torch.randint(256, (2, 3, 20, 30), dtype=torch.uint8)
    for given in ("imagenet", "half", CLIP):
        known = statistics_of(given)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (known.mean, known.std))
        network = build(
            NetworkSettings(backbone=tiny(normalization=given), decoder={}, heads=None, classes=3, image_size=(20, 30))
        ).eval()
        inputs = (images / 255 - mean) / std
        torch.testing.assert_close(network.normalize(images), inputs)
        assert network.normalize(inputs) is inputs
        with torch.inference_mode():
            torch.testing.assert_close(network(images), network(inputs), rtol=1e-4, atol=1e-5)
        assert not {"mean", "std"} & set(network.state_dict())


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("clip", "normalization: input should be 'auto', 'imagenet' or 'half', not 'clip'"),
        (3, "normalization: input should be a valid dictionary"),
        ({"mean": [0, 0, 0]}, "key 'normalization.std' is missing; add it"),
        ({"mean": [0, 0, 0], "std": [1, 0, 1]}, "normalization.std: must be above 0"),
        ({"mean": [0, 0], "std": [1, 1, 1]}, "key 'normalization.mean.2' is missing; add it"),
        (
            {"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]},
            "normalization.mean: is of images from 0 to 1; where",
        ),
        (OWN | {"deviation": 1}, "unknown key 'normalization.deviation'; known keys: mean, std"),
    ],
)
def test_statistics_that_are_none_are_refused(given: Any, line: str) -> None:
    assert refusal(backbone, normalization=given).startswith(f"test: {line}")


def test_it_is_told_in_words() -> None:
    assert described("half") == "half"
    assert described(Statistics(**OWN)) == "mean [0.1, 0.2, 0.3], std [0.4, 0.5, 0.6]"
