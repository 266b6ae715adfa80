"""Families of schedules."""

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import some

from paumer.schedule import Schedule
from paumer.tuning.shapes import MOST, PARTS, Shape, pilots, shapes

FAMILIES = shapes([2, 3, 6, 9, 10], 3)


@some
@given(st.sampled_from(FAMILIES), st.integers(0, MOST))
def test_what_is_printed_is_what_was_measured(shape, total) -> None:
    schedule = shape.at(total)
    assert Schedule.parse(str(schedule)) == schedule
    assert schedule.paused == pytest.approx(total / 1000)
    assert schedule.blocks == (shape.blocks if total else ())


@some
@given(st.sampled_from(FAMILIES), st.integers(0, MOST - 1), st.integers(1, 3000))
def test_a_larger_total_never_lets_more_patches_run(shape, total, patches) -> None:
    less, more = shape.at(total).running(patches), shape.at(total + 1).running(patches)
    assert all(more[block] <= count for block, count in less.items())


@pytest.mark.parametrize("locations", [1, 2, 3, 4])
def test_every_choice_of_places_and_splits_is_there_once(locations) -> None:
    found = shapes([9, 3, 6], locations)
    expected = sum(comb(3, count) * comb(PARTS - 1, count - 1) for count in range(1, min(3, locations) + 1))
    assert len(found) == len(set(found)) == expected
    assert all(sum(shape.parts) == PARTS and min(shape.parts) >= 1 for shape in found)
    assert all(list(shape.blocks) == sorted(set(shape.blocks)) for shape in found)
    assert all(len(shape.blocks) <= locations for shape in found)


@pytest.mark.parametrize("blocks", [[3], [3, 6], [3, 6, 9], list(range(1, 12))])
@pytest.mark.parametrize("locations", [1, 2])
def test_pilots_are_few_and_begin_with_the_most(blocks, locations) -> None:
    timed = pilots(blocks, locations)
    assert timed[0] == Shape((blocks[0],), (PARTS,)).at(MOST)
    assert len(set(timed)) == len(timed) <= 7
    assert max(len(schedule.locations) for schedule in timed) == min(locations, len(blocks))
