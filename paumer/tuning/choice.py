"""The last step: one of the finalists. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from paumer.tuning.shapes import Reduction
from paumer.tuning.speedups import Speed, meets


@dataclass(frozen=True)
class Finalist:
    """A reduction with all that was measured of it.

    Attributes:
        reduction: where and how much it pauses, and on which input.
        miou: in points.
        drop: from the unpaused network on the same images, in points.
        speed: its measured speed.
        macs: its multiply-accumulates as a share of the unpaused network's.
    """

    reduction: Reduction
    miou: float
    drop: float
    speed: Speed
    macs: float


@dataclass(frozen=True)
class Choice:
    """What was chosen, from what, and how that meets the budget."""

    chosen: Finalist
    finalists: list[Finalist]
    verdict: str


def choose_accurate(finalists: Sequence[Finalist], speedup: float) -> Finalist:
    """The highest mIoU among those that meet a speed-up; the fastest where none does."""
    meeting = [finalist for finalist in finalists if meets(finalist.speed, speedup)]
    if not meeting:
        return max(finalists, key=lambda finalist: finalist.speed.speedup)
    return max(meeting, key=lambda finalist: (finalist.miou, finalist.speed.speedup))


def choose_fastest(finalists: Sequence[Finalist]) -> Finalist | None:
    """The fastest; None where none is faster than the unpaused network."""
    faster = [finalist for finalist in finalists if finalist.speed.speedup > 1]
    return max(faster, key=lambda finalist: finalist.speed.speedup, default=None)
