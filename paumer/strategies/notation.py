"""Schedules: where and how much to reduce, written `3:0.4`, `3:0.2+6:0.2` or `1-8:0.05`; and thresholds, `3@0.9`.

The one parser and formatter of that notation. Configurations, tables and the command line all use it. Imports no torch.
"""

import re
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Protocol

from paumer.system.errors import PaumerError

EXAMPLE = "write it like 3:0.4 or 3:0.2+6:0.2 (after block 3 pause 0.2 of all patches, after block 6 0.2 more)"
THRESHOLD_EXAMPLE = "write it like 3@0.9+6@0.9 (after block 3 and after block 6, what is more certain than 0.9)"
VALUE = r"[0-9]{0,9}\.[0-9]{1,20}|[0-9]{1,9}"
WHOLE = re.compile(r"0*[1-9][0-9]{0,5}")  # numbers of blocks and patches
LOCATION = re.compile(rf"(?P<first>[0-9]{{1,4}})(-(?P<last>[0-9]{{1,4}}))?(?P<sign>[:@])(?P<value>{VALUE})")
DECIMALS = 4
SHORTEST_RANGE = 3  # blocks in a row with the same value that are written as a range


class Parameters(Protocol):
    """The parameters of a strategy; `str` writes them in their notation.

    Attributes:
        varies: whether what an image shows decides how much is computed for it.
    """

    @property
    def varies(self) -> bool: ...  # noqa: D102

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks after (merging: inside) which something may happen, rising."""

    def at(self, block: int) -> Hashable:
        """What happens at a block: None for nothing, equal values where parameters ask for the same."""

    def check_depth(self, depth: int) -> None:
        """Refuse parameters that do not fit a network of `depth` blocks; raises PaumerError."""


@dataclass(frozen=True, order=True)
class Location:
    """After `block` blocks have run, pause `fraction` of all N patches of the image."""

    block: int
    fraction: float


@dataclass(frozen=True, order=True, init=False, repr=False)
class Schedule:
    """Locations in the order of their blocks; none at all means dense.

    Raises:
        PaumerError: the text is no schedule, blocks do not rise, a fraction is not above 0, or the fractions reach 1.
    """

    locations: tuple[Location, ...]
    varies: ClassVar[bool] = False

    def __init__(self, locations: Iterable[Location] | str = ()) -> None:
        """From the notation, or from locations."""
        if not isinstance(locations, str | Iterable):
            raise PaumerError(f"schedule: {locations!r} is none; {EXAMPLE}")
        found = _locations(locations) if isinstance(locations, str) else tuple(locations)
        if not all(isinstance(location, Location) for location in found):
            raise PaumerError(f"schedule: {locations!r} holds no locations; {EXAMPLE}")
        object.__setattr__(self, "locations", found)
        _check_blocks("schedule", str(self), self.blocks, EXAMPLE)
        if any(location.fraction <= 0 for location in self.locations):
            raise PaumerError(f"schedule {self}: every fraction must be above 0; leave the location out instead")
        if round(self.paused, DECIMALS) >= 1:
            raise PaumerError(
                f"schedule {self}: pauses {self.paused:g} of all patches; the sum of the fractions must stay below 1"
            )

    @classmethod
    def parse(cls, text: str) -> "Schedule":
        """Read the notation; `dense` and the empty string are the empty schedule.

        Raises:
            PaumerError: the text is not a schedule.
        """
        return cls(text)

    def __repr__(self) -> str:
        return f"Schedule({str(self)!r})"

    def __str__(self) -> str:
        """The notation, `dense` for the empty schedule; `parse` reads it back."""
        return _write(((location.block, location.fraction) for location in self.locations), ":") or "dense"

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks after which patches pause."""
        return tuple(location.block for location in self.locations)

    @property
    def values(self) -> dict[int, float]:
        """The fraction by block."""
        return {location.block: location.fraction for location in self.locations}

    def at(self, block: int) -> Hashable:
        """The fraction at a block; None where nothing happens."""
        return self.values.get(block)

    @property
    def paused(self) -> float:
        """The fraction of all patches that is paused in the end."""
        return sum(location.fraction for location in self.locations)

    def running(self, patches: int) -> dict[int, int]:
        """How many of `patches` go on after each location.

        The cumulated fraction is rounded, so two locations of 0.2 leave what one of 0.4 leaves; at least one patch
        always runs on.
        """
        counts, paused = {}, 0.0
        for location in self.locations:
            paused += location.fraction
            counts[location.block] = max(1, patches - round(round(paused, DECIMALS) * patches))
        return counts

    def check_depth(self, depth: int) -> None:
        """Refuse locations where no block follows.

        Raises:
            PaumerError: a location lies at or after the last of `depth` blocks.
        """
        _check_depth("schedule", str(self), self.blocks, depth)


