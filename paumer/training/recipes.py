"""Recipes: which schedule a step trains under, and what it minimises.

Ours throughout: the paper's training procedure was not available to us.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from paumer.config import Heads, Pausing
from paumer.data.datasets import IGNORE
from paumer.models.segmenter import Segmenter
from paumer.schedule import DECIMALS, Location, Schedule
from paumer.strategies.contract import Prediction
from paumer.strategies.pause import Pause

SMALLEST = 10**-DECIMALS


@dataclass(frozen=True)
class Losses:
    """The losses of one step: what is minimised, and its two parts."""

    total: Tensor
    final: Tensor
    auxiliary: Tensor


def draw_schedule(settings: Pausing, blocks: tuple[int, ...], generator: random.Random) -> Schedule:
    """Draw the schedule of a training step, from none to heavy, at one or several of `blocks`.

    The total fraction is uniform over its range, and uniform cuts split it over the locations.
    """
    if generator.random() < settings.none:
        return Schedule()
    count = min(generator.randint(1, settings.locations), len(blocks))
    chosen = sorted(generator.sample(blocks, count))
    total = generator.uniform(*settings.fraction)
    cuts = [0.0, *sorted(generator.uniform(0, total) for _ in range(count - 1)), total]
    fractions = [round(high - low, DECIMALS) for low, high in itertools.pairwise(cuts)]
    return Schedule(
        tuple(
            Location(block, fraction) for block, fraction in zip(chosen, fractions, strict=True) if fraction >= SMALLEST
        )
    )


def compute_losses(
    model: Segmenter,
    images: Tensor,
    labels: Tensor,
    schedule: Schedule,
    heads: Heads | None,
    class_weights: Tensor | None = None,
) -> Losses:
    """Cross-entropy of the final logits, plus the weighted mean over the heads of theirs.

    Args:
        model: the network to train.
        images: normalised, (batch, 3, height, width).
        labels: class ids, (batch, height, width), 255 where ignored.
        schedule: where patches pause; a head learns from the patches that reach it.
        heads: weight of the auxiliary losses; None for recipes without heads.
        class_weights: how much a pixel of each class counts, (classes,); None: all the same.
    """
    tokens, state = model.encode(images, Pause(schedule), read_heads=heads is not None)
    patches = Pause(schedule).restore(tokens, state)
    logits = model.upsample(model.decode(patches, state.grid), images)
    summed = functional.cross_entropy(
        logits.float(), labels.long(), class_weights, ignore_index=IGNORE, reduction="sum"
    )
    valid = labels != IGNORE
    total = valid.sum() if class_weights is None else class_weights[labels[valid].long()].sum()
    final = summed / total.clamp(min=1)  # without a labelled pixel the loss is 0, not NaN
    if heads is None:
        return Losses(final, final, torch.zeros_like(final))
    counts = class_counts(labels, state.grid, model.encoder.patch_size, next(iter(state.predictions.values())))
    if class_weights is not None:
        counts = counts * class_weights
    auxiliary = torch.stack([auxiliary_loss(said, counts) for said in state.predictions.values()]).mean()
    return Losses(final + heads.weight * auxiliary, final, auxiliary)


def balance_classes(frequencies: Sequence[float], power: float) -> Tensor | None:
    """Weights frequency ** -power, scaled so that the mean over the pixels is 1; None where all are the same.

    A class that no pixel has gets the weight of the rarest one that occurs.
    """
    if power == 0:
        return None
    shares = torch.tensor(frequencies, dtype=torch.float32)
    weights = shares.clamp(min=float(shares[shares > 0].min())) ** -power
    return weights / (weights * shares).sum()


def class_counts(labels: Tensor, grid: tuple[int, int], patch_size: int, like: Prediction) -> Tensor:
    """How many pixels of each class every cell holds, (batch, patches, cells, classes)."""
    cells, classes = like.logits.shape[-2:]
    side = int(cells**0.5)
    height, width = labels.shape[-2:]
    missing = (0, grid[1] * patch_size - width, 0, grid[0] * patch_size - height)
    labels = functional.pad(labels, missing, value=IGNORE).long()
    rows = torch.arange(labels.shape[-2], device=labels.device) * side // patch_size
    columns = torch.arange(labels.shape[-1], device=labels.device) * side // patch_size
    patch = (rows[:, None] // side) * grid[1] + columns // side
    cell = patch * cells + (rows[:, None] % side) * side + columns % side
    image = torch.arange(len(labels), device=labels.device)[:, None, None] * (grid[0] * grid[1] * cells)
    valid = labels != IGNORE
    slots = ((image + cell) * classes + labels)[valid]
    counts = torch.bincount(slots, minlength=len(labels) * grid[0] * grid[1] * cells * classes)
    return counts.view(len(labels), grid[0] * grid[1], cells, classes).float()


def auxiliary_loss(said: Prediction, counts: Tensor) -> Tensor:
    """Pixel cross-entropy of a head that gives every pixel of a cell the same prediction.

    Only the pixels of patches that reached the head count.
    """
    if said.positions is not None:
        wide = said.positions[..., None, None].expand(-1, -1, *counts.shape[-2:])
        counts = counts.gather(1, wide)
    return -(counts * said.logits.float().log_softmax(dim=-1)).sum() / counts.sum().clamp(min=1)
