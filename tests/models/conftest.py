"""Tiny networks, with weights far enough from their start that every part of them matters."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from paumer.config.network import Backbone, Decoder, Heads, NetworkSettings
from paumer.models.build import build
from paumer.models.segmenter import Segmenter

TINY = {"patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 2}


def describe_network(
    architecture: str = "vit_tiny_patch16_224",
    options: dict[str, Any] | None = None,
    decoder: dict[str, Any] | None = None,
    heads: tuple[int, ...] = (2,),
    size: tuple[int, int] = (32, 64),
    **backbone: Any,
) -> NetworkSettings:
    return NetworkSettings(
        backbone=Backbone(name="net", architecture=architecture, options=TINY | (options or {}), **backbone),
        decoder=Decoder(**(decoder or {})),
        heads=Heads(blocks=heads) if heads else None,
        classes=5,
        image_size=size,
    )


@pytest.fixture
def describe() -> Callable[..., NetworkSettings]:
    return describe_network


@pytest.fixture
def make() -> Callable[..., Segmenter]:
    """Build a tiny network of float64 in eval mode."""

    def build_stirred(**description: Any) -> Segmenter:
        torch.manual_seed(0)
        model = build(describe_network(**description)).double().eval()
        with torch.no_grad():
            for value in model.parameters():
                value += 0.2 * torch.randn_like(value)
        return model

    return build_stirred


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 32, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
