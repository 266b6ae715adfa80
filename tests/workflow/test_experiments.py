"""Every experiment file is valid, and every backbone it names exists under that very name and can be built."""

import re
from collections import Counter
from pathlib import Path

import pytest
import timm
import torch
import yaml
from tiers import first
from timm.models import get_pretrained_cfg

from paumer.config.base import parse
from paumer.config.experiment import Experiment
from paumer.config.measuring import sweep_points
from paumer.config.network import NetworkSettings, statistics_of
from paumer.models.backbones import normalization_of
from paumer.models.build import build
from paumer.strategies.criteria import CONTROLS

REPOSITORY = Path(__file__).parents[2]
FILES = {
    path.name: path for path in (REPOSITORY / "config.yaml", *(REPOSITORY / "workflow/experiments").glob("*.yaml"))
}
ALTERNATIVE = re.compile(r"^  # (?=- name: |  \w+: )", re.MULTILINE)


def read(name: str) -> str:
    """An experiment file with the backbones that stand in it as comments."""
    return ALTERNATIVE.sub("  ", FILES[name].read_text(encoding="utf-8"))


def read_backbones(text: str) -> list[str]:
    return [backbone["name"] for backbone in yaml.safe_load(text)["backbones"]]


BACKBONES = [(name, backbone) for name in sorted(FILES) for backbone in read_backbones(read(name))]


@pytest.mark.parametrize("name", sorted(FILES))
def test_file_is_valid(name: str) -> None:
    experiment = parse(Experiment, yaml.safe_load(FILES[name].read_text(encoding="utf-8")), name)
    assert experiment.experiment == {"config.yaml": "scenes"}.get(name, Path(name).stem)


def test_cityscapes_offers_other_families() -> None:
    offered = set(read_backbones(read("cityscapes.yaml"))) - set(read_backbones(FILES["cityscapes.yaml"].read_text()))
    for family in ("deit_small", "distilled", "dinov2_small", "reg4"):
        assert any(family in name for name in offered)


@pytest.mark.parametrize("name", ["camvid.yaml", "idd_lite.yaml", "nyuv2.yaml", "cityscapes.yaml", "ade20k.yaml"])
def test_no_method_has_more_operating_points_to_choose_from(name: str) -> None:
    """All have as many, by fractions and by thresholds; early exits as many as there are heads, or fewer."""
    experiment: Experiment = parse(Experiment, yaml.safe_load(read(name)), name)
    counts: Counter[tuple[str, str, str, bool]] = Counter()
    for recipe in experiment.training.recipes:
        for point in sweep_points(experiment.sweep, recipe):
            if point.parts and point.criterion not in CONTROLS and point.strategy not in ("early-exit", "merge>pause"):
                merges = "local-merge" in point.strategy  # its fractions and thresholds together
                counts[recipe, point.strategy, point.criterion, point.varies and not merges] += 1
    [number] = set(counts.values())
    assert number in (6, 12)
    rivals = {"token-exit", "adaptive-exit", "merge", "local-merge", "mutual-merge", "shared-patches", "resize"}
    found = {strategy for _, strategy, _, _ in counts}
    assert rivals <= found
    assert {f"resize>{rival}" for rival in rivals - {"resize"}} <= found


@pytest.mark.parametrize(("name", "backbone_name"), first(BACKBONES, kind=lambda case: case[0]))
def test_backbone_exists_and_builds(name: str, backbone_name: str) -> None:
    experiment: Experiment = parse(Experiment, yaml.safe_load(read(name)), name)
    backbone = next(item for item in experiment.backbones if item.name == backbone_name)
    if backbone.weights == "hub":
        assert backbone.architecture in timm.list_pretrained(), "the exact tag belongs to the name"
        source = get_pretrained_cfg(backbone.architecture)
        assert source.hf_hub_id == f"timm/{backbone.architecture}"
        statistics = statistics_of(normalization_of(backbone))
        assert (statistics.mean, statistics.std) == (source.mean, source.std)
    settings = NetworkSettings(
        backbone=backbone,
        decoder=experiment.decoder_of(backbone),
        heads=experiment.heads_of(backbone),
        classes=19,
        image_size=experiment.training.options.crop,
        drop_path=experiment.training.options.drop_path,
    )
    with torch.device("meta"):  # shapes alone, so that large networks cost nothing
        model = build(settings, pretrained=False)
    if backbone.control_for is None:
        experiment.check_depth(model.encoder.depth, backbone)
        assert set(model.heads) == {str(block) for block in (backbone.heads or experiment.heads).blocks}