@dataclass(frozen=True, order=True)
class Thresholds:
    """How certain (0..1) a patch or image must be after which block; what happens then is the strategy's.

    What exceeds the threshold depends on the image, and so does the cost.

    Raises:
        PaumerError: there is none, or blocks do not rise.
    """

    locations: tuple[tuple[int, float], ...]
    varies: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.locations:
            raise PaumerError(f"thresholds: there is none; {THRESHOLD_EXAMPLE}")
        _check_blocks("thresholds", str(self), self.blocks, THRESHOLD_EXAMPLE)

    @classmethod
    def parse(cls, text: str) -> "Thresholds":
        """Read the notation.

        Raises:
            PaumerError: the text is none.
        """
        return cls(tuple(_read("thresholds", text, "@", THRESHOLD_EXAMPLE)))

    def __str__(self) -> str:
        """The notation; `parse` reads it back."""
        return _write(self.locations, "@")

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks after which something may happen."""
        return tuple(block for block, _ in self.locations)

    @property
    def values(self) -> dict[int, float]:
        """The threshold by block."""
        return dict(self.locations)

    def at(self, block: int) -> Hashable:
        """The threshold at a block, told from a fraction; None where nothing happens."""
        return ("@", self.values[block]) if block in self.values else None

    def check_depth(self, depth: int) -> None:
        """Refuse locations where no block follows.

        Raises:
            PaumerError: one lies at or after the last of `depth` blocks.
        """
        _check_depth("thresholds", str(self), self.blocks, depth)


def read_schedule(text: str) -> Schedule:
    """Read fractions, at least one.

    Raises:
        PaumerError: the text is no schedule, or the empty one.
    """
    schedule = Schedule(text)
    if not schedule.locations:
        raise PaumerError("the empty schedule is dense, which every run evaluates anyway; remove it")
    return schedule


def read_fractions_or_thresholds(text: str) -> Schedule | Thresholds:
    """Read thresholds, `3@0.9`, or else fractions.

    Raises:
        PaumerError: the text is neither.
    """
    return Thresholds.parse(text) if "@" in text else read_schedule(text)


def _locations(text: str) -> tuple[Location, ...]:
    if text.strip() in ("", "dense"):
        return ()
    return tuple(Location(block, value) for block, value in _read("schedule", text, ":", EXAMPLE))


def _read(what: str, text: str, sign: str, example: str) -> Iterator[tuple[int, float]]:
    """Blocks and values of a text; a range of blocks gives the value once for each of them."""
    for part in (part.strip() for part in text.split("+")):
        match = LOCATION.fullmatch(part)
        if match is None or match["sign"] != sign:
            raise PaumerError(f"{what} {text!r}: {part!r} is not BLOCK{sign}VALUE; {example}")
        first, last = int(match["first"]), int(match["last"] or match["first"])
        if last < first:
            raise PaumerError(f"{what} {text!r}: the blocks of {part!r} must rise; {example}")
        for block in range(first, last + 1):
            yield block, round(float(match["value"]), DECIMALS)


def _write(locations: Iterable[tuple[int, float]], sign: str) -> str:
    """The notation; blocks in a row with the same value are written as a range."""
    runs: list[list[tuple[int, float]]] = []
    for block, value in locations:
        if runs and runs[-1][-1] == (block - 1, value):
            runs[-1].append((block, value))
        else:
            runs.append([(block, value)])
    parts = []
    for run in runs:
        names = [f"{run[0][0]}-{run[-1][0]}"] if len(run) >= SHORTEST_RANGE else [str(block) for block, _ in run]
        written = f"{run[0][1]:.{DECIMALS}f}".rstrip("0").rstrip(".")
        parts += [f"{name}{sign}{written}" for name in names]
    return "+".join(parts)


def _check_blocks(what: str, text: str, blocks: tuple[int, ...], example: str) -> None:
    if any(block < 1 for block in blocks):
        raise PaumerError(f"{what} {text}: blocks are counted from 1; {example}")
    if any(second <= first for first, second in pairwise(blocks)):
        raise PaumerError(f"{what} {text}: blocks must rise from left to right; {example}")


def _check_depth(what: str, text: str, blocks: tuple[int, ...], depth: int) -> None:
    for block in blocks:
        if block >= depth:
            raise PaumerError(
                f"{what} {text}: acting after block {block} saves nothing in a network of {depth} blocks; "
                f"use blocks 1 to {depth - 1}"
            )
