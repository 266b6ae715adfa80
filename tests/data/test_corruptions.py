"""Corruptions keep size and type, grow with their strength, and draw the same noise by the same seed."""

import pytest
import torch
from torch import Tensor

from paumer.data.corruptions import CORRUPTIONS, corrupt


@pytest.fixture(scope="module")
def image() -> Tensor:
    """Stripes of many widths in many colours, (3, 180, 270) uint8."""
    columns = torch.arange(270).float()
    waves = torch.stack([(columns / width).sin() for width in (1.0, 3.0, 9.0)])
    return (127 + 100 * waves[:, None] * torch.linspace(0.3, 1, 180)[None, :, None]).to(torch.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_distance_to_the_image_grows_with_the_strength(name: str, image: Tensor) -> None:
    before = image.clone()
    distances = []
    for strength in CORRUPTIONS[name].strengths:
        corrupted = corrupt(image, name, strength, seed=0)
        assert corrupted.shape == image.shape
        assert corrupted.dtype == torch.uint8
        distances.append((corrupted.float() - image.float()).abs().mean().item())
    assert 1 < distances[0] < distances[1] < distances[2]
    assert torch.equal(image, before)


def test_noise_is_drawn_by_the_seed_alone(image: Tensor) -> None:
    torch.manual_seed(5)
    first = corrupt(image, "noise", 0.1, seed=1)
    state = torch.random.get_rng_state()
    assert torch.equal(corrupt(image, "noise", 0.1, seed=1), first)
    assert not torch.equal(corrupt(image, "noise", 0.1, seed=2), first)
    assert torch.equal(torch.random.get_rng_state(), state)  # the global generator is left alone
