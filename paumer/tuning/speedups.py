"""Speed-ups: predicted from multiply-accumulates, measured, and brought to a budget. Imports no torch."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paumer.schedule import Schedule
from paumer.tuning.shapes import MOST, Candidate, Shape

LEAST_TIME = 0.01  # of the unpaused network's; a prediction never falls below
BELOW, ABOVE = 0.99, 1.03  # of the budget, where a measured speed-up is right
AIM = 1.01  # of the budget, where a correction goes
ATTEMPTS = 4  # to measure a candidate, corrected in between

Predict = Callable[[Schedule], float]


@dataclass(frozen=True)
class Speed:
    """What was measured of a schedule, interleaved with the unpaused network.

    Attributes:
        images_per_s: images a second.
        speedup: against the unpaused network; `low` and `high` are its 95% interval.
    """

    images_per_s: float
    speedup: float
    low: float
    high: float


Measure = Callable[[Sequence[Schedule]], Sequence[Speed]]


@dataclass(frozen=True)
class SpeedModel:
    """Predicts speed-ups: of the saved multiply-accumulates a share becomes time, and each location costs some.

    Attributes:
        macs: multiply-accumulates of a schedule as a share of the unpaused network's.
        realised: time saved by saving all of them, as a share of the unpaused network's time.
        overhead: time that a location costs, as a share of the same.
    """

    macs: Callable[[Schedule], float]
    realised: float
    overhead: float

    @classmethod
    def fit(
        cls, macs: Callable[[Schedule], float], schedules: Sequence[Schedule], speeds: Sequence[Speed]
    ) -> "SpeedModel":
        """Least squares over what was measured; more multiply-accumulates never take less time."""
        saved = [[1 - macs(schedule), -len(schedule.locations)] for schedule in schedules]
        gained = [1 - 1 / speed.speedup for speed in speeds]
        realised, overhead = np.linalg.lstsq(np.array(saved), np.array(gained))[0]
        return cls(macs, max(0.0, float(realised)), float(overhead))

    def __call__(self, schedule: Schedule) -> float:
        """The predicted speed-up."""
        time = 1 - self.realised * (1 - self.macs(schedule)) + self.overhead * len(schedule.locations)
        return 1 / max(LEAST_TIME, time)


def just_enough(shape: Shape, speedup: float, predict: Predict) -> Candidate | None:
    """The least of a family that is predicted to reach a speed-up; None where nothing of it does."""
    total = 1 + bisect_left(range(1, MOST + 1), True, key=lambda total: predict(shape.at(total)) >= speedup)
    return Candidate(shape, total) if total <= MOST else None


def candidates_for(shapes: Iterable[Shape], speedup: float, predict: Predict) -> list[Candidate]:
    """Of every family what is predicted to just meet a speed-up, or the most of the fastest ones where none does."""
    every = list(shapes)
    reachable = min(speedup, max(predict(shape.at(MOST)) for shape in every))
    return [found for shape in every if (found := just_enough(shape, reachable, predict))]


def settle(
    candidates: Sequence[Candidate], speedup: float, predict: Predict, measure: Measure
) -> list[tuple[Candidate, Speed]]:
    """Measure candidates, and those that miss the budget again with a corrected total.

    Of every candidate the attempt counts that comes nearest to the budget, and among them those that meet it first.
    """
    best: dict[int, tuple[Candidate, Speed]] = {}
    trying = dict(enumerate(candidates))
    for _ in range(ATTEMPTS):
        if not trying:
            break
        speeds = measure([candidate.schedule for candidate in trying.values()])
        measured = dict(zip(trying, zip(trying.values(), speeds, strict=True), strict=True))
        for number, attempt in measured.items():
            best[number] = min([attempt, best.get(number, attempt)], key=lambda one: _miss(one[1], speedup))
        trying = {
            number: replace(candidate, total=total)
            for number, (candidate, speed) in measured.items()
            if not BELOW * speedup <= speed.speedup <= ABOVE * speedup
            and (total := _corrected(candidate, speed, speedup, predict)) != candidate.total
        }
    return [best[number] for number in sorted(best)]


def meets(speed: Speed, speedup: float) -> bool:
    """Whether a measured speed-up is as large as asked for, up to what measuring can tell."""
    return speed.speedup >= BELOW * speedup


def _miss(speed: Speed, speedup: float) -> tuple[bool, float]:
    """Sorts attempts, the best one first."""
    return not meets(speed, speedup), abs(speed.speedup - AIM * speedup)


def _corrected(candidate: Candidate, speed: Speed, speedup: float, predict: Predict) -> int:
    """The total that would meet the budget if the prediction is wrong everywhere by what it is wrong here."""
    wrong = 1 / speed.speedup - 1 / predict(candidate.schedule)

    def corrected(schedule: Schedule) -> float:
        return 1 / max(LEAST_TIME, 1 / predict(schedule) + wrong)

    found = just_enough(candidate.shape, AIM * speedup, corrected)
    return found.total if found else MOST
