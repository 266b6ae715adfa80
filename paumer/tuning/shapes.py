"""What is searched: families of schedules that differ in how much they pause. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from paumer.schedule import Location, Schedule

UNIT = 1000  # totals are counted in thousandths of all patches
MOST = 850  # the largest total searched
PARTS = 5  # several locations split a total in fifths


@dataclass(frozen=True, order=True)
class Shape:
    """Where to pause, and which share of the total at each place; the total is left open.

    Attributes:
        blocks: the locations.
        parts: how many of the `PARTS` parts of the total pause there, at least one.
    """

    blocks: tuple[int, ...]
    parts: tuple[int, ...]

    def at(self, total: int) -> Schedule:
        """The schedule that pauses `total` thousandths of all patches; none at all is dense."""
        fractions = [total * part / (PARTS * UNIT) for part in self.parts]
        return Schedule(tuple(map(Location, self.blocks, fractions))) if total else Schedule()


@dataclass(frozen=True)
class Candidate:
    """A schedule as a point of its family."""

    shape: Shape
    total: int

    @property
    def schedule(self) -> Schedule:
        """As it runs."""
        return self.shape.at(self.total)


def shapes(blocks: Sequence[int], locations: int) -> list[Shape]:
    """All shapes of one to `locations` of the `blocks`."""
    return [
        Shape(chosen, parts)
        for count in range(1, min(locations, PARTS) + 1)
        for chosen in combinations(sorted(blocks), count)
        for parts in _splits(count)
    ]


def pilots(blocks: Sequence[int], locations: int) -> list[Schedule]:
    """A few schedules whose times tell those of all others; the first one pauses the most, as early as possible."""
    first, middle, last = blocks[0], blocks[len(blocks) // 2], blocks[-1]
    single = [Shape((block,), (PARTS,)) for block in dict.fromkeys((first, middle, last))]
    chosen = [shape.at(total) for shape in single for total in (MOST, MOST // 2)]
    pair = [Shape((first, last), (2, PARTS - 2)).at(MOST)] if locations > 1 and first < last else []
    return chosen + pair


def _splits(count: int) -> list[tuple[int, ...]]:
    """Every way to split `PARTS` parts into `count` numbers of at least one."""
    cuts = [(0, *between, PARTS) for between in combinations(range(1, PARTS), count - 1)]
    return [tuple(end - start for start, end in pairwise(cut)) for cut in cuts]
