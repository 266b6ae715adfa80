"""What is searched: families of reductions that differ in how much they pause. Imports no torch.

Accuracy: which candidates are best, and how much a family may pause within a drop. Imports no torch.

Speed-ups: predicted from multiply-accumulates, measured, and brought to a budget. Imports no torch.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np

from paumer.measurement.budget import Budget
from paumer.strategies.notation import Location, Schedule
from paumer.strategies.pause import Pause
from paumer.strategies.registry import OperatingPoint
from paumer.strategies.resize import Resize, Scale

UNIT = 1000  # totals are counted in thousandths of all patches
MOST = 850  # the largest total searched
PARTS = 5  # several locations split a total in fifths


@dataclass(frozen=True, order=True)
class Reduction:
    """What a network is spared: patches that pause, and a part of the image's height and width.

    Attributes:
        schedule: where and how much it pauses.
        scale: share of the height and width that the network sees.
    """

    schedule: Schedule
    scale: float = 1.0

    def point(self, criterion: str) -> OperatingPoint:
        """As an operating point: `dense`, `pause`, `resize` or `resize>pause`."""
        resize = (Resize(Scale(self.scale)),) if self.scale < 1 else ()
        pause = (Pause(self.schedule, criterion),) if self.schedule.locations else ()
        return OperatingPoint((*resize, *pause))

    def __str__(self) -> str:
        """The notation of its parameters, `3:0.4` or `scale:0.9>3:0.4`."""
        return self.point("").schedule


UNPAUSED = Reduction(Schedule())


@dataclass(frozen=True, order=True)
class Shape:
    """Where to pause, which share of the total at each place, and on which input; the total is left open.

    Attributes:
        blocks: the locations.
        parts: how many of the `PARTS` parts of the total pause there, at least one.
        scale: share of the image's height and width that the network sees.
    """

    blocks: tuple[int, ...]
    parts: tuple[int, ...]
    scale: float = 1.0

    def at(self, total: int) -> Reduction:
        """What pauses `total` thousandths of all patches."""
        fractions = [total * part / (PARTS * UNIT) for part in self.parts]
        return Reduction(Schedule(map(Location, self.blocks, fractions)) if total else Schedule(), self.scale)


@dataclass(frozen=True)
class Candidate:
    """A reduction as a point of its family."""

    shape: Shape
    total: int

    @property
    def reduction(self) -> Reduction:
        """As it runs."""
        return self.shape.at(self.total)


def shapes(blocks: Sequence[int], locations: int, scales: Sequence[float] = (1.0,)) -> list[Shape]:
    """All shapes of one to `locations` of the `blocks` at every scale."""
    return [
        Shape(chosen, parts, scale)
        for scale in scales
        for count in range(1, min(locations, PARTS) + 1)
        for chosen in combinations(sorted(blocks), count)
        for parts in _splits(count)
    ]


def pilots(blocks: Sequence[int], locations: int, scales: Sequence[float] = (1.0,)) -> list[Reduction]:
    """A few reductions whose times tell those of all others; the first one spares the most."""
    first, middle, last = blocks[0], blocks[len(blocks) // 2], blocks[-1]
    smallest, largest = min(scales), max(scales)
    single = [Shape((block,), (PARTS,), largest) for block in dict.fromkeys((first, middle, last))]
    chosen = [shape.at(total) for shape in single for total in (MOST, MOST // 2)]
    pair = [Shape((first, last), (2, PARTS - 2), largest).at(MOST)] if locations > 1 and first < last else []
    small = [Shape((first,), (PARTS,), smallest).at(total) for total in (MOST, 0)] if smallest < largest else []
    return small + chosen + pair


def _splits(count: int) -> list[tuple[int, ...]]:
    """Every way to split `PARTS` parts into `count` numbers of at least one."""
    cuts = [(0, *between, PARTS) for between in combinations(range(1, PARTS), count - 1)]
    return [tuple(end - start for start, end in pairwise(cut)) for cut in cuts]


LEAST_TIME = 0.01  # of the unpaused network's; a prediction never falls below
ABOVE = 1.015  # of the budget, up to which a measured speed-up is right
AIM = 1.0025  # of the budget, the target of a correction
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
    candidates: Sequence[Candidate], budget: Budget, predict: Predict, measure: Measure
) -> list[tuple[Candidate, Speed]]:
    """Measure candidates, and those that miss the speed-up of the budget again with a corrected total.

    The result for each candidate is the attempt nearest to the budget, if possible one that meets it.
    """
    speedup, nearest = budget.speedup or 1.0, dict[int, tuple[Candidate, Speed]]()

    def miss(attempt: tuple[Candidate, Speed]) -> tuple[bool, float]:
        return not budget.met_by(attempt[1].speedup), abs(attempt[1].speedup - AIM * speedup)

    trying = dict(enumerate(candidates))
    for _ in range(ATTEMPTS):
        if not trying:
            break
        speeds = measure([candidate.reduction for candidate in trying.values()])
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


def _corrected(candidate: Candidate, speed: Speed, speedup: float, predict: Predict) -> int:
    """The total that would meet the budget if the prediction is wrong everywhere by what it is wrong here."""
    wrong = 1 / speed.speedup - 1 / predict(candidate.reduction)

    def corrected(reduction: Reduction) -> float:
        return 1 / max(LEAST_TIME, 1 / predict(reduction) + wrong)

    found = just_enough(candidate.shape, AIM * speedup, corrected)
    return found.total if found else MOST


COARSE = (0, 150, 300, 450, 600, 750, MOST)
FINE = 10  # thousandths, to which the largest total that holds is found
SLACK = 0.05  # by how much a predicted speed-up may be wrong without a family being given up
FEWEST_IMAGES = 8  # that a candidate is judged by

Score = Callable[[Sequence[Reduction], int], Sequence[float]]
Drops = Callable[[Sequence[Reduction]], Sequence[float]]


def most_accurate(candidates: Sequence[Candidate], score: Score, images: int, keep: int) -> list[Candidate]:
    """The `keep` candidates of the highest mIoU, the best one first.

    By successive halving: while there are many they are scored on few images, and the better half stays.

    Args:
        candidates: what to choose from.
        score: mIoU of reductions on so many images.
        images: how many there are; the last ones are scored on all.
        keep: how many to give.
    """
    left = list(candidates)
    while True:
        judged_by = images if len(left) <= 2 * keep else min(images, max(FEWEST_IMAGES, 2 * keep * images // len(left)))
        scores = score([candidate.reduction for candidate in left], judged_by)
        ranked = [left[number] for number in sorted(range(len(left)), key=lambda number: -scores[number])]
        if judged_by == images:
            return ranked[:keep]
        left = ranked[: max(2 * keep, len(left) // 2)]


def within_drop(shapes: Sequence[Shape], limit: float, drops: Drops, predict: Predict) -> list[Candidate]:
    """Of every family the largest total whose drop is at most `limit`; none where nothing holds.

    Coarse totals come first, then bisection between the last that holds and the first that does not, as long as what it
    may find can still be the fastest of all.

    Args:
        shapes: the families.
        limit: the largest drop, in points of mIoU.
        drops: drops of reductions.
        predict: their predicted speed-ups.
    """
    coarse = [Candidate(shape, total) for shape in shapes for total in COARSE]
    holds = _holding(coarse, limit, drops)
    brackets = {shape: _bracket([holds[Candidate(shape, total)] for total in COARSE]) for shape in shapes}
    bounds = {shape: bracket for shape, bracket in brackets.items() if bracket}
    while middles := _open(bounds, predict):
        for candidate, good in _holding(middles, limit, drops).items():
            held, failed = bounds[candidate.shape]
            bounds[candidate.shape] = (candidate.total, failed) if good else (held, candidate.total)
    found = [Candidate(shape, held) for shape, (held, _) in bounds.items()]
    return list({one.reduction: one for one in found if one.reduction != UNPAUSED}.values())


def _holding(candidates: Sequence[Candidate], limit: float, drops: Drops) -> dict[Candidate, bool]:
    """Which candidates stay within the limit."""
    dropped = drops([candidate.reduction for candidate in candidates])
    return {candidate: drop <= limit for candidate, drop in zip(candidates, dropped, strict=True)}


def _bracket(holds: Sequence[bool]) -> tuple[int, int] | None:
    """The last total that holds before the first that does not, and that one; the largest twice where all hold."""
    first = holds.index(False) if False in holds else len(holds)
    return (COARSE[first - 1], COARSE[min(first, len(holds) - 1)]) if first else None


def _open(bounds: dict[Shape, tuple[int, int]], predict: Predict) -> list[Candidate]:
    """The middle between the bounds of every family that is not known well enough and may be the fastest."""
    fastest = max((predict(shape.at(held)) for shape, (held, _) in bounds.items()), default=1.0)
    return [
        Candidate(shape, (held + failed) // 2)
        for shape, (held, failed) in bounds.items()
        if failed - held > FINE and predict(shape.at(failed)) >= (1 - SLACK) * fastest
    ]
