"""The parameters of strategies and their notations, beside schedules and thresholds. Imports no torch."""

import re
from dataclasses import dataclass
from typing import ClassVar

from paumer.strategies.notation import DECIMALS, Schedule, Thresholds
from paumer.system.errors import PaumerError

OVER_BATCH = " over batch"
WHOLE = re.compile(r"0*[1-9][0-9]{0,5}")  # numbers of blocks and patches


@dataclass(frozen=True)
class _Located:
    """Parameters around fractions or thresholds.

    Attributes:
        where: fractions of all patches, or thresholds of certainty.
    """

    where: Schedule | Thresholds

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks after which something may happen."""
        return self.where.blocks

    @property
    def values(self) -> dict[int, float]:
        """The fraction or threshold by block."""
        return self.where.values

    @property
    def depends_on_image(self) -> bool:
        """Whether what an image shows decides how many of its patches are concerned."""
        return self.where.depends_on_image

    def check_depth(self, depth: int) -> None:
        """Refuse locations where no block follows."""
        self.where.check_depth(depth)


@dataclass(frozen=True)
class BatchBudget(_Located):
    """Fractions of the patches of a whole batch, whose images compete for them; written `3:0.4 over batch`.

    The total stays the same, and each image's share of it depends on what the images show.
    """

    where: Schedule
    depends_on_image = True

    def __str__(self) -> str:
        """The notation."""
        return f"{self.where}{OVER_BATCH}"


@dataclass(frozen=True)
class TokenExitParameters(_Located):
    """Where patches take the auxiliary head's prediction as final, and how many of every class never do.

    Attributes:
        keep: the best patches of every predicted class that keep running.
    """

    keep: int = 5

    def __str__(self) -> str:
        """The notation, `3:0.4` or `3:0.4 keep 10`."""
        return str(self.where) if self.keep == TokenExitParameters.keep else f"{self.where} keep {self.keep}"


@dataclass(frozen=True)
class Exit:
    """The block after which the whole image leaves, written `exit:6`."""

    block: int
    depends_on_image: ClassVar[bool] = False

    def __str__(self) -> str:
        """The notation."""
        return f"exit:{self.block}"

    @property
    def blocks(self) -> tuple[int, ...]:
        """The block of the exit."""
        return (self.block,)

    def check_depth(self, depth: int) -> None:
        """Refuse a block that the network lacks."""
        if self.block > depth:
            raise PaumerError(f"{self}: no block {self.block} in a network of {depth} blocks; use 1 to {depth}")


@dataclass(frozen=True)
class Scale:
    """How much of the image's height and width the network sees, written `scale:0.75`."""

    factor: float
    blocks: tuple[int, ...] = ()
    depends_on_image: ClassVar[bool] = False

    def __str__(self) -> str:
        """The notation."""
        return f"scale:{self.factor:.{DECIMALS}g}"

    def check_depth(self, depth: int) -> None:
        """Fits every network."""


Parameters = Schedule | Thresholds | BatchBudget | TokenExitParameters | Exit | Scale


def parse_pausing(text: str) -> Schedule:
    """Read fractions to pause, at least one."""
    schedule = Schedule.parse(text)
    if not schedule.locations:
        raise PaumerError("the empty schedule is dense, which every run evaluates anyway; remove it")
    return schedule


def parse_pause(text: str) -> Schedule | BatchBudget | Thresholds:
    """Read fractions of each image's patches or of a batch's, or thresholds."""
    if text.endswith(OVER_BATCH):
        return BatchBudget(parse_pausing(text.removesuffix(OVER_BATCH)))
    return _parse_where(text)


def _parse_where(text: str) -> Schedule | Thresholds:
    """Read thresholds, or else fractions."""
    return Thresholds.parse(text) if "@" in text else parse_pausing(text)


def parse_merging(text: str) -> Schedule:
    """Read fractions to merge away; one block merges at most half of its tokens, as pairs do."""
    schedule = parse_pausing(text)
    _check_pairs(schedule, 0)
    return schedule


def parse_local_merging(text: str) -> Schedule | Thresholds:
    """Read fractions or thresholds; the first location merges 2 x 2 neighbours, the others pairs."""
    schedule = _parse_where(text)
    if isinstance(schedule, Thresholds):
        return schedule
    if schedule.locations[0].fraction > 0.75:
        raise PaumerError(
            f"schedule {schedule}: merging 2 x 2 neighbours removes 0.75 of all patches at most; lower it"
        )
    _check_pairs(schedule, 1)
    return schedule


def _check_pairs(schedule: Schedule, start: int) -> None:
    """Refuse locations from number `start` on that merge more than half of what runs there."""
    left = 1.0 - sum(location.fraction for location in schedule.locations[:start])
    for location in schedule.locations[start:]:
        if location.fraction > left / 2 + 10**-DECIMALS:
            raise PaumerError(
                f"schedule {schedule}: merging {location.fraction:g} in block {location.block} is more than half of "
                f"the {left:.{DECIMALS}g} that run there; spread it over more blocks"
            )
        left -= location.fraction


def parse_token_exit(text: str) -> TokenExitParameters:
    """Read fractions or thresholds, and how many patches of every class to keep."""
    where, _, keep = text.partition(" keep ")
    read = _parse_where(where)
    if not keep:
        return TokenExitParameters(read)
    if not WHOLE.fullmatch(keep.strip()):
        raise PaumerError(f"{text!r}: keep {keep!r} is no whole number above 0; write it like 3:0.4 keep 5")
    return TokenExitParameters(read, int(keep))


def parse_exit(text: str) -> Exit:
    """Read the block of an early exit."""
    number = text.removeprefix("exit:").strip()
    if not WHOLE.fullmatch(number):
        raise PaumerError(f"{text!r} is no early exit; write it like exit:6 (the whole image leaves after block 6)")
    return Exit(int(number))


def parse_scale(text: str) -> Scale:
    """Read the scale of a smaller input."""
    try:
        factor = round(float(text.removeprefix("scale:")), DECIMALS)
    except ValueError:
        factor = 0.0
    if not 0 < factor <= 1:
        raise PaumerError(f"{text!r} is no scale above 0 and up to 1; write it like scale:0.75")
    return Scale(factor)
