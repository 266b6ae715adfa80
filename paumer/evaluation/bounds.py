"""Stage `bounds`: an upper and a lower bound of the mIoU on a dataset.

The patch ceiling is the score of ground truth that is pooled to the cells a decoder predicts, and upsampled as logits
are. The floor is a linear classifier on the raw pixels of each patch: no encoder at all.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from paumer.config.base import IGNORE
from paumer.config.runs import BoundsSettings
from paumer.data.loading import SegmentationData, evaluation_batches
from paumer.data.manifest import samples
from paumer.evaluation.evaluate import confusion_matrix, mean_iou
from paumer.system.files import require_writable, write_text
from paumer.system.progress import progress

EPOCHS = 2
LEARNING_RATE = 3e-3
PATCHES_PER_STEP = 2048
MIDDLE = 127.5  # of 0 to 255; pixels become numbers from -1 to 1


def bounds(settings: BoundsSettings, manifest: Path, output: Path) -> None:
    """Write both bounds of every backbone to `output`."""
    train = SegmentationData(*samples(manifest, settings.train_split))
    evaluated = SegmentationData(*samples(manifest, settings.eval_split))
    require_writable(output, ".csv")
    measured: dict[tuple[int, int], dict[str, float]] = {}
    rows = []
    for backbone in settings.backbones:
        decoder = backbone.decoder or settings.decoder
        key = (backbone.patch_size, decoder.sub_patch if decoder.name == "linear" else 1)
        if key not in measured:
            measured[key] = {
                "patch ceiling": patch_ceiling(evaluated, *key),
                "linear on raw patches": raw_patch_score(train, evaluated, *key),
            }
        rows += [
            {"experiment": settings.experiment, "backbone": backbone.name, "bound": bound, "miou": value}
            for bound, value in measured[key].items()
        ]
    write_text(output, pd.DataFrame(rows).to_csv(index=False, float_format="%.4f"))


def patch_ceiling(data: SegmentationData, patch: int, cells: int) -> float:
    """The mIoU of pooled ground truth, in points."""
    classes = len(data.dataset.classes)
    return _miou(data, 1, "patch ceiling", lambda _, labels: _pool_and_upsample(labels, classes, patch, cells))


def raw_patch_score(train: SegmentationData, evaluated: SegmentationData, patch: int, cells: int) -> float:
    """The mIoU of a linear classifier on the raw pixels of each patch, trained on the training split, in points."""
    torch.manual_seed(0)
    layer = nn.Conv2d(3, len(train.dataset.classes) * cells**2, kernel_size=patch, stride=patch)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=LEARNING_RATE)
    with progress(title="linear on raw patches", total=EPOCHS * len(train)) as bar:
        for _ in range(EPOCHS):
            for images, labels in evaluation_batches(train, _images_per_step(train, patch)):
                logits = _raw_logits(layer, images, patch, cells)
                loss = functional.cross_entropy(logits, labels.long(), ignore_index=IGNORE)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                bar.update(len(images))
    return _miou(evaluated, 8, "linear on raw patches", lambda images, _: _raw_logits(layer, images, patch, cells))


@torch.inference_mode()
def _miou(data: SegmentationData, batch: int, title: str, logits: Callable[[Tensor, Tensor], Tensor]) -> float:
    """The mIoU of logits, (batch, classes, height, width), that are made of images and labels, in points."""
    classes = len(data.dataset.classes)
    matrix = torch.zeros(classes, classes, dtype=torch.int64)
    with progress(title=title, total=len(data)) as bar:
        for images, labels in evaluation_batches(data, batch):
            matrix += confusion_matrix(labels, logits(images, labels).argmax(dim=1), classes)
            bar.update(len(images))
    return mean_iou(matrix)


def _images_per_step(data: SegmentationData, patch: int) -> int:
    height, width = data[0][1].shape
    return max(1, PATCHES_PER_STEP * patch**2 // (height * width))


def _raw_logits(layer: nn.Conv2d, images: Tensor, patch: int, cells: int) -> Tensor:
    """Logits at pixel resolution, (batch, classes, height, width)."""
    height, width = images.shape[-2:]
    padded = functional.pad((images.float() - MIDDLE) / MIDDLE, (0, -width % patch, 0, -height % patch))
    logits = functional.pixel_shuffle(layer(padded), cells)
    return functional.interpolate(logits, size=padded.shape[-2:], mode="bilinear")[..., :height, :width]


def _pool_and_upsample(labels: Tensor, classes: int, patch: int, cells: int) -> Tensor:
    """Share of each class in every cell (a patch holds cells x cells), upsampled to (batch, classes, height, width)."""
    height, width = labels.shape[-2:]
    padded = functional.pad(labels, (0, -width % patch, 0, -height % patch), value=IGNORE).long()
    one_hot = functional.one_hot(padded.clamp(max=classes), classes + 1)[..., :classes].permute(0, 3, 1, 2).float()
    size = (padded.shape[-2] // patch * cells, padded.shape[-1] // patch * cells)
    shares = functional.adaptive_avg_pool2d(one_hot, size)
    return functional.interpolate(shares, size=padded.shape[-2:], mode="bilinear")[..., :height, :width]
