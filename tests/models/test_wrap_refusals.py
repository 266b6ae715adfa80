"""What `paumer.wrap` refuses, in one line that fits: mistakes in its arguments, and networks that cannot pause."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import timm
import torch
from test_wrap import CLASSES, TINY, WIDTH
from torch import nn

import paumer
from paumer.config.network import Backbone, Decoder, NetworkSettings
from paumer.models.backbones import create_vit
from paumer.system.errors import PaumerError

LINEAR = {"head": nn.Linear(WIDTH, CLASSES)}
CONV = {"head": nn.Conv2d(WIDTH, CLASSES, 1), "layout": "map"}
LSTM = {"head": nn.LSTM(WIDTH, CLASSES, batch_first=True)}
LIST = "give a list of 5 shares"
MISTAKES = {
    "3-0.4": (LINEAR, "3-0.4", "write it like"),
    "nothing": (LINEAR, None, "write it like"),
    "oracle": (LINEAR | {"criterion": "oracle"}, "3:0.4", "needs the ground truth; use entropy"),
    "layout": (LINEAR | {"layout": "grid"}, "3:0.4", "layout 'grid' is unknown; use tokens or map"),
    "width": ({"head": nn.Linear(7, CLASSES)}, "3:0.4", r"head: fails .* must map \(batch, patches, 32\)"),
    "map as tokens": ({"head": nn.Conv2d(WIDTH, CLASSES, 1)}, "3:0.4", r"head: fails .* \(layout 'tokens'\)"),
    "tokens as map": (LINEAR | {"layout": "map"}, "3:0.4", r"head: fails .* \(layout 'map'\)"),
    "pooled": ({"head": nn.Sequential(nn.Flatten(), nn.LazyLinear(5))}, "3:0.4", r"head: gives \(1, 5\) for an input"),
    "tuple": (LSTM, "3:0.4", "head: gives tuple instead of a tensor"),
    "no class": ({"head": nn.LazyLinear(0)}, "3:0.4", "head: predicts no class; it must map"),
    "classes": (LINEAR | {"auxiliary": {3: nn.Linear(WIDTH, 4)}}, "3:0.4", r"auxiliary\[3\]: predicts 4 classes"),
    "no module": (LINEAR | {"auxiliary": {3: torch.relu}}, "3:0.4", r"auxiliary\[3\]: .*give a torch.nn.Module"),
    "list of modules": (LINEAR | {"auxiliary": [nn.Linear(WIDTH, 5)]}, "3:0.4", r"list; give .*\{3: module\}"),
    "no such block": (
        LINEAR | {"auxiliary": {7: nn.Linear(WIDTH, 5)}},
        "3:0.4",
        "7; number each block once, from 1 to 6",
    ),
    "named blocks": (LINEAR | {"auxiliary": {"last": nn.Linear(WIDTH, 5)}}, "3:0.4", "'last'; number each block once"),
    "a block twice": (LINEAR | {"auxiliary": {3: LINEAR["head"], "3": LINEAR["head"]}}, "3:0.4", "3, '3'; number each"),
    "too few frequencies": (LINEAR | {"class_frequencies": [0.5] * 3}, "3:0.4", LIST),
    "named frequencies": (LINEAR | {"class_frequencies": "even"}, "3:0.4", LIST),
    "frequencies of 0": (LINEAR | {"class_frequencies": np.zeros(5)}, "3:0.4", LIST),
    "endless frequencies": (LINEAR | {"class_frequencies": [np.nan] * 5}, "3:0.4", LIST),
    "unordered frequencies": (LINEAR | {"class_frequencies": {0.1, 0.2, 0.3, 0.4, 0.5}}, "3:0.4", LIST),
    "strategy as object": (LINEAR | {"strategy": nn.Identity()}, "3:0.4", "strategy: Identity; give its name"),
    "normalization": (LINEAR | {"normalization": "caffe"}, "3:0.4", "'auto', 'imagenet' or 'half', not 'caffe'"),
    "array of statistics": (LINEAR | {"normalization": np.ones(3)}, "3:0.4", "should be a valid dictionary"),
    "evaluation": (LINEAR | {"evaluation": {"windw": 3}}, "3:0.4", "evaluation: unknown key 'windw'"),
    "map without auxiliary": (CONV, "3:0.4", r"cannot predict after block 3.*give auxiliary=\{3: module\}"),
    "oracle of maps": (CONV | {"criterion": "oracle"}, "3:0.4", "criterion oracle needs the ground truth"),
    "map and exit": (CONV | {"strategy": "early-exit"}, "exit:3", "predicts patch by patch"),
}


@pytest.mark.parametrize(("options", "schedule", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_named_in_one_line(options, schedule, message) -> None:
    vit = timm.create_model("vit_tiny_patch16_224", **TINY)
    with pytest.raises(PaumerError, match=message) as caught:
        paumer.wrap(vit, options["head"], schedule, **{key: value for key, value in options.items() if key != "head"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "obstacle"),
    [
        (
            "swin_tiny_patch4_window7_224",
            {"embed_dim": 12, "depths": (1, 1), "num_heads": (1, 1)},
            "is none of timm's plain vision transformers",
        ),
        ("vit_relpos_small_patch16_224", {"depth": 1}, "is none of timm's plain vision transformers"),
        ("vit_small_patch16_rope_mixed_224", {"depth": 1}, "rotates queries and keys by RotaryEmbeddingMixed"),
        ("eva02_enormous_patch14_clip_224", {**TINY, "depth": 1}, "its blocks are of EvaBlockPostNorm"),
        ("naflexvit_base_patch16_gap", {"depth": 1}, "NaFlex networks take sequences"),
        ("vit_tiny_r_s16_p8_224", {"depth": 1}, "hybrid networks make patches by a convolutional network"),
    ],
)
def test_other_networks_are_refused_in_words_that_fit(name, options, obstacle) -> None:
    """In Python and in an experiment; the remedy names networks that run, not a pattern that these match, too."""
    for refuse in (
        lambda: paumer.wrap(timm.create_model(name, **options), nn.Linear(WIDTH, CLASSES), "3:0.4"),
        lambda: create_vit(NetworkSettings(**described(name, options), decoder=Decoder(), heads=None, classes=5)),
    ):
        with pytest.raises(PaumerError, match=obstacle) as caught:
            refuse()
        assert "*" not in str(caught.value)
        assert str(caught.value).endswith("use a plain one, such as " + ", ".join(RUNNING[:2]) + f" or {RUNNING[2]}")


RUNNING = ("vit_small_patch16_224", "vit_small_patch14_dinov2", "vit_small_patch16_dinov3")


def described(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A backbone as small as the options make it: the largest one of timm holds 18 GB."""
    small = {key: value for key, value in options.items() if isinstance(value, int) and key != "patch_size"}
    return {"backbone": Backbone(name="net", architecture=name, options=small), "image_size": (224, 224)}


@pytest.mark.parametrize("name", RUNNING)
def test_the_networks_that_are_named_instead_run(name) -> None:
    vit = timm.create_model(name, **TINY)
    assert paumer.wrap(vit, nn.Linear(WIDTH, CLASSES), "3:0.4")(torch.randn(1, 3, 32, 48)).shape == (1, 5, 32, 48)


def test_patches_that_are_not_square_are_refused() -> None:
    with pytest.raises(PaumerError, match=r"patches of \(8, 16\) pixels are not square"):
        paumer.wrap(
            timm.create_model("vit_tiny_patch16_224", **{**TINY, "patch_size": (8, 16)}), LINEAR["head"], "3:0.4"
        )
