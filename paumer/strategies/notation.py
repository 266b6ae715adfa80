"""Schedules: where and how much to reduce, written `3:0.4`, `3:0.2+6:0.2` or `1-8:0.05`; and thresholds, `3@0.9`.

The one parser and formatter of that notation. Configurations, tables and the command line all use it. Imports no torch.
"""

import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

from paumer.system.errors import PaumerError

VALUE = r"[0-9]{0,9}\.[0-9]{1,20}|[0-9]{1,9}"
WHOLE = re.compile(r"0*[1-9][0-9]{0,5}")  # numbers of blocks and patches
LOCATION = re.compile(rf"(?P<first>[0-9]{{1,4}})(-(?P<last>[0-9]{{1,4}}))?(?P<sign>[:@])(?P<value>{VALUE})")
DECIMALS = 4
SHORTEST_RANGE = 3  # blocks in a row with the same value that are written as a range


class Parameters:
    """The parameters of a strategy; `str` writes them in their notation."""

    @property
    def varies(self) -> bool:
        """Whether what an image shows decides how much is computed for it."""
        return False

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks after (merging: inside) which something may happen, rising."""
        return ()

    def at(self, block: int) -> Hashable:
        """What happens at a block: None for nothing, equal values where parameters ask for the same."""
        return None

    def check_depth(self, depth: int) -> None:
        """Refuse parameters that do not fit a network of `depth` blocks.

        Raises:
            PaumerError: one acts at or after the last block, where none follows.
        """


class Location(NamedTuple):
    """After `block` blocks have run, pause `fraction` of all N patches of the image."""

    block: int
    fraction: float


class _Located(Parameters):
    """Values by block.

    Attributes:
        locations: blocks and their values, in the order of the blocks.
        noun: what to call them in messages.
        sign: between a block and its value.
        example: how to write them, for messages.
    """

    locations: tuple[tuple[int, float], ...]
    noun: ClassVar[str]
    sign: ClassVar[str]
    example: ClassVar[str]

    def __str__(self) -> str:
        """The notation, `dense` where there is none; blocks in a row with the same value are written as a range."""
        runs: list[list[tuple[int, float]]] = []
        for block, value in self.locations:
            if runs and runs[-1][-1] == (block - 1, value):
                runs[-1].append((block, value))
            else:
                runs.append([(block, value)])
        parts = []
        for run in runs:
            names = [f"{run[0][0]}-{run[-1][0]}"] if len(run) >= SHORTEST_RANGE else [str(block) for block, _ in run]
            written = f"{run[0][1]:.{DECIMALS}f}".rstrip("0").rstrip(".")
            parts += [f"{name}{self.sign}{written}" for name in names]
        return "+".join(parts) or "dense"

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks after which something may happen."""
        return tuple(block for block, _ in self.locations)

    @property
    def values(self) -> dict[int, float]:
        """The value by block."""
        return dict(self.locations)

    def at(self, block: int) -> Hashable:
        """Kind and value at a block; None where nothing happens."""
        value = self.values.get(block)
        return None if value is None else (self.sign, value)

    def check_depth(self, depth: int) -> None:
        """Refuse locations where no block follows."""
        for block in self.blocks:
            if block >= depth:
                raise PaumerError(
                    f"{self.noun} {self}: acting after block {block} saves nothing in a network of {depth} blocks; "
                    f"use blocks 1 to {depth - 1}"
                )

    @classmethod
    def _read(cls, text: str) -> Iterator[tuple[int, float]]:
        """Blocks and values of a text; a range of blocks is spelled out."""
        for part in (part.strip() for part in text.split("+")):
            match = LOCATION.fullmatch(part)
            if match is None or match["sign"] != cls.sign:
                raise PaumerError(f"{cls.noun} {text!r}: {part!r} is not BLOCK{cls.sign}VALUE; {cls.example}")
            first, last = int(match["first"]), int(match["last"] or match["first"])
            if last < first:
                raise PaumerError(f"{cls.noun} {text!r}: the blocks of {part!r} must rise; {cls.example}")
            for block in range(first, last + 1):
                yield block, round(float(match["value"]), DECIMALS)

    def _check_order(self) -> None:
        if any(block < 1 for block in self.blocks):
            raise PaumerError(f"{self.noun} {self}: blocks are counted from 1; {self.example}")
        if any(second <= first for first, second in pairwise(self.blocks)):
            raise PaumerError(f"{self.noun} {self}: blocks must rise from left to right; {self.example}")


