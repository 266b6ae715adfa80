"""A few drawn scenes, and a tiny network for their classes."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from paumer.config.network import Backbone, Data, Decoder, Heads, NetworkSettings
from paumer.data.loading import SegmentationData
from paumer.data.manifest import samples
from paumer.data.preparation import prepare
from paumer.models.build import build, save_weights
from paumer.models.segmenter import Segmenter
from paumer.system.files import write_json

OPTIONS = {"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "data.json"
    prepare(Data(scenes={"train_images": 3, "val_images": 5, "height": 48, "width": 96}), path, 1)
    return path


@pytest.fixture(scope="session")
def data(manifest: Path) -> SegmentationData:
    return SegmentationData(*samples(manifest, "val"))


@pytest.fixture(scope="session")
def network() -> NetworkSettings:
    return NetworkSettings(
        backbone=Backbone(name="net", architecture="vit_tiny_patch16_224", options=OPTIONS),
        decoder=Decoder(),
        heads=Heads(blocks=(2, 3)),
        classes=19,
        image_size=(32, 64),
    )


@pytest.fixture(scope="session")
def model(network: NetworkSettings) -> Segmenter:
    """Of float64 and in eval mode; not to be changed."""
    torch.manual_seed(0)
    built = build(network).double().eval().requires_grad_(False)
    for value in built.parameters():
        value += 0.2 * torch.randn_like(value)
    return built


@pytest.fixture
def run_of(model: Segmenter, network: NetworkSettings, tmp_path: Path) -> Callable[..., Path]:
    """Save the network as a finished run of a recipe, without its heads where it has none, or as a control."""

    def save(recipe: str, heads: bool = True, **backbone: Any) -> Path:
        trained, changes = copy.deepcopy(model).float(), {"backbone": network.backbone.model_copy(update=backbone)}
        if not heads:
            trained.heads = torch.nn.ModuleDict()
        described = network.model_copy(update=changes if heads else changes | {"heads": None})
        save_weights(trained, tmp_path / "model.safetensors")
        content = {"recipe": recipe, "seed": 3, "backbone": "net", "network": described.model_dump(mode="json")}
        write_json(tmp_path / "run.json", content)
        return tmp_path

    return save
