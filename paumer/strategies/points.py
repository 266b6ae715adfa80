"""The operating points of a sweep: what a trained network is evaluated and measured at."""

from collections.abc import Collection, Sequence

from paumer.config import Sweep
from paumer.errors import PaumerError
from paumer.schedule import Schedule
from paumer.strategies.contract import Dense, Strategy
from paumer.strategies.early_exit import EarlyExit
from paumer.strategies.pause import Pause


def operating_points(recipe: str, sweep: Sweep) -> list[Strategy]:
    """The strategies that a network of this recipe can run: exits need its heads, pausing needs its training."""
    points: list[Strategy] = [Dense()]
    if recipe in ("multi-exit", "paumer"):
        points += [EarlyExit(block) for block in sweep.exits]
    if recipe == "paumer":
        points += [Pause(Schedule.parse(text), criterion) for criterion in sweep.criteria for text in sweep.schedules]
    return points


def cost_points(sweep: Sweep) -> list[Strategy]:
    """Dense, every exit, and every schedule under the first criterion: what is paused does not change the cost."""
    criterion = next((name for name in sweep.criteria if name != "random"), "entropy")
    points: list[Strategy] = [Dense(), *(EarlyExit(block) for block in sweep.exits)]
    return points + [Pause(Schedule.parse(text), criterion) for text in sweep.schedules]


def check_points(points: Sequence[Strategy], depth: int, heads: Collection[str]) -> None:
    """Refuse operating points that a network cannot run.

    Args:
        points: the operating points.
        depth: blocks of the network.
        heads: the blocks (as text) that its auxiliary heads read.

    Raises:
        PaumerError: a schedule pauses at or after the last block, or a head is missing.
    """
    for point in points:
        if isinstance(point, Pause):
            point.schedule.check_depth(depth)
        for block in point.reads:
            if str(block) not in heads:
                raise PaumerError(
                    f"{point.name} {point.schedule_text}: the network has no head after block {block}; it has "
                    f"{', '.join(heads) or 'none'}"
                )
