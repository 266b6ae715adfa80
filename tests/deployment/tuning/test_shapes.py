"""Families of schedules."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import some

from paumer.deployment.tuning.search import MOST, PARTS, UNPAUSED, Shape, pilots, shapes
from paumer.strategies.notation import Schedule
from paumer.strategies.registry import OperatingPoint, operating_point

FAMILIES = shapes([2, 3, 6, 9, 10], 3, (1.0, 0.85))


@some
@given(st.sampled_from(FAMILIES), st.integers(0, MOST))
def test_what_is_printed_is_what_was_measured(shape, total) -> None:
    reduction = shape.at(total)
    point = reduction.point("smoothed")
    assert point == (
        operating_point(point.strategy, "smoothed" if total else "", str(reduction))
        if point.parts
        else OperatingPoint()
    )
    read = {type(part.parameters).__name__: part.parameters for part in point.parts}
    assert getattr(read.get("Scale"), "factor", 1.0) == reduction.scale == shape.scale
    assert read.get("Schedule", Schedule()) == reduction.schedule
    assert reduction.schedule.paused == pytest.approx(total / 1000)
    assert reduction.schedule.blocks == (shape.blocks if total else ())


@pytest.mark.parametrize(
    ("shape", "total", "point"),
    [
        (Shape((3,), (5,)), 0, OperatingPoint()),
        (Shape((3,), (5,)), 400, operating_point("pause", "entropy", "3:0.4")),
        (Shape((3,), (5,), 0.9), 0, operating_point("resize", "", "scale:0.9")),
        (Shape((3, 6), (2, 3), 0.9), 500, operating_point("resize>pause", "entropy", "scale:0.9>3:0.2+6:0.3")),
    ],
)
def test_reductions_are_operating_points(shape, total, point) -> None:
    assert shape.at(total).point("entropy") == point
    assert (shape.at(total) == UNPAUSED) == (point == OperatingPoint())


@some
@given(st.sampled_from(FAMILIES), st.integers(0, MOST - 1), st.integers(1, 3000))
def test_a_larger_total_never_lets_more_patches_run(shape, total, patches) -> None:
    less, more = (shape.at(one).schedule.running(patches) for one in (total, total + 1))
    assert all(more[block] <= count for block, count in less.items())


@pytest.mark.parametrize("locations", [1, 2, 3, 4])
def test_every_choice_of_places_and_splits_is_there_once(locations) -> None:
    found = shapes([9, 3, 6], locations)
    expected = sum(comb(3, count) * comb(PARTS - 1, count - 1) for count in range(1, min(3, locations) + 1))
    assert len(found) == len(set(found)) == expected
    assert all(sum(shape.parts) == PARTS and min(shape.parts) >= 1 for shape in found)
    assert all(list(shape.blocks) == sorted(set(shape.blocks)) for shape in found)
    assert all(len(shape.blocks) <= locations for shape in found)
    assert [shape.scale for shape in shapes([9, 3, 6], locations, (1.0, 0.8))] == [1.0] * expected + [0.8] * expected


@pytest.mark.parametrize("blocks", [[3], [3, 6], [3, 6, 9], list(range(1, 12))])
@pytest.mark.parametrize("locations", [1, 2])
def test_pilots_are_few_and_begin_with_the_most(blocks, locations) -> None:
    timed = pilots(blocks, locations)
    assert timed[0] == Shape((blocks[0],), (PARTS,)).at(MOST)
    assert len(set(timed)) == len(timed) <= 7
    assert max(len(one.schedule.locations) for one in timed) == min(locations, len(blocks))


def test_pilots_on_smaller_inputs_tell_what_resizing_costs() -> None:
    timed = pilots([3, 6, 9], 2, (0.9, 0.8, 1.0))
    assert timed[0] == Shape((3,), (PARTS,), 0.8).at(MOST)
    assert Shape((3,), (PARTS,), 0.8).at(0) in timed
    assert set(pilots([3, 6, 9], 2)) < set(timed)
