"""Recipes: which strategy a step trains under.

Ours throughout: the paper's training procedure was not available to us.
"""

import itertools
import random

from paumer.config import Pausing
from paumer.errors import PaumerError
from paumer.parameters import Scale
from paumer.registry import operating_point
from paumer.schedule import DECIMALS, Location, Schedule
from paumer.stages import TrainSettings
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.pause import Pause
from paumer.strategies.points import build_strategy
from paumer.strategies.resize import Resize

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
