"""The search of `paumer tune`: families of schedules, a model of their speed, and the choice of finalists.

A family fixes where patches pause and how a total is divided among these locations; the total is searched. Imports no
torch.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np

from paumer.deployment.presets import TunedPoint
from paumer.measurement.budget import Budget
from paumer.strategies.notation import Location, Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.registry import OperatingPoint
from paumer.strategies.resize import Resize, Scale

UNPAUSED = OperatingPoint()
UNIT = 1000  # totals are counted in thousandths of all patches
MOST = 850  # the largest total searched
PARTS = 5  # a total is divided among locations in fifths
LEAST_TIME = 0.01  # lower bound of a predicted time, as a share of the unpaused network's
ABOVE = 1.015  # of the budget, up to which a measured speed-up is right
AIM = 1.0025  # of the budget, the target of a correction
ATTEMPTS = 4  # to measure a candidate, corrected in between
COARSE = (0, 150, 300, 450, 600, 750, MOST)
FINE = 10  # thousandths, to which the largest total within a drop is found
SLACK = 0.05  # share by which a predicted speed-up may be wrong before a family is given up
FEWEST_IMAGES = 8  # that a candidate is scored on

Macs = Callable[[OperatingPoint], float]  # as a share of the unpaused network's
Predict = Callable[[OperatingPoint], float]  # the speed-up
Score = Callable[[Sequence[OperatingPoint], int], Sequence[float]]  # mIoU on a number of images
Measure = Callable[[Sequence[OperatingPoint]], Sequence[TunedPoint]]  # their speed-ups over the unpaused network
Drops = Callable[[Sequence[OperatingPoint]], Sequence[float]]  # in points of mIoU


@dataclass(frozen=True)
class ScheduleFamily:
    """Operating points that differ only in the total that pauses.

    Attributes:
        blocks: where patches pause.
        parts: how many of the `PARTS` parts of the total pause at each block, at least one.
        scale: share of the image's height and width that the network sees.
        criterion: what decides which patches pause.
    """

    blocks: tuple[int, ...]
    parts: tuple[int, ...]
    scale: float = 1.0
    criterion: str = "entropy"

    def at(self, total: int) -> OperatingPoint:
        """The member that pauses `total` thousandths of all patches."""
        resize = (Resize(Scale(self.scale)),) if self.scale < 1 else ()
        if not total:
            return OperatingPoint(resize)
        fractions = [total * part / (PARTS * UNIT) for part in self.parts]
        return OperatingPoint((*resize, Pause(Schedule(map(Location, self.blocks, fractions)), self.criterion)))


@dataclass(frozen=True)
class Candidate:
    """A member of a family."""

    family: ScheduleFamily
    total: int

    @property
    def point(self) -> OperatingPoint:
        """Its operating point."""
        return self.family.at(self.total)


def schedule_of(point: OperatingPoint) -> Schedule:
    """Where and how much an operating point pauses."""
    return next((part.parameters for part in point.parts if isinstance(part.parameters, Schedule)), Schedule())


def scale_of(point: OperatingPoint) -> float:
    """The share of the image's height and width that an operating point sees."""
    return next((part.parameters.factor for part in point.parts if isinstance(part, Resize)), 1.0)


def schedule_families(
    blocks: Sequence[int], locations: int, scales: Sequence[float] = (1.0,), criterion: str = "entropy"
) -> list[ScheduleFamily]:
    """All families with one to `locations` of the `blocks`, at every scale."""
    return [
        ScheduleFamily(chosen, parts, scale, criterion)
        for scale in scales
        for count in range(1, min(locations, PARTS) + 1)
        for chosen in combinations(sorted(blocks), count)
        for parts in _splits(count)
    ]


def _splits(count: int) -> list[tuple[int, ...]]:
    """Every way to split `PARTS` parts into `count` numbers of at least one."""
    cuts = [(0, *between, PARTS) for between in combinations(range(1, PARTS), count - 1)]
    return [tuple(end - start for start, end in pairwise(cut)) for cut in cuts]


