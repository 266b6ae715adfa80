"""Augmentation of training crops, with torchvision's v2 transforms."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from paumer.config import Augmentation, Size
from paumer.data.datasets import IGNORE
from paumer.data.transforms import scaled_size, short_side_factor


class ClassSafeCrop(v2.Transform):
    """Crop at random, anew while one class fills more than `largest_class` of the crop (10 tries at most)."""

    def __init__(self, size: Size, largest_class: float) -> None:
        super().__init__()
        self.size, self.largest_class = size, largest_class

    def forward(self, image: Image, mask: Mask) -> tuple[Image, Mask]:
        """Crop both; smaller images are padded on the right and bottom with ignored pixels."""
        height, width = self.size
        missing = [0, 0, max(0, width - mask.shape[-1]), max(0, height - mask.shape[-2])]
        if any(missing):
            image, mask = v2.functional.pad(image, missing), v2.functional.pad(mask, missing, fill=IGNORE)
        for _ in range(10):
            top = int(torch.randint(mask.shape[-2] - height + 1, ()))
            left = int(torch.randint(mask.shape[-1] - width + 1, ()))
            if self._share(mask[..., top : top + height, left : left + width]) <= self.largest_class:
                break
        return (
            v2.functional.crop(image, top, left, height, width),
            v2.functional.crop(mask, top, left, height, width),
        )

    @staticmethod
    def _share(crop: Tensor) -> float:
        counts = torch.bincount(crop.reshape(-1).to(torch.int64), minlength=IGNORE + 1)[:IGNORE]
        return float(counts.max() / counts.sum().clamp(min=1))


def training_transform(settings: Augmentation, crop: Size) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Random resize, class-safe crop, flip and photometric distortion.

    Args:
        settings: how strong.
        crop: height and width of what comes out.

    Returns:
        A function of image (3, height, width) and class ids (height, width), both uint8.
    """
    strength = settings.colour
    steps = [
        _RandomResize(settings.scale, settings.short_side),
        ClassSafeCrop(crop, settings.largest_class),
        v2.RandomHorizontalFlip(settings.flip),
        v2.RandomPhotometricDistort(
            brightness=(1 - 0.25 * strength, 1 + 0.25 * strength),
            contrast=(1 - 0.5 * strength, 1 + 0.5 * strength),
            saturation=(1 - 0.5 * strength, 1 + 0.5 * strength),
            hue=(-0.1 * strength, 0.1 * strength),
            p=0.5 if strength else 0.0,
        ),
    ]

    def transform(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        pair = (Image(image), Mask(mask))
        for step in steps:
            pair = step(*pair)
        return pair[0].as_subclass(Tensor), pair[1].as_subclass(Tensor)

    return transform


class _RandomResize(v2.Transform):
    """Resize image (bilinear) and mask (nearest) by one random factor, from its own size or from a short side."""

    def __init__(self, scale: tuple[float, float], short_side: int | None) -> None:
        super().__init__()
        self.scale, self.short_side = scale, short_side

    def forward(self, image: Image, mask: Mask) -> tuple[Image, Mask]:
        low, high = self.scale
        factor = low + (high - low) * float(torch.rand(()))
        if self.short_side is not None:
            factor *= short_side_factor(image.shape[-2:], self.short_side)
        size = list(scaled_size(image.shape[-2:], factor))
        return v2.functional.resize(image, size, antialias=True), v2.functional.resize(mask, size)
