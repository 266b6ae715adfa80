"""Recipes: which strategy a step trains under, and what it minimises.

Ours throughout: the paper's training procedure was not available to us.
"""

import itertools
import random
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from paumer.config import Heads, Pausing
from paumer.data.datasets import IGNORE
from paumer.errors import PaumerError
from paumer.models.segmenter import Segmenter
from paumer.models.teaching import Prediction, Teaching
from paumer.parameters import Scale
from paumer.registry import operating_point
from paumer.schedule import DECIMALS, Location, Schedule
from paumer.stages import TrainSettings
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.pause import Pause
from paumer.strategies.points import build_strategy
from paumer.strategies.resize import Resize

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


def draw_strategy(settings: TrainSettings, depth: int, generator: random.Random, done: float = 1.0) -> Strategy:
    """Draw what a training step runs under, as its recipe says.

    Args:
        settings: the run.
        depth: blocks of the network.
        generator: where chance comes from.
        done: share of the steps that are done.

    Raises:
        PaumerError: recipe `paumer` has no head to pause at.
    """
    if settings.pausing is not None and settings.heads is not None:
        blocks = tuple(block for block in settings.heads.blocks if block < depth)
        if not blocks:
            raise PaumerError(f"heads.blocks: pausing needs a head before block {depth}, the last; add one")
        early = done < settings.pausing.after
        return Pause(Schedule() if early else draw_schedule(settings.pausing, blocks, generator))
    if settings.merging is not None and generator.random() >= settings.merging.none:
        text = generator.choice(settings.merging.schedules)
        return build_strategy(operating_point("local-merge", "", text))
    if settings.resizing is not None:
        return Resize(Scale(generator.choice(settings.resizing.scales)))
    return Dense()


def compute_losses(
    model: Segmenter,
    images: Tensor,
    labels: Tensor,
    strategy: Strategy,
    heads: Heads | None,
    class_weights: Tensor | None = None,
    teaching: Teaching | None = None,
) -> Losses:
    """Cross-entropy of the final logits, plus the weighted mean over the heads of theirs.

    Args:
        model: the network to train.
        images: normalised, (batch, 3, height, width).
        labels: class ids, (batch, height, width), 255 where ignored.
        strategy: what happens between the blocks; a head learns from the patches that reach it.
        heads: weight of the auxiliary losses; None for recipes without heads.
        class_weights: how much a pixel of each class counts, (classes,); None: all the same.
        teaching: what another network teaches; its classes weigh as they are, without `class_weights`.
    """
    gradient = heads.gradient if heads else 1.0
    patch_logits, predictions = model.train_heads(images, labels, strategy, gradient, teaching)
    logits = model.upsample(patch_logits, images, strategy.input_scale)
    summed = functional.cross_entropy(
        logits.float(), labels.long(), class_weights, ignore_index=IGNORE, reduction="sum"
    )
    final = summed / weight_of(labels, class_weights).clamp(min=1)  # without a labelled pixel the loss is 0, not NaN
    if teaching is not None:
        taught = -(teaching.probabilities * patch_logits.float().log_softmax(dim=1)).sum(dim=1).mean()
        final = (1 - teaching.share) * final + teaching.share * taught
    if heads is None:
        return Losses(final, final, torch.zeros_like(final))
    auxiliary = torch.stack([auxiliary_loss(said, class_weights) for said in predictions]).mean()
    return Losses(final + heads.weight * auxiliary, final, auxiliary)


@torch.no_grad()
def teach(teacher: Segmenter, images: Tensor, share: float) -> Teaching:
    """What a network that runs densely says of images; it gives `share` of the targets."""
    return Teaching(teacher.patch_logits(images).float().softmax(dim=1), share)


def weight_of(labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """How much all labelled pixels weigh together.

    Their number is never asked for on the host, so a GPU need not be waited for.
    """
    if class_weights is None:
        return (labels != IGNORE).sum()
    none = class_weights.new_zeros(IGNORE + 1 - len(class_weights))
    return torch.cat([class_weights, none])[labels.long()].sum()


def auxiliary_loss(said: Prediction, class_weights: Tensor | None = None) -> Tensor:
    """Pixel cross-entropy of a head that gives every pixel of a cell the same prediction.

    Only the pixels of patches that reached the head count, each by its class's weight.
    """
    counts = said.truth if class_weights is None else said.truth * class_weights
    return -(counts * said.logits.float().log_softmax(dim=-1)).sum() / counts.sum().clamp(min=1)
