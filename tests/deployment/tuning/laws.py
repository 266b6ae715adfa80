"""A network and a device that obey simple laws."""

from hypothesis import settings
from tiers import examples

from paumer.deployment.tuning.search import Reduction, Speed, SpeedModel

DEPTH = 12
some = settings(max_examples=examples(30))


def macs(reduction: Reduction) -> float:
    """Every patch that waits saves all blocks that follow, and a smaller input saves everywhere."""
    return reduction.scale**2 * (
        1 - sum(one.fraction * (DEPTH - one.block) / DEPTH for one in reduction.schedule.locations)
    )


def loss(reduction: Reduction) -> float:
    """Points of mIoU: the earlier and the more, the worse, and the sum of its locations; so are smaller inputs."""
    paused = sum(20 * one.fraction**2 / one.block for one in reduction.schedule.locations)
    return paused + 30 * (1 - reduction.scale) ** 2


class Device:
    """A device whose times follow multiply-accumulates, yet not as any line says."""

    def __init__(self, realised: float, overhead: float, bend: float = 0.0, resizing: float = 0.02) -> None:
        self.realised, self.overhead, self.bend, self.resizing = realised, overhead, bend, resizing
        self.timed: list[Reduction] = []

    def time(self, reductions) -> list[Speed]:
        self.timed += reductions
        return [self.speed(reduction) for reduction in reductions]

    def speed(self, reduction: Reduction) -> Speed:
        saved = 1 - macs(reduction)
        overhead = self.overhead * len(reduction.schedule.locations) + self.resizing * (reduction.scale < 1)
        speedup = 1 / (1 - self.realised * saved * (1 + self.bend * saved) + overhead)
        return Speed(100 * speedup, speedup, speedup, speedup)

    def model(self, reductions) -> SpeedModel:
        return SpeedModel.fit(macs, reductions, [self.speed(reduction) for reduction in reductions])
