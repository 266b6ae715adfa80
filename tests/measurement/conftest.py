"""Networks to measure, and a few drawn scenes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from paumer.config.network import Backbone, Data, Decoder, Heads, NetworkSettings
from paumer.data.preparation import prepare
from paumer.models.build import build
from paumer.models.segmenter import Segmenter

TINY = {"patch_size": 8, "embed_dim": 32, "depth": 6, "num_heads": 2}
LINEAR = Decoder()


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "data.json"
    prepare(Data(scenes={"train_images": 1, "val_images": 2, "height": 32, "width": 64}), path, 1)
    return path


@pytest.fixture(scope="session")
def make() -> Callable[..., Segmenter]:
    """Build a network in eval mode, a tiny one unless told otherwise."""

    def build_network(
        architecture: str = "vit_tiny_patch16_224",
        options: dict[str, Any] = TINY,
        decoder: Decoder = LINEAR,
        heads: tuple[int, ...] = (2, 4),
        classes: int = 19,
        size: tuple[int, int] = (32, 64),
    ) -> Segmenter:
        torch.manual_seed(0)
        backbone = Backbone(name="net", architecture=architecture, options=options)
        described = NetworkSettings(
            backbone=backbone,
            decoder=decoder,
            heads=Heads(blocks=heads) if heads else None,
            classes=classes,
            image_size=size,
        )
        return build(described).eval().requires_grad_(False)

    return build_network
