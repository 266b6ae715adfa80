"""What is searched: families of reductions that differ in how much they pause. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from paumer.parameters import Scale
from paumer.registry import CHAIN, Point
from paumer.schedule import Location, Schedule

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

    def point(self, criterion: str) -> Point:
        """As an operating point: `dense`, `pause`, `resize` or `resize>pause`."""
        resize = [("resize", str(Scale(self.scale)))] if self.scale < 1 else []
        pause = [("pause", str(self.schedule))] if self.schedule.locations else []
        if not resize and not pause:
            return Point()
        names, texts = zip(*resize, *pause, strict=True)
        return Point(CHAIN.join(names), criterion if pause else "", CHAIN.join(texts))

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
