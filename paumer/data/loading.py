"""From samples to batches, and augmentation of training crops with torchvision's v2 transforms.

Every random draw of training is a function of seed and step, so a resumed run gets the same data as an uninterrupted
one, with any number of worker processes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms import v2
from torchvision.tv_tensors import Image, Mask

from paumer.config.base import IGNORE, Size, scaled_size, short_side_factor
from paumer.config.training import Augmentation
from paumer.data.datasets import Dataset, Sample
from paumer.data.images import read_planes
from paumer.system.errors import PaumerError, summary

Item = TypeVar("Item")


class SegmentationData(TorchDataset[tuple[Tensor, Tensor]]):
    """Decoded samples: image (3, height, width) uint8 and class ids (height, width) uint8.

    With a transform the key of an item is `(index, draw)`, where `draw` seeds the augmentation. With a cache, a folder,
    every image is decoded once.
    """

    def __init__(
        self,
        dataset: Dataset,
        samples: Sequence[Sample],
        transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        cache: Path | None = None,
    ) -> None:
        self.dataset, self.samples, self.transform, self.cache = dataset, samples, transform, cache

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
        index, draw = key if isinstance(key, tuple) else (key, 0)
        planes = torch.from_numpy(read_planes(self.samples[index], self.dataset, self.cache))
        pixels, classes = planes[:3], planes[3]
        if self.transform is not None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(draw)
                pixels, classes = self.transform(pixels, classes)
        return pixels, classes


class TrainingBatches:
    """Batches of `(index, draw)` keys from step `start` to `stop`; each epoch is a new shuffle.

    With a `share`, that part of every batch: the keys of all shares are those of the whole.
    """

    def __init__(self, samples: int, batch: int, seed: int, start: int, stop: int, share: slice = slice(None)) -> None:
        self.samples, self.batch, self.seed, self.start, self.stop = samples, batch, seed, start, stop
        self.share = share

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, order = -1, torch.empty(0)
        for step in range(self.start, self.stop):
            keys = []
            for position in range(step * self.batch, (step + 1) * self.batch):
                if position // self.samples != epoch:
                    epoch = position // self.samples
                    generator = torch.Generator().manual_seed(draw_seed(self.seed, epoch))
                    order = torch.randperm(self.samples, generator=generator)
                keys.append((int(order[position % self.samples]), draw_seed(self.seed, position)))
            yield keys[self.share]


def draw_seed(seed: int, number: int) -> int:
    """A seed for draw `number` of a run with `seed`, below 2**62."""
    return (seed * 1_000_003 + number) * 0x9E3779B97F4A7C15 % 2**62


def training_loader(
    data: SegmentationData, batches: TrainingBatches, workers: int
) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches for training: images (batch, 3, height, width) and class ids (batch, height, width), uint8."""
    return DataLoader(
        data,
        batch_sampler=batches,
        num_workers=workers,
        persistent_workers=workers > 0,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )


@contextmanager
def loader_errors(remedy: str) -> Iterator[None]:
    """Report a killed DataLoader worker in one line; torch raises that anywhere within the block.

    Raises:
        PaumerError: a worker was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise PaumerError(
            f"training.options.workers: a process that loads images was lost, often for lack of memory "
            f"({summary(error).split('. ')[0].rstrip('.')}); use fewer workers, or {remedy}"
        ) from None


def evenly(total: int, count: int) -> list[int]:
    """Indices of `count` of `total` items at equal distances, beginning with the first; all where there are fewer."""
    count = min(count, total)
    return [index * total // count for index in range(count)]


def same_shape_batches(
    items: Iterable[Item], shape_of: Callable[[Item], Sequence[int]], at_most: Callable[[Sequence[int]], int]
) -> Iterator[list[Item]]:
    """Group neighbours of the same shape, at most `at_most(shape)` of them, in their order."""
    batch: list[Item] = []
    for item in items:
        shape = shape_of(item)
        if batch and (len(batch) >= at_most(shape) or shape != shape_of(batch[0])):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def evaluation_batches(
    data: SegmentationData | Sequence[tuple[Tensor, Tensor]], batch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of images and labels in their order; images of another size than their neighbours start a new batch."""
    samples = (data[index] for index in range(len(data)))
    for several in same_shape_batches(samples, lambda sample: sample[0].shape, lambda shape: batch):
        yield torch.stack([image for image, _ in several]), torch.stack([labels for _, labels in several])


class RandomCrop(v2.Transform):
    """Random crop, drawn up to 10 times while one class fills more than `cat_max_ratio` of its labelled pixels.

    As in mmsegmentation, by the same name.
    """

    def __init__(self, size: Size, cat_max_ratio: float) -> None:
        super().__init__()
        self.size, self.cat_max_ratio = size, cat_max_ratio

    def forward(self, image: Image, mask: Mask) -> tuple[Image, Mask]:
        """Crop both; smaller images are padded on the right and bottom with ignored pixels."""
        height, width = self.size
        missing = [0, 0, max(0, width - mask.shape[-1]), max(0, height - mask.shape[-2])]
        if any(missing):
            image, mask = v2.functional.pad(image, missing), v2.functional.pad(mask, missing, fill=IGNORE)
        for _ in range(10):
            top = int(torch.randint(mask.shape[-2] - height + 1, ()))
            left = int(torch.randint(mask.shape[-1] - width + 1, ()))
            if self._share(mask[..., top : top + height, left : left + width]) <= self.cat_max_ratio:
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
    """Random resize, crop, flip and photometric distortion.

    Args:
        settings: how strong.
        crop: height and width of what comes out.

    Returns:
        A function of image (3, height, width) and class ids (height, width), both uint8.
    """
    strength = settings.colour
    steps = [
        _RandomResize(settings.scale, settings.short_side),
        RandomCrop(crop, settings.largest_class),
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
