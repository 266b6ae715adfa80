"""Backbones with a decoder and heads of their own beside those that take the experiment's."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paumer.config import Data, Decoder, Experiment, Heads, Scenes, parse
from paumer.config.runs import BoundsSettings, CostSettings, TrainSettings
from paumer.data.preparation import prepare
from paumer.measurement.flops import flops
from paumer.system.errors import PaumerError

SHAPE = {"embed_dim": 32, "depth": 4, "num_heads": 2, "patch_size": 8}
OWN = {
    "decoder": {"name": "linear", "sub_patch": 2},
    "heads": {"blocks": [1, 2], "adapter": 8, "classifier": "decoder"},
}
BACKBONES = [
    {"name": "usual", "options": SHAPE},
    {"name": "own", "options": SHAPE, **OWN},
    {"name": "control", "options": SHAPE, "control_for": "own", "decoder": OWN["decoder"]},
]


def make(**changes: Any) -> Experiment:
    content = {
        "backbones": BACKBONES,
        "decoder": {"name": "mask_transformer", "layers": 1},
        "heads": {"blocks": [2]},
        "sweep": [{"strategy": "pause", "schedules": ["2:0.4"]}],
        "figures": {"pause_schedule": "2:0.4"},
    }
    return parse(Experiment, content | changes, "test")


def test_each_network_is_trained_with_what_is_its() -> None:
    usual, own, control = (TrainSettings.of(make(), name, "paumer", 0) for name in ("usual", "own", "control"))
    assert (usual.decoder.name, usual.heads) == ("mask_transformer", Heads(blocks=(2,)))
    assert (own.decoder, own.heads) == (Decoder(sub_patch=2), Heads(blocks=(1, 2), adapter=8, classifier="decoder"))
    assert control.decoder == Decoder(sub_patch=2)
    assert own.backbone.decoder is None  # it is said once
    assert own.backbone.heads is None


def test_an_ablation_changes_all_heads() -> None:
    experiment = make(ablations={"light": {"heads": {"weight": 0.1}}})
    heads = {name: TrainSettings.of(experiment, name, "ablation-light", 0).heads for name in ("usual", "own")}
    assert heads == {
        "usual": Heads(blocks=(2,), weight=0.1),
        "own": Heads(blocks=(1, 2), adapter=8, classifier="decoder", weight=0.1),
    }


def test_costs_are_those_of_each_network(tmp_path: Path) -> None:
    scenes = Scenes(train_images=1, val_images=1, height=32, width=64)
    prepare(Data(scenes=scenes), tmp_path / "data.json", threads=1)
    flops(CostSettings.of(make(), timed=False), tmp_path / "data.json", tmp_path / "flops.csv")
    rows = pd.read_csv(tmp_path / "flops.csv").set_index(["backbone", "strategy"])
    assert rows.loc["usual", "decoder"].unique().tolist() == ["mask_transformer"]
    assert rows.loc["own", "decoder"].unique().tolist() == ["linear"]
    patches, width, cells, classes = 32, 32, 4, 19
    assert rows.loc[("own", "dense"), "gmac_decoder"] == pytest.approx(
        patches * width * cells * classes / 1e9, abs=1e-6
    )
    assert rows.loc[("usual", "dense"), "gmac_decoder"] > 2 * rows.loc[("own", "dense"), "gmac_decoder"]
    heads = rows.xs("pause", level="strategy")["gmac_heads"] * 1e9
    assert heads.to_dict() == pytest.approx(
        {"usual": patches * width * classes, "own": patches * 2 * width * 8}, abs=1000
    )


def test_bounds_are_those_of_each_decoder() -> None:
    settings = BoundsSettings.of(make())
    assert [backbone.decoder for backbone in settings.backbones] == [None, Decoder(sub_patch=2)]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"heads": {"blocks": [2], "adapter": 8, "classifier": "decoder"}}, ("heads.classifier", "linear decoder")),
        (
            {"backbones": [BACKBONES[0], BACKBONES[1] | {"decoder": None}]},
            ("backbones.own.heads.classifier", "linear decoder"),
        ),
        ({"sweep": [{"strategy": "pause", "schedules": ["1:0.4"]}]}, ("1:0.4", "add 1 to heads.blocks (now [2])")),
        (
            {"backbones": [BACKBONES[0], BACKBONES[1] | {"heads": {"blocks": [1]}}]},
            ("2:0.4", "add 2 to backbones.own.heads.blocks (now [1])"),
        ),
        (
            {"backbones": [BACKBONES[0], BACKBONES[1] | {"heads": {"blocks": [2, 5]}, "decoder": None}]},
            ("no block 5 in a network of 4 blocks",),
        ),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], parts: tuple[str, ...]) -> None:
    with pytest.raises(PaumerError) as caught:
        make(**changes)
    assert all(part in str(caught.value) for part in parts), caught.value
