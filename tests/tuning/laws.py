"""A network and a device that obey simple laws."""

from hypothesis import settings

from paumer.schedule import Schedule
from paumer.tuning.speedups import Speed, SpeedModel

DEPTH = 12
some = settings(max_examples=30)


def macs(schedule: Schedule) -> float:
    """Every patch that waits saves all blocks that follow."""
    return 1 - sum(one.fraction * (DEPTH - one.block) / DEPTH for one in schedule.locations)


def loss(schedule: Schedule) -> float:
    """Points of mIoU: the earlier and the more, the worse, and the sum of its locations."""
    return sum(20 * one.fraction**2 / one.block for one in schedule.locations)


class Device:
    """A device whose times follow multiply-accumulates, yet not as any line says."""

    def __init__(self, realised: float, overhead: float, bend: float = 0.0) -> None:
        self.realised, self.overhead, self.bend = realised, overhead, bend
        self.timed: list[Schedule] = []

    def time(self, schedules) -> list[Speed]:
        self.timed += schedules
        return [self.speed(schedule) for schedule in schedules]

    def speed(self, schedule: Schedule) -> Speed:
        saved = 1 - macs(schedule)
        overhead = self.overhead * len(schedule.locations)
        speedup = 1 / (1 - self.realised * saved * (1 + self.bend * saved) + overhead)
        return Speed(100 * speedup, speedup, speedup, speedup)

    def model(self, schedules) -> SpeedModel:
        return SpeedModel.fit(macs, schedules, [self.speed(schedule) for schedule in schedules])