def calibration_points(
    blocks: Sequence[int], locations: int, scales: Sequence[float] = (1.0,), criterion: str = "entropy"
) -> list[OperatingPoint]:
    """A few operating points whose timings fit the speed model; the first one has the least work."""
    first, middle, last = blocks[0], blocks[len(blocks) // 2], blocks[-1]
    smallest, largest = min(scales), max(scales)

    def at(total: int, *chosen: int, parts: tuple[int, ...] = (PARTS,), scale: float = largest) -> OperatingPoint:
        return ScheduleFamily(chosen, parts, scale, criterion).at(total)

    small = [at(total, first, scale=smallest) for total in (MOST, 0)] if smallest < largest else []
    single = [at(total, block) for block in dict.fromkeys((first, middle, last)) for total in (MOST, MOST // 2)]
    pair = [at(MOST, first, last, parts=(2, PARTS - 2))] if locations > 1 and first < last else []
    return small + single + pair


@dataclass(frozen=True)
class SpeedModel:
    """Predicts speed-ups: part of the saved multiply-accumulates becomes time; locations and resizing cost some.

    Attributes:
        macs: multiply-accumulates of an operating point as a share of the unpaused network's.
        realised: time saved by saving all of them, as a share of the unpaused network's time.
        overhead: time that a location costs, as a share of the same.
        resizing: time that another input size costs, as a share of the same.
    """

    macs: Macs
    realised: float
    overhead: float
    resizing: float = 0.0

    @classmethod
    def fit(cls, macs: Macs, points: Sequence[OperatingPoint], speeds: Sequence[TunedPoint]) -> "SpeedModel":
        """Least squares over measured speeds; more multiply-accumulates never take less time."""
        saved = [[1 - macs(one), -len(schedule_of(one).locations), -float(scale_of(one) < 1)] for one in points]
        gained = [1 - 1 / speed.speedup for speed in speeds]
        # Where nothing is resized its column is zero, and the shortest solution has a zero there.
        realised, overhead, resizing = np.linalg.lstsq(np.array(saved), np.array(gained))[0]
        return cls(macs, max(0.0, float(realised)), float(overhead), float(resizing))

    def __call__(self, point: OperatingPoint) -> float:
        """The predicted speed-up."""
        extra = self.overhead * len(schedule_of(point).locations) + self.resizing * (scale_of(point) < 1)
        return 1 / max(LEAST_TIME, 1 - self.realised * (1 - self.macs(point)) + extra)


def smallest_total(family: ScheduleFamily, speedup: float, predict: Predict) -> Candidate | None:
    """The member with the smallest total that is predicted to reach a speed-up; None if none is."""
    least = 0 if family.scale < 1 else 1  # 0 at full scale is the unpaused network
    totals = range(least, MOST + 1)
    total = least + bisect_left(totals, True, key=lambda total: predict(family.at(total)) >= speedup)
    return Candidate(family, total) if total <= MOST else None


def candidates_for(families: Iterable[ScheduleFamily], speedup: float, predict: Predict) -> list[Candidate]:
    """Of every family the member predicted to just reach a speed-up; if none does, the largest of the fastest families.

    Equal members are listed once: where a smaller input alone is fast enough, all families on it give the same.
    """
    every = list(families)
    reachable = min(speedup, max(predict(family.at(MOST)) for family in every))
    found = [candidate for family in every if (candidate := smallest_total(family, reachable, predict))]
    return list({candidate.point: candidate for candidate in found}.values())


def refine(
    candidates: Sequence[Candidate], budget: Budget, predict: Predict, measure: Measure
) -> list[tuple[Candidate, TunedPoint]]:
    """Measure candidates, and those that miss the speed-up of the budget again with a corrected total.

    The result for each candidate is the attempt nearest to the budget, if possible one that meets it.
    """
    speedup, nearest = budget.speedup or 1.0, dict[int, tuple[Candidate, TunedPoint]]()

    def miss(attempt: tuple[Candidate, TunedPoint]) -> tuple[bool, float]:
        return not budget.met_by(attempt[1].speedup), abs(attempt[1].speedup - AIM * speedup)

    trying = dict(enumerate(candidates))
    for _ in range(ATTEMPTS):
        if not trying:
            break
        speeds = measure([candidate.point for candidate in trying.values()])
        measured = dict(zip(trying, zip(trying.values(), speeds, strict=True), strict=True))
        for number, attempt in measured.items():
            nearest[number] = min([attempt, nearest.get(number, attempt)], key=miss)
        trying = {
            number: replace(candidate, total=total)
            for number, (candidate, speed) in measured.items()
            if not (budget.met_by(speed.speedup) and speed.speedup <= ABOVE * speedup)
            and (total := _corrected(candidate, speed, speedup, predict)) != candidate.total
        }
    return [nearest[number] for number in sorted(nearest)]


def _corrected(candidate: Candidate, speed: TunedPoint, speedup: float, predict: Predict) -> int:
    """The total that reaches the budget if predicted times are off everywhere by as much as here."""
    wrong = 1 / speed.speedup - 1 / predict(candidate.point)

    def corrected(point: OperatingPoint) -> float:
        return 1 / max(LEAST_TIME, 1 / predict(point) + wrong)

    found = smallest_total(candidate.family, AIM * speedup, corrected)
    return found.total if found else MOST


def successive_halving(candidates: Sequence[Candidate], score: Score, images: int, keep: int) -> list[Candidate]:
    """The `keep` candidates of the highest mIoU, the best one first.

    While there are many they are scored on few images, and the better half is kept; the last ones are scored on all
    `images`.
    """
    left = list(candidates)
    while True:
        scored_on = images if len(left) <= 2 * keep else min(images, max(FEWEST_IMAGES, 2 * keep * images // len(left)))
        scores = score([candidate.point for candidate in left], scored_on)
        ranked = [left[number] for number in sorted(range(len(left)), key=lambda number: -scores[number])]
        if scored_on == images:
            return ranked[:keep]
        left = ranked[: max(2 * keep, len(left) // 2)]


def within_drop(families: Sequence[ScheduleFamily], limit: float, drops: Drops, predict: Predict) -> list[Candidate]:
    """Of every family the member with the largest total whose drop is at most `limit`, if there is one.

    Coarse totals come first, then bisection between the last that holds the limit and the first that does not, as long
    as the result can still be the fastest of all.
    """

    def holding(candidates: Sequence[Candidate]) -> dict[Candidate, bool]:
        dropped = drops([candidate.point for candidate in candidates])
        return {candidate: drop <= limit for candidate, drop in zip(candidates, dropped, strict=True)}

    holds = holding([Candidate(family, total) for family in families for total in COARSE])
    bounds: dict[ScheduleFamily, tuple[int, int]] = {}
    for family in families:
        first = next((n for n, total in enumerate(COARSE) if not holds[Candidate(family, total)]), len(COARSE))
        if first:
            bounds[family] = COARSE[first - 1], COARSE[min(first, len(COARSE) - 1)]
    while middles := _open(bounds, predict):
        for candidate, good in holding(middles).items():
            held, failed = bounds[candidate.family]
            bounds[candidate.family] = (candidate.total, failed) if good else (held, candidate.total)
    found = [Candidate(family, held) for family, (held, _) in bounds.items()]
    return list({one.point: one for one in found if one.point != UNPAUSED}.values())


def _open(bounds: dict[ScheduleFamily, tuple[int, int]], predict: Predict) -> list[Candidate]:
    """The middle between the bounds of every family that is not known well enough and may be the fastest."""
    fastest = max((predict(family.at(held)) for family, (held, _) in bounds.items()), default=1.0)
    return [
        Candidate(family, (held + failed) // 2)
        for family, (held, failed) in bounds.items()
        if failed - held > FINE and predict(family.at(failed)) >= (1 - SLACK) * fastest
    ]
