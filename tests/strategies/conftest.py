"""Tiny networks of float64 whose heads differ from patch to patch, and a record of what their blocks see."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from paumer.config import Backbone, Decoder, Heads
from paumer.models.build import build
from paumer.models.segmenter import Segmenter
from paumer.stages import NetworkSettings

DEPTH = 6
TINY = {"patch_size": 8, "embed_dim": 32, "depth": DEPTH, "num_heads": 2}
PREFIXES = {
    "class token": Backbone(name="net", architecture="vit_tiny_patch16_224", options=TINY),
    "registers": Backbone(name="net", architecture="vit_small_patch14_reg4_dinov2", options=TINY),
    "no prefix": Backbone(
        name="net", architecture="vit_tiny_patch16_224", options=TINY | {"class_token": False, "global_pool": "avg"}
    ),
}


def build_network(backbone: Backbone) -> Segmenter:
    torch.manual_seed(0)
    settings = NetworkSettings(
        backbone=backbone,
        decoder=Decoder(sub_patch=2),
        heads=Heads(blocks=tuple(range(1, DEPTH + 1))),
        classes=5,
        image_size=(32, 64),
    )
    model = build(settings).double().eval()
    with torch.no_grad():
        for value in model.parameters():
            value += 0.2 * torch.randn_like(value)
    return model.requires_grad_(False)


@pytest.fixture(scope="module", params=PREFIXES.values(), ids=PREFIXES)
def model(request: pytest.FixtureRequest) -> Segmenter:
    """Networks with 1, 5 and 0 tokens before the patches; not to be changed."""
    return build_network(request.param)


@pytest.fixture(scope="module")
def plain() -> Segmenter:
    """A network with a class token; not to be changed."""
    return build_network(PREFIXES["class token"])


@pytest.fixture(scope="module")
def blockless() -> Segmenter:
    """A network whose blocks change nothing."""
    network = build_network(PREFIXES["class token"])
    for number in range(DEPTH):
        network.encoder.blocks[number] = torch.nn.Identity()
    return network


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return torch.randn(3, 3, 32, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def watch() -> Callable:
    """Record (number of block, its input) while a network runs."""

    @contextmanager
    def record(network: Segmenter) -> Iterator[list[tuple[int, torch.Tensor]]]:
        seen: list[tuple[int, torch.Tensor]] = []
        hooks = [
            block.register_forward_pre_hook(lambda _, inputs, number=number: seen.append((number, inputs[0])))
            for number, block in enumerate(network.encoder.blocks, start=1)
        ]
        yield seen
        for hook in hooks:
            hook.remove()

    return record
