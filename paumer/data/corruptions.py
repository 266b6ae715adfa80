"""Corrupted images: noise, blur, contrast, brightness and JPEG, each at three strengths.

Kinds follow Hendrycks and Dietterich (ICLR 2019); they are applied by torchvision, and strengths are our choice.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from paumer.data.loading import SegmentationData

SHORT_SIDE = 360  # pixels of an image's short side that blur is stated for; it grows with the image
RADIUS = 3  # of the kernel of a blur, in standard deviations


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        name: in tables.
        unit: what its strengths are.
        strengths: from weak to strong.
        apply: corrupts an image (3, height, width) uint8 by a strength.
    """

    name: str
    unit: str
    strengths: tuple[float, float, float]
    apply: Callable[[Tensor, float], Tensor]


def _noise(image: Tensor, strength: float) -> Tensor:
    noisy = image + 255 * strength * torch.randn(image.shape)
    return noisy.round().clamp(0, 255).to(torch.uint8)


def _blur(image: Tensor, strength: float) -> Tensor:
    sigma = strength * min(image.shape[-2:]) / SHORT_SIDE
    return functional.gaussian_blur(image, [2 * max(1, round(RADIUS * sigma)) + 1] * 2, [sigma] * 2)


def _jpeg(image: Tensor, strength: float) -> Tensor:
    return functional.jpeg(image, round(strength))


CORRUPTIONS = {
    corruption.name: corruption
    for corruption in (
        Corruption("noise", "standard deviation, as a share of white", (0.04, 0.08, 0.16), _noise),
        Corruption("blur", f"standard deviation in pixels at a short side of {SHORT_SIDE}", (1, 2, 4), _blur),
        Corruption("contrast", "factor", (0.6, 0.4, 0.25), functional.adjust_contrast),
        Corruption("brightness", "factor", (0.6, 0.4, 0.25), functional.adjust_brightness),
        Corruption("jpeg", "quality", (40, 20, 10), _jpeg),
    )
}


def corrupt(image: Tensor, name: str, strength: float, seed: int) -> Tensor:
    """A corrupted copy of an image.

    Args:
        image: (3, height, width) uint8.
        name: a kind of `CORRUPTIONS`.
        strength: one of its strengths.
        seed: what noise is drawn by; equal seeds draw the same.

    Returns:
        An image of the same size and type.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CORRUPTIONS[name].apply(image, strength)


class CorruptedData(SegmentationData):
    """A split whose images are corrupted; labels stay as they are. Noise is drawn by the place of an image."""

    def __init__(self, data: SegmentationData, name: str, strength: float) -> None:
        """Corrupt a split.

        Args:
            data: the split.
            name: a kind of `CORRUPTIONS`.
            strength: one of its strengths.
        """
        super().__init__(data.dataset, data.samples, cache=data.cache)
        self.name, self.strength = name, strength

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
        image, label = super().__getitem__(key)
        return corrupt(image, self.name, self.strength, key if isinstance(key, int) else key[0]), label