@dataclass(frozen=True, order=True, init=False, repr=False)
class Schedule(_Located):
    """Locations in the order of their blocks; none at all means dense.

    Raises:
        PaumerError: the text is no schedule, blocks do not rise, a fraction is not above 0, or the fractions reach 1.
    """

    locations: tuple[Location, ...]
    noun = "schedule"
    sign = ":"
    example = "write it like 3:0.4 or 3:0.2+6:0.2 (after block 3 pause 0.2 of all patches, after block 6 0.2 more)"

    def __init__(self, locations: Iterable[Location] | str = ()) -> None:
        """From the notation (`dense` and the empty string are the empty schedule), or from locations."""
        if not isinstance(locations, str | Iterable):
            raise PaumerError(f"schedule: {locations!r} is none; {self.example}")
        if isinstance(locations, str):
            found = (
                () if locations.strip() in ("", "dense") else tuple(Location(*read) for read in self._read(locations))
            )
        else:
            found = tuple(locations)
        if not all(isinstance(location, Location) for location in found):
            raise PaumerError(f"schedule: {locations!r} holds no locations; {self.example}")
        object.__setattr__(self, "locations", found)
        self._check_order()
        if any(location.fraction <= 0 for location in self.locations):
            raise PaumerError(f"schedule {self}: every fraction must be above 0; leave the location out instead")
        if round(self.paused, DECIMALS) >= 1:
            raise PaumerError(
                f"schedule {self}: pauses {self.paused:g} of all patches; the sum of the fractions must stay below 1"
            )

    def __repr__(self) -> str:
        return f"Schedule({str(self)!r})"

    @property
    def paused(self) -> float:
        """The fraction of all patches that is paused in the end."""
        return sum(location.fraction for location in self.locations)

    def running(self, patches: int) -> dict[int, int]:
        """How many of `patches` run after each location.

        The cumulated fraction is rounded, so two locations of 0.2 leave what one of 0.4 leaves; at least one patch
        always runs.
        """
        counts, paused = {}, 0.0
        for location in self.locations:
            paused += location.fraction
            counts[location.block] = max(1, patches - round(round(paused, DECIMALS) * patches))
        return counts


@dataclass(frozen=True, order=True)
class Thresholds(_Located):
    """How certain (0..1) a patch or image must be after which block; what happens then is the strategy's.

    What exceeds the threshold depends on the image, and so does the cost.

    Raises:
        PaumerError: there is none, or blocks do not rise.
    """

    locations: tuple[tuple[int, float], ...]
    noun = "thresholds"
    sign = "@"
    example = "write it like 3@0.9+6@0.9 (after block 3 and after block 6, what is more certain than 0.9)"

    def __post_init__(self) -> None:
        if not self.locations:
            raise PaumerError(f"thresholds: there is none; {self.example}")
        self._check_order()

    @classmethod
    def parse(cls, text: str) -> "Thresholds":
        """Read the notation.

        Raises:
            PaumerError: the text is none.
        """
        return cls(tuple(cls._read(text)))

    @property
    def varies(self) -> bool:
        """What exceeds a threshold depends on the image."""
        return True


@dataclass(frozen=True)
class WithSchedule(Parameters):
    """Parameters around fractions or thresholds.

    Attributes:
        schedule: fractions of all patches, or thresholds of certainty.
    """

    schedule: Schedule | Thresholds

    @property
    def options(self) -> Hashable:
        """The parameters beside the schedule."""
        raise NotImplementedError

    @property
    def varies(self) -> bool:
        """As the schedule's."""
        return self.schedule.varies

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks of the schedule."""
        return self.schedule.blocks

    def at(self, block: int) -> Hashable:
        """What the schedule asks for at a block, and all else; None where nothing happens."""
        at = self.schedule.at(block)
        return None if at is None else (self.options, at)

    def check_depth(self, depth: int) -> None:
        """Refuse locations where no block follows."""
        self.schedule.check_depth(depth)


def read_portion(text: str, name: str, example: str) -> float:
    """Read a number above 0 and up to 1 that stands behind a name, `scale:0.75`.

    Raises:
        PaumerError: the text is none.
    """
    try:
        portion = round(float(text.removeprefix(f"{name}:")), DECIMALS)
    except ValueError:
        portion = 0.0
    if not 0 < portion <= 1:
        raise PaumerError(f"{text!r} is no {name} above 0 and up to 1; write it like {example}")
    return portion


def read_schedule(text: str) -> Schedule:
    """Read fractions, at least one.

    Raises:
        PaumerError: the text is no schedule, or the empty one.
    """
    schedule = Schedule(text)
    if not schedule.locations:
        raise PaumerError("the empty schedule is dense, which every run evaluates anyway; remove it")
    return schedule


def read_with_number(text: str, word: str) -> tuple[Schedule | Thresholds, int | None]:
    """Read fractions or thresholds, and the number behind a word, where there is one.

    Raises:
        PaumerError: the text is none of these.
    """
    where, _, number = text.partition(f" {word} ")
    schedule = read_fractions_or_thresholds(where)
    if not number:
        return schedule, None
    if not WHOLE.fullmatch(number.strip()):
        raise PaumerError(f"{text!r}: {word} {number!r} is no whole number above 0; write it like 3:0.4 {word} 5")
    return schedule, int(number)


def read_fractions_or_thresholds(text: str) -> Schedule | Thresholds:
    """Read thresholds, `3@0.9`, or else fractions.

    Raises:
        PaumerError: the text is neither.
    """
    return Thresholds.parse(text) if "@" in text else read_schedule(text)
