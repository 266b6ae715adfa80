"""The best operating point for a budget."""

from math import nan
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paumer.measurement.budget import Budget, best


class Measured(NamedTuple):
    miou: float | None
    drop: float | None
    speedup: float | None
    schedule: str = "3:0.4"


def measured(miou: float, speedup: float) -> Measured:
    return Measured(miou, 50 - miou, speedup)


POINTS = st.lists(st.builds(measured, st.floats(0, 100), st.floats(0.5, 5)), max_size=8)


@given(POINTS, st.floats(1, 4))
def test_the_best_at_a_speed_up_is_the_most_accurate_that_reaches_it(points, speedup) -> None:
    reaching = [point.miou for point in points if point.speedup >= 0.99 * speedup]
    found = best(points, Budget(speedup))
    assert (found is None) == (not reaching)
    assert found is None or (found.miou == max(reaching) and found.speedup >= 0.99 * speedup)


@given(POINTS, st.floats(-50, 50))
def test_the_best_within_a_drop_is_the_fastest_of_those_within_it(points, limit) -> None:
    within = [point.speedup for point in points if point.drop <= limit]
    found = best(points, Budget(max_drop=limit))
    assert (None if found is None else found.speedup) == max(within, default=None)


@pytest.mark.parametrize(("tolerance", "found"), [(0.01, True), (0, False)])
def test_a_published_speed_up_is_compared_without_tolerance(tolerance, found) -> None:
    assert (best([measured(50, 1.49)], Budget(1.5, tolerance=tolerance)) is not None) == found


def test_what_was_not_measured_is_never_better() -> None:
    known = Measured(40, 10, 1.5)
    for unknown in (None, nan):
        assert best([Measured(unknown, unknown, 1.5), known], Budget(1.5)) == known
        assert best([Measured(60, 0, unknown), known], Budget(1.5)) == known
        assert best([Measured(60, unknown, 2.0), known], Budget(max_drop=10)) == known
    assert best([Measured(60, 0, None)], Budget()) is None


def test_equal_points_are_told_apart_by_speed_and_then_by_the_schedule() -> None:
    points = [Measured(40, 10, 1.5, "6:0.4"), Measured(40, 10, 1.6, "6:0.5"), Measured(40, 10, 1.6, "3:0.4")]
    assert best(points, Budget(1.5)) == points[2]
