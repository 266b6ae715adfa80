"""Augmentation of training crops, and normalisation, with torchvision's v2 transforms."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from paumer.config import STATISTICS, Augmentation, Normalization, Size, Statistics
from paumer.data.datasets import IGNORE

LONGEST = 4  # longer over shorter side, where images are resized to a short side


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


def training_transform(settings: Augmentation, crop: Size) -> v2.Transform:
    """Random resize, class-safe crop, flip and photometric distortion, for `(image, mask)` of uint8."""
    strength = settings.colour
    return _Sequence(
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
    )


class _Sequence(v2.Transform):
    """Apply transforms of `(image, mask)` one after the other."""

    def __init__(self, *steps: v2.Transform) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, image: Image, mask: Mask) -> tuple[Image, Mask]:
        for step in self.steps:
            image, mask = step(image, mask)
        return image, mask


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


def short_side_factor(size: Sequence[int], short_side: int) -> float:
    """By what to resize an image (height, width) so that its shorter side is `short_side`.

    The longer side gets four times as much at most, as for ADE20K in mmsegmentation: panoramas stay small.
    """
    return min(short_side / min(size), LONGEST * short_side / max(size))


def scaled_size(size: Sequence[int], factor: float) -> Size:
    """Height and width times a factor, in whole pixels, at least one."""
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


def statistics_of(normalization: Normalization) -> Statistics:
    """Mean and standard deviation by which images are normalised; `auto`, of a network from scratch, is ImageNet's."""
    if isinstance(normalization, Statistics):
        return normalization
    return STATISTICS["imagenet" if normalization == "auto" else normalization]


def normalize(images: Tensor, normalization: Normalization) -> Tensor:
    """Turn images of uint8, (..., 3, height, width), into float32 by the backbone's statistics."""
    statistics = statistics_of(normalization)
    scale = torch.tensor(statistics.std, device=images.device).view(3, 1, 1) * 255
    shift = torch.tensor(statistics.mean, device=images.device).view(3, 1, 1) * 255
    return (images.float() - shift) / scale
