"""The objective of a training step, and the strategy that each recipe draws for it.

Losses are sums over pixels divided by the weight of the whole step, so that those of any split of its images over
passes and devices add up to those of the whole, as do their gradients. The training procedure is our choice throughout:
that of the paper was not available to us.
"""

import itertools
import random
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from paumer.config.base import IGNORE
from paumer.config.network import Heads
from paumer.config.runs import TrainSettings
from paumer.config.training import Leaving
from paumer.models.heads import AuxiliaryOutput
from paumer.models.segmenter import Segmenter
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.notation import DECIMALS, Location, Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.registry import build_strategy
from paumer.strategies.rejoin import Rejoining
from paumer.strategies.resize import Resize, Scale
from paumer.strategies.token_exit import TokenExit, TokenExitParameters
from paumer.system.errors import PaumerError


class Losses(NamedTuple):
    """Losses of one step, () each: the total, which is minimised, and its two parts."""

    total: Tensor
    final: Tensor
    auxiliary: Tensor


class Objective(nn.Module):
    """The losses as a module around the network, as `DistributedDataParallel` needs it."""

    def __init__(self, model: Segmenter, heads: Heads | None, class_weights: Tensor | None) -> None:
        super().__init__()
        self.model, self.heads, self.class_weights = model, heads, class_weights

    def forward(self, images: Tensor, labels: Tensor, strategy: Strategy, weight: Tensor) -> tuple[Tensor, Tensor]:
        """The total loss, (), and total, final and auxiliary loss without gradient, (3,)."""
        losses = compute_losses(self.model, images, labels, strategy, self.heads, self.class_weights, weight)
        return losses.total, torch.stack(losses).detach()


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
        class_weights: weight of a pixel of each class, (classes,); None: 1.
        weight: `total_pixel_weight` of the step's labels, (); None: the images are the whole step.
    """
    gradient = heads.gradient if heads else 1.0
    patch_logits, predictions = model.train_heads(images, labels, strategy, gradient)
    logits = model.upsample(patch_logits, images, strategy.input_scale)
    if weight is None:
        weight = total_pixel_weight(labels, class_weights)
    weight = weight.clamp(min=1)  # without a labelled pixel the loss is 0, not NaN
    summed = functional.cross_entropy(
        logits.float(), labels.long(), class_weights, ignore_index=IGNORE, reduction="sum"
    )
    final = summed / weight
    if heads is None:
        return Losses(final, final, torch.zeros_like(final))
    each = [auxiliary_loss(output, class_weights) / (weight * output.share) for output in predictions]
    auxiliary = torch.stack(each).mean()
    return Losses(final + heads.weight * auxiliary, final, auxiliary)


def total_pixel_weight(labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """Sum of the class weights of all labelled pixels, (); their number without weights. Does not synchronise a GPU."""
    if class_weights is None:
        return (labels != IGNORE).sum()
    none = class_weights.new_zeros(IGNORE + 1 - len(class_weights))
    return torch.cat([class_weights, none])[labels.long()].sum()


def auxiliary_loss(output: AuxiliaryOutput, class_weights: Tensor | None = None) -> Tensor:
    """Pixel cross-entropy, summed, of a head that gives every pixel of a cell the same prediction.

    Only the pixels of patches that reached the head count, each by its class's weight.
    """
    counts = output.truth if class_weights is None else output.truth * class_weights
    return -(counts * output.logits.float().log_softmax(dim=-1)).sum()


SMALLEST = 10**-DECIMALS


def draw_schedule(settings: Leaving, blocks: tuple[int, ...], generator: random.Random) -> Schedule:
    """Draw the schedule of a training step, from none to heavy, at one or several of `blocks`.

    The total fraction is uniform over its range, and uniform cuts split it over the locations.
    """
    if generator.random() < settings.none:
        return Schedule()
    if settings.schedule is not None:
        return settings.schedule
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
    """Draw the strategy of a training step by the recipe of the run.

    Args:
        settings: the run.
        depth: number of blocks of the network.
        generator: source of randomness.
        done: fraction of the steps that are done.

    Raises:
        PaumerError: there is no head after which patches may leave.
    """
    if (pausing := settings.pausing) is not None:
        rejoin = pausing.rejoin
        if rejoin is not None and rejoin > depth:
            raise PaumerError(f"training.pausing.rejoin: no block {rejoin} in a network of {depth} blocks; lower it")
        drawn = _draw_leaving(pausing, settings, depth if rejoin is None else rejoin - 1, generator, done)
        parameters = drawn if rejoin is None or not drawn.locations else Rejoining(drawn, rejoin)
        return Pause(parameters, pausing.criterion)
    if (exiting := settings.exiting) is not None:
        drawn = _draw_leaving(exiting, settings, depth, generator, done)
        return TokenExit(TokenExitParameters(drawn, exiting.keep))
    if settings.merging is not None and generator.random() >= settings.merging.none:
        return build_strategy(generator.choice(settings.merging.schedules))
    if settings.resizing is not None:
        return Resize(Scale(generator.choice(settings.resizing.scales)))
    return Dense()


def _draw_leaving(
    leaving: Leaving, settings: TrainSettings, last: int, generator: random.Random, done: float
) -> Schedule:
    """Draw where patches leave, before block `last`; nowhere in the first steps.

    Raises:
        PaumerError: there is no head after which they may leave.
    """
    heads = settings.heads.blocks if settings.heads else ()
    blocks = tuple(block for block in heads if block < last)
    if not blocks:
        raise PaumerError(f"heads.blocks: pausing needs a head before block {last}; add one")
    return Schedule() if done < leaving.after else draw_schedule(leaving, blocks, generator)
