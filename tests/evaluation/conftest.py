"""A few drawn scenes, and a tiny network for their classes."""

from pathlib import Path

import pytest
import torch

from paumer.config import Backbone, Data, Decoder, Heads
from paumer.data.loading import SegmentationData
from paumer.data.preparation import prepare, samples
from paumer.models.build import build
from paumer.models.segmenter import Segmenter
from paumer.stages import NetworkSettings

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
        heads=Heads(blocks=(2,)),
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
