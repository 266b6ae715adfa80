"""Stochastic depth that is drawn for all images of a step."""

import pytest
import torch
from timm.layers import DropPath
from torch import nn

from paumer.config.network import NetworkSettings
from paumer.models.build import build
from paumer.training.optimization import DropPaths

RATE = 0.4


@pytest.fixture
def network(settings):
    """Build the network of the tests' runs with stochastic depth."""
    described = settings()

    def make_one():
        torch.manual_seed(0)
        shape = {"backbone": described.backbone, "decoder": described.decoder, "heads": None}
        return build(NetworkSettings(**shape, classes=5, image_size=(32, 64), drop_path=RATE)).train()

    return make_one


def test_whole_batches_drop_what_timm_drops(network) -> None:
    images = torch.randn(6, 3, 32, 64)
    plain, ours = network(), network()
    assert sum(isinstance(module, DropPath) for module in plain.modules()) == 6  # the first block's rate is 0
    paths = DropPaths(ours)
    assert not any(isinstance(module, DropPath) for module in ours.modules())
    for seed in (3, 4):
        torch.manual_seed(seed)
        expected = plain(images)
        paths.draw(6, seed, images.device)
        paths.use_samples(slice(0, 6))
        assert torch.equal(ours(images), expected)


def test_parts_drop_what_the_whole_batch_drops(network) -> None:
    images, model = torch.randn(6, 3, 32, 64), network()
    paths = DropPaths(model)
    paths.draw(6, 3, images.device)
    outputs = []
    for part in (slice(0, 6), slice(0, 1), slice(1, 4), slice(4, 6)):
        paths.use_samples(part)
        outputs.append(model(images[part]))
    torch.testing.assert_close(torch.cat(outputs[1:]), outputs[0])


def test_paths_are_dropped_at_their_rate_and_keep_the_mean() -> None:
    model = nn.Sequential(DropPath(RATE))
    paths = DropPaths(model)
    paths.draw(10_000, 0, torch.device("cpu"))
    paths.use_samples(slice(0, 10_000))
    seen = model(torch.ones(10_000, 1, 1)).flatten()
    assert sorted(set(seen.tolist())) == pytest.approx([0, 1 / (1 - RATE)])
    assert float(seen.mean()) == pytest.approx(1, abs=0.03)
    assert torch.equal(model.eval()(torch.ones(3, 2, 1)), torch.ones(3, 2, 1))
