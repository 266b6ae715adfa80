"""Tiny networks of float64 whose heads differ from patch to patch, and a record of what their blocks see."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from tiers import first, named

from paumer.config.base import IGNORE
from paumer.config.network import Backbone, Decoder
from paumer.deployment.extending.conformance import CELLS, CLASSES, random_images
from paumer.deployment.extending.conformance import random_network as build_network
from paumer.models.segmenter import Segmenter

DEPTH = 6
DEEP = 9  # as deep as the examples of the registry need
TINY = {"patch_size": 8, "embed_dim": 32, "depth": DEPTH, "num_heads": 2}
MASKS = Decoder(name="mask_transformer")
PREFIXES = {
    "class token": Backbone(name="net", architecture="vit_tiny_patch16_224", options=TINY),
    "registers": Backbone(name="net", architecture="vit_small_patch14_reg4_dinov2", options=TINY),
    "no prefix": Backbone(
        name="net", architecture="vit_tiny_patch16_224", options=TINY | {"class_token": False, "global_pool": "avg"}
    ),
}
ROTARY = Backbone(name="net", architecture="vit_small_patch16_dinov3", options=TINY)
DISTILLED = Backbone(name="net", architecture="deit_tiny_distilled_patch16_224", options=TINY)


def deepened(backbone: Backbone) -> Backbone:
    return backbone.model_copy(update={"options": backbone.options | {"depth": DEEP}})


KINDS = {
    "class token, linear": (deepened(PREFIXES["class token"]), CELLS),
    "registers, masks": (deepened(PREFIXES["registers"]), MASKS),
    "no prefix, masks": (deepened(PREFIXES["no prefix"]), MASKS),
    "distilled, linear": (deepened(DISTILLED), CELLS),
    "rotary, linear": (deepened(ROTARY), CELLS),
}


@pytest.fixture(scope="module", params=named(PREFIXES, "registers"))
def model(request: pytest.FixtureRequest) -> Segmenter:
    """Networks with 1, 5 and 0 tokens before the patches; not to be changed."""
    return build_network(PREFIXES[request.param])


@pytest.fixture(scope="module")
def plain() -> Segmenter:
    """A network with a class token; not to be changed."""
    return build_network(PREFIXES["class token"])


@pytest.fixture(scope="module")
def masked() -> Segmenter:
    """A network whose decoder is a mask transformer; not to be changed."""
    return build_network(PREFIXES["class token"], MASKS)


@pytest.fixture(scope="module")
def deep() -> Segmenter:
    """A network in which every example of the registry runs; not to be changed."""
    return build_network(deepened(PREFIXES["class token"]))


@pytest.fixture(scope="module", params=[PREFIXES["class token"], ROTARY], ids=["class token", "rotary"])
def deep_or_rotary(request: pytest.FixtureRequest) -> Segmenter:
    """The same, and one that turns queries and keys by the positions of their patches; not to be changed."""
    return build_network(deepened(request.param))


@pytest.fixture(scope="module")
def rotary() -> Segmenter:
    """A network that turns queries and keys by the positions of their patches; not to be changed."""
    return build_network(ROTARY)


@pytest.fixture(scope="module", params=first(["class token", "no prefix"]))
def adapting(request: pytest.FixtureRequest) -> Segmenter:
    """Networks with adapters that see their neighbours; not to be changed."""
    return build_network(deepened(PREFIXES[request.param]), adapter=8, context=3)


@pytest.fixture(scope="module")
def sharing() -> Segmenter:
    """A network whose heads predict by its decoder; not to be changed."""
    return build_network(PREFIXES["class token"], adapter=8, context=3, classifier="decoder")


@pytest.fixture(scope="session")
def deep_kinds() -> list[Segmenter]:
    """Networks of several kinds in which every example of the registry runs; not to be changed."""
    return [build_network(*kind) for kind in KINDS.values()]


@pytest.fixture(params=first(range(len(KINDS))), ids=KINDS)
def deep_kind(request: pytest.FixtureRequest, deep_kinds: list[Segmenter]) -> Segmenter:
    """Each of them."""
    return deep_kinds[request.param]


@pytest.fixture(scope="module", params=named(PREFIXES, "registers"))
def blockless(request: pytest.FixtureRequest) -> Segmenter:
    """Networks whose blocks change nothing, with 1, 5 and 0 tokens before the patches."""
    network = build_network(PREFIXES[request.param])
    for number in range(DEPTH):
        network.encoder.blocks[number] = torch.nn.Identity()
    return network


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return random_images()


@pytest.fixture(scope="session")
def labels() -> torch.Tensor:
    """Class ids of the images, one pixel in ten ignored."""
    generator = torch.Generator().manual_seed(2)
    drawn = torch.randint(CLASSES, (3, 32, 64), generator=generator)
    return drawn.masked_fill(torch.rand(drawn.shape, generator=generator) < 0.1, IGNORE).to(torch.uint8)


@pytest.fixture
def watch() -> Callable:
    """Record (number of block, its input) while a network runs."""

    @contextmanager
    def record(network: Segmenter) -> Iterator[list[tuple[int, torch.Tensor]]]:
        seen: list[tuple[int, torch.Tensor]] = []
        hooks = [
            block.norm1.register_forward_pre_hook(lambda _, inputs, number=number: seen.append((number, inputs[0])))
            for number, block in enumerate(network.encoder.blocks, start=1)
        ]
        yield seen
        for hook in hooks:
            hook.remove()

    return record
