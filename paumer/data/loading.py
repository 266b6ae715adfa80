"""From samples to batches.

Every random draw of training is a pure function of the seed and the step, so a resumed run sees what an
uninterrupted one sees, with any number of worker processes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from paumer.data.cache import read_cached
from paumer.data.datasets import Dataset, Sample
from paumer.errors import PaumerError, summary


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
        image, label = read_cached(self.samples[index], self.dataset, self.cache)
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1).contiguous()
        classes = torch.from_numpy(label)
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
    """Say in one line that a process that loads images was killed; torch says so anywhere within the block.

    Raises:
        PaumerError: one was.
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


def evaluation_batches(data: SegmentationData, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches in the order of the split; images of another size than their neighbours start a new batch."""
    images: list[Tensor] = []
    labels: list[Tensor] = []
    for index in range(len(data)):
        image, label = data[index]
        if images and (len(images) == batch or image.shape != images[0].shape):
            yield torch.stack(images), torch.stack(labels)
            images, labels = [], []
        images.append(image)
        labels.append(label)
    if images:
        yield torch.stack(images), torch.stack(labels)
