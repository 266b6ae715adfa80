"""Schedules: where and how much to pause, written `3:0.4` or `3:0.2+6:0.2`.

The one parser and formatter of that notation. Configurations, file names, tables and the command line all use it.
"""

import re
from dataclasses import dataclass

from paumer.errors import PaumerError

EXAMPLE = "write it like 3:0.4 or 3:0.2+6:0.2 (after block 3 pause 0.2 of all patches, after block 6 0.2 more)"
LOCATION = re.compile(r"(?P<block>[0-9]{1,4}):(?P<fraction>[0-9]*\.?[0-9]+)")
DECIMALS = 4


@dataclass(frozen=True, order=True)
class Location:
    """After `block` blocks have run, pause `fraction` of all N patches of the image."""

    block: int
    fraction: float


@dataclass(frozen=True, order=True)
class Schedule:
    """Locations in the order of their blocks; none at all means dense.

    Raises:
        PaumerError: blocks do not rise, a fraction is not above 0, or the fractions reach 1.
    """

    locations: tuple[Location, ...] = ()

    def __post_init__(self) -> None:
        blocks = [location.block for location in self.locations]
        if any(block < 1 for block in blocks):
            raise PaumerError(f"schedule {self}: blocks are counted from 1; {EXAMPLE}")
        if blocks != sorted(set(blocks)):
            raise PaumerError(f"schedule {self}: blocks must rise from left to right; {EXAMPLE}")
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
        if text.strip() in ("", "dense"):
            return cls()
        parts = [part.strip() for part in text.split("+")]
        matches = [LOCATION.fullmatch(part) for part in parts]
        for part, match in zip(parts, matches, strict=True):
            if match is None:
                raise PaumerError(f"schedule {text!r}: {part!r} is not BLOCK:FRACTION; {EXAMPLE}")
        return cls(
            tuple(
                Location(int(match["block"]), round(float(match["fraction"]), DECIMALS)) for match in matches if match
            )
        )

    def __str__(self) -> str:
        """The notation, `dense` for the empty schedule; `parse` reads it back."""
        text = "+".join(f"{location.block}:{location.fraction:.{DECIMALS}g}" for location in self.locations)
        return text or "dense"

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks after which patches pause."""
        return tuple(location.block for location in self.locations)

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
        for block in self.blocks:
            if block >= depth:
                raise PaumerError(
                    f"schedule {self}: pausing after block {block} saves nothing in a network of {depth} blocks; "
                    f"use blocks 1 to {depth - 1}"
                )
