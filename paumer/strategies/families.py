"""Families of schedules that differ in one amount, which a search solves for a speed. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

DECIMALS = 3  # of the numbers in a schedule
KNOTS = 3  # amounts of a family that are timed


@dataclass(frozen=True)
class Family:
    """Schedules of one strategy, from little to much that is saved.

    Attributes:
        template: a schedule with `{}` in the place of every number.
        parts: each number is `start` plus its part times the amount.
        start: the numbers at amount 0.
        most: the largest amount.
        choices: where there are only so many schedules, the numbers of each, by rising amount.
    """

    template: str
    parts: tuple[float, ...] = (1.0,)
    start: float = 0.0
    most: float = 0.9
    choices: tuple[int, ...] = ()

    @property
    def amounts(self) -> tuple[float, ...]:
        """The amounts that are timed: those of all choices, or a few evenly spaced ones."""
        if self.choices:
            return tuple(range(1, len(self.choices) + 1))
        return tuple(self.most * (knot + 1) / KNOTS for knot in range(KNOTS))

    def at(self, amount: float) -> str:
        """The schedule that saves this amount."""
        if self.choices:
            return self.template.format(self.choices[round(amount) - 1])
        return self.template.format(*(round(self.start + part * amount, DECIMALS) for part in self.parts))

    def after(self, first: str) -> "Family":
        """The family in a composition, after a strategy of fixed parameters."""
        return Family(f"{first}>{self.template}", self.parts, self.start, self.most, self.choices)


def by_fractions(heads: Sequence[int]) -> tuple[Family, ...]:
    """One location after each head, and two of half the amount each, after the first heads and their next but one."""
    single = [Family(f"{block}:{{}}") for block in heads]
    pairs = [Family(f"{first}:{{}}+{second}:{{}}", (0.5, 0.5)) for first, second in zip(heads, heads[2:], strict=False)]
    return (*single, *pairs[:2])
