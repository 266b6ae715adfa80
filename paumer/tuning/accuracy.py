"""Accuracy: which candidates are best, and how much a family may pause within a drop. Imports no torch."""

from collections.abc import Callable, Sequence

from paumer.tuning.shapes import MOST, UNPAUSED, Candidate, Reduction, Shape
from paumer.tuning.speedups import Predict

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
