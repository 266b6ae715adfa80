"""What a training step minimises: sums over pixels, divided by what holds for the whole step.

So the losses of any split of a step's images over passes and devices add up to those of the whole, and their gradients
too. Ours throughout: the paper's training procedure was not available to us.

Recipes: which strategy a step trains under.

Ours throughout: the paper's training procedure was not available to us.
"""

import itertools
import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from paumer.config import Heads, Pausing
from paumer.config.base import IGNORE
from paumer.config.runs import TrainSettings
from paumer.models.heads import Prediction
from paumer.models.segmenter import Segmenter
from paumer.strategies.compose import build_strategy
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.notation import DECIMALS, Location, Schedule
from paumer.strategies.parameters import Scale
from paumer.strategies.pause import Pause
from paumer.strategies.registry import operating_point
from paumer.strategies.resize import Resize
from paumer.system.errors import PaumerError


@dataclass(frozen=True)
class Losses:
    """The losses of one step: what is minimised, and its two parts."""

    total: Tensor
    final: Tensor
    auxiliary: Tensor


class Objective(nn.Module):
    """The losses as a module around the network, as `DistributedDataParallel` wants it."""

    def __init__(self, model: Segmenter, heads: Heads | None, class_weights: Tensor | None) -> None:
        super().__init__()
        self.model, self.heads, self.class_weights = model, heads, class_weights

    def forward(self, images: Tensor, labels: Tensor, strategy: Strategy, weight: Tensor) -> tuple[Tensor, Tensor]:
        """What is minimised, (), and total, final and auxiliary loss without their gradient, (3,)."""
        losses = compute_losses(self.model, images, labels, strategy, self.heads, self.class_weights, weight)
        return losses.total, torch.stack([losses.total, losses.final, losses.auxiliary]).detach()


def compute_losses(
    model: Segmenter,
    images: Tensor,
    labels: Tensor,
    strategy: Strategy,
    heads: Heads | None,
    class_weights: Tensor | None = None,
    weight: Tensor | None = None,
) -> Losses:
    """Cross-entropy of the final logits, plus the weighted mean over the heads of theirs.

    A head's is summed over the pixels of the patches that reach it, and divided by the weight of all pixels times the
    share of the patches that do, which every part of a step has in common.

    Args:
        model: the network to train.
        images: (batch, 3, height, width).
        labels: class ids, (batch, height, width), 255 where ignored.
        strategy: what happens between the blocks; a head learns from the patches that reach it.
        heads: weight of the auxiliary losses; None for recipes without heads.
        class_weights: how much a pixel of each class counts, (classes,); None: all the same.
        weight: how much all labelled pixels of the step weigh, as `weight_of` says, (); None: the images are all of it.
    """
    gradient = heads.gradient if heads else 1.0
    patch_logits, predictions = model.train_heads(images, labels, strategy, gradient)
    logits = model.upsample(patch_logits, images, strategy.input_scale)
    if weight is None:
        weight = weight_of(labels, class_weights)
    weight = weight.clamp(min=1)  # without a labelled pixel the loss is 0, not NaN
    summed = functional.cross_entropy(
        logits.float(), labels.long(), class_weights, ignore_index=IGNORE, reduction="sum"
    )
    final = summed / weight
    if heads is None:
        return Losses(final, final, torch.zeros_like(final))
    each = [auxiliary_sum(said, class_weights) / (weight * said.share) for said in predictions]
    auxiliary = torch.stack(each).mean()
    return Losses(final + heads.weight * auxiliary, final, auxiliary)


def weight_of(labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """How much all labelled pixels weigh together.

    Their number is never asked for on the host, so a GPU need not be waited for.
    """
    if class_weights is None:
        return (labels != IGNORE).sum()
    none = class_weights.new_zeros(IGNORE + 1 - len(class_weights))
    return torch.cat([class_weights, none])[labels.long()].sum()


def auxiliary_sum(said: Prediction, class_weights: Tensor | None = None) -> Tensor:
    """Pixel cross-entropy, summed, of a head that gives every pixel of a cell the same prediction.

    Only the pixels of patches that reached the head count, each by its class's weight.
    """
    counts = said.truth if class_weights is None else said.truth * class_weights
    return -(counts * said.logits.float().log_softmax(dim=-1)).sum()


SMALLEST = 10**-DECIMALS


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
