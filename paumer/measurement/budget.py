"""The best operating point for a budget: one rule for the report, `--speedup` and tuning. Imports no torch."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

TOLERANCE = 0.01  # by which a timed speed-up may miss the demanded one: two timings of one network differ by as much

Point = TypeVar("Point")


@dataclass(frozen=True)
class Budget:
    """Limits for an operating point.

    Attributes:
        speedup: smallest speed-up over dense; with it the most accurate point is best, without it the fastest.
        max_drop: largest drop in mIoU, in points.
        tolerance: share of `speedup` that may be missing; 0 where a published number is compared.
    """

    speedup: float | None = None
    max_drop: float | None = None
    tolerance: float = TOLERANCE

    def holds(self, point: Any) -> bool:
        """Whether a point is within the limits; False if it was not timed."""
        accurate = self.max_drop is None or known(point.drop, math.inf) <= self.max_drop
        return accurate and self.met_by(known(point.speedup, -math.inf))

    def met_by(self, speedup: float) -> bool:
        """Whether a speed-up is large enough."""
        return speedup >= (0.0 if self.speedup is None else (1 - self.tolerance) * self.speedup)


def best(points: Iterable[Point], budget: Budget) -> Point | None:
    """The best of the points within a budget; None if there is none. The schedule decides between equal ones.

    Args:
        points: with attributes `miou`, `drop` and `speedup`, None or NaN where unknown, and `schedule`.
        budget: the limits.
    """

    def order(point: Any) -> tuple[float, float, str]:
        accuracy, speedup = known(point.miou, -math.inf), known(point.speedup, -math.inf)
        first, second = (speedup, accuracy) if budget.speedup is None else (accuracy, speedup)
        return -first, -second, str(point.schedule)

    return min(filter(budget.holds, points), key=order, default=None)


def known(value: float | None, otherwise: float) -> float:
    """A number, or another one in the place of None and NaN."""
    return otherwise if value is None or math.isnan(value) else value
