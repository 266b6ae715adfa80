"""Speed-ups: predicted from multiply-accumulates, measured, and brought to a budget. Imports no torch."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from paumer.tuning.shapes import MOST, Candidate, Reduction, Shape

LEAST_TIME = 0.01  # of the unpaused network's; a prediction never falls below
BELOW, ABOVE = 0.99, 1.015  # of the budget, where a measured speed-up is right
AIM = 1.0025  # of the budget, where a correction goes
ATTEMPTS = 4  # to measure a candidate, corrected in between

Predict = Callable[[Reduction], float]


@dataclass(frozen=True)
class Speed:
    """What was measured of a reduction, interleaved with the unpaused network.

    Attributes:
        images_per_s: images a second.
        speedup: against the unpaused network; `low` and `high` are its 95% interval.
    """

    images_per_s: float
    speedup: float
    low: float
    high: float


Measure = Callable[[Sequence[Reduction]], Sequence[Speed]]


@dataclass(frozen=True)
class SpeedModel:
    """Predicts speed-ups: of the saved multiply-accumulates a share becomes time; locations and resizing cost some.

    Attributes:
        macs: multiply-accumulates of a reduction as a share of the unpaused network's.
        realised: time saved by saving all of them, as a share of the unpaused network's time.
        overhead: time that a location costs, as a share of the same.
        resizing: time that another input size costs, as a share of the same.
    """

    macs: Callable[[Reduction], float]
    realised: float
    overhead: float
    resizing: float = 0.0

    @classmethod
    def fit(
        cls, macs: Callable[[Reduction], float], reductions: Sequence[Reduction], speeds: Sequence[Speed]
    ) -> "SpeedModel":
        """Least squares over what was measured; more multiply-accumulates never take less time."""
        saved = [[1 - macs(one), -len(one.schedule.locations), -float(one.scale < 1)] for one in reductions]
        gained = [1 - 1 / speed.speedup for speed in speeds]
        # Where nothing is resized its column is zero, and the shortest solution has a zero there.
        realised, overhead, resizing = np.linalg.lstsq(np.array(saved), np.array(gained))[0]
        return cls(macs, max(0.0, float(realised)), float(overhead), float(resizing))

    def __call__(self, reduction: Reduction) -> float:
        """The predicted speed-up."""
        extra = self.overhead * len(reduction.schedule.locations) + self.resizing * (reduction.scale < 1)
        return 1 / max(LEAST_TIME, 1 - self.realised * (1 - self.macs(reduction)) + extra)


def just_enough(shape: Shape, speedup: float, predict: Predict) -> Candidate | None:
    """The least of a family that is predicted to reach a speed-up; None where nothing of it does."""
    least = 0 if shape.scale < 1 else 1  # nothing of neither would be the unpaused network
    totals = range(least, MOST + 1)
    total = least + bisect_left(totals, True, key=lambda total: predict(shape.at(total)) >= speedup)
    return Candidate(shape, total) if total <= MOST else None


def candidates_for(shapes: Iterable[Shape], speedup: float, predict: Predict) -> list[Candidate]:
    """Of every family what is predicted to just meet a speed-up, or the most of the fastest ones where none does.

    Nothing stands twice: where a smaller input alone is fast enough, all families on it come to the same.
    """
    every = list(shapes)
    reachable = min(speedup, max(predict(shape.at(MOST)) for shape in every))
    found = [candidate for shape in every if (candidate := just_enough(shape, reachable, predict))]
    return list({candidate.reduction: candidate for candidate in found}.values())


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
        speeds = measure([candidate.reduction for candidate in trying.values()])
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
    wrong = 1 / speed.speedup - 1 / predict(candidate.reduction)

    def corrected(reduction: Reduction) -> float:
        return 1 / max(LEAST_TIME, 1 / predict(reduction) + wrong)

    found = just_enough(candidate.shape, AIM * speedup, corrected)
    return found.total if found else MOST
