"""The notation of schedules and thresholds, and how many patches schedules leave."""

from itertools import groupby

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paumer.strategies.notation import DECIMALS, SHORTEST_RANGE, Location, Schedule, Thresholds
from paumer.system.errors import PaumerError


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Schedules of 0 to 4 locations whose fractions have the notation's precision."""
    blocks = sorted(draw(st.sets(st.integers(1, 40), max_size=4)))
    shares = [draw(st.integers(1, 10**DECIMALS // 4 - 1)) for _ in blocks]
    return Schedule(tuple(Location(block, share / 10**DECIMALS) for block, share in zip(blocks, shares, strict=True)))


# Values of the notation's precision, few enough that neighbouring blocks often have the same.
VALUES = st.sampled_from([0.01, 0.02]) | st.integers(1, 240).map(lambda share: share / 10**DECIMALS)
BLOCKS = st.sets(st.integers(1, 40), max_size=12).map(sorted)
THRESHOLDS = st.sampled_from([0.0, 0.9, 1.0, 1.01]) | st.integers(0, 3 * 10**DECIMALS).map(lambda x: x / 10**DECIMALS)


@st.composite
def long_schedules(draw: st.DrawFn) -> Schedule:
    """Schedules of many locations, so that ranges of blocks occur."""
    return Schedule(tuple(Location(block, draw(VALUES)) for block in draw(BLOCKS)))


@st.composite
def thresholds(draw: st.DrawFn) -> Thresholds:
    blocks = draw(st.sets(st.integers(1, 40), min_size=1, max_size=12).map(sorted))
    return Thresholds(tuple((block, draw(THRESHOLDS)) for block in blocks))


@given(schedules() | long_schedules())
def test_parsing_what_was_formatted_gives_it_back(schedule: Schedule) -> None:
    assert Schedule(str(schedule)) == schedule


@given(thresholds())
@example(Thresholds(((3, 1.0001),)))
@example(Thresholds(((3, 12345.0),)))
def test_parsing_thresholds_that_were_formatted_gives_them_back(some: Thresholds) -> None:
    assert Thresholds.parse(str(some)) == some


@given(long_schedules())
def test_a_range_stands_for_its_blocks_one_by_one(schedule: Schedule) -> None:
    spelled_out = "+".join(f"{location.block}:{location.fraction:.{DECIMALS}f}" for location in schedule.locations)
    assert Schedule(spelled_out) == schedule
    assert str(Schedule(spelled_out)) == str(schedule)


@given(long_schedules().filter(lambda schedule: schedule.locations))
def test_three_or_more_blocks_in_a_row_of_one_value_are_written_as_a_range(schedule: Schedule) -> None:
    numbered = enumerate(schedule.locations)
    runs = [len(list(run)) for _, run in groupby(numbered, lambda item: (item[1].block - item[0], item[1].fraction))]
    parts = str(schedule).split("+")
    assert sum("-" in part for part in parts) == sum(length >= SHORTEST_RANGE == 3 for length in runs)
    assert len(parts) == sum(1 if length >= SHORTEST_RANGE else length for length in runs)


@pytest.mark.parametrize(
    ("read", "text", "formatted"),
    [
        (Schedule, "3:0.4", "3:0.4"),
        (Schedule, " 3:0.2 + 6:0.2 ", "3:0.2+6:0.2"),
        (Schedule, "03:.40", "3:0.4"),
        (Schedule, "2:0.12345", "2:0.1235"),
        (Schedule, "1:0.0001", "1:0.0001"),
        (Schedule, "1-8:0.05", "1-8:0.05"),
        (Schedule, "1:0.05+2:0.05+3:0.05", "1-3:0.05"),
        (Schedule, "1:0.05+2:0.05", "1:0.05+2:0.05"),
        (Schedule, "1-2:0.05", "1:0.05+2:0.05"),
        (Schedule, "5-5:0.05", "5:0.05"),
        (Schedule, "1-3:0.05+4:0.05", "1-4:0.05"),
        (Schedule, "1-3:0.05+4:0.1+5-7:0.1", "1-3:0.05+4-7:0.1"),
        (Schedule, "1-3:0.05+5-7:0.05", "1-3:0.05+5-7:0.05"),
        (Schedule, "", "dense"),
        (Schedule, "dense", "dense"),
        (Thresholds.parse, "3@0.9+6@0.9", "3@0.9+6@0.9"),
        (Thresholds.parse, " 3@.90 + 6@0.95 ", "3@0.9+6@0.95"),
        (Thresholds.parse, "1-3@0.9", "1-3@0.9"),
        (Thresholds.parse, "1@0.9+2@0.9+3@0.9", "1-3@0.9"),
        (Thresholds.parse, "3@0", "3@0"),
        (Thresholds.parse, "3@1", "3@1"),
        (Thresholds.parse, "3@1.0", "3@1"),
        (Thresholds.parse, "3@1.01", "3@1.01"),
    ],
)
def test_every_spelling_has_one_format(read, text: str, formatted: str) -> None:
    assert str(read(text)) == formatted


@pytest.mark.parametrize(
    ("read", "text", "culprit"),
    [
        (Schedule, "3", "'3'"),
        (Schedule, "3:", "'3:'"),
        (Schedule, "3:x", "'3:x'"),
        (Schedule, "3:-0.4", "'3:-0.4'"),
        (Schedule, "3:0.2,6:0.2", "'3:0.2,6:0.2'"),
        (Schedule, "3:0.2+", "''"),
        (Schedule, "3:nan", "'3:nan'"),
        (Schedule, "3:1e-1", "'3:1e-1'"),
        (Schedule, "0:0.4", "0:0.4"),
        (Schedule, "6:0.2+3:0.2", "6:0.2+3:0.2"),
        (Schedule, "3:0.2+3:0.2", "3:0.2+3:0.2"),
        (Schedule, "3:0", "3:0"),
        (Schedule, "3:0.00001", "3:0"),
        (Schedule, "3:1", "1"),
        (Schedule, "3:0.5+6:0.5", "3:0.5+6:0.5"),
        (Schedule, "3:0.9+6:0.3", "1.2"),
        (Schedule, "3@0.4", "'3@0.4'"),
        (Schedule, "8-1:0.05", "'8-1:0.05'"),
        (Schedule, "1-8:0.2", "1.6"),
        (Schedule, "1-3:0.1+3:0.1", "must rise"),
        (Schedule, "1-:0.1", "'1-:0.1'"),
        (Schedule, "1-2-3:0.1", "'1-2-3:0.1'"),
        (Schedule, "0-3:0.1", "counted from 1"),
        (Thresholds.parse, "", "''"),
        (Thresholds.parse, "dense", "'dense'"),
        (Thresholds.parse, "3:0.9", "'3:0.9'"),
        (Thresholds.parse, "3@0.9+6:0.2", "'6:0.2'"),
        (Thresholds.parse, "3@-0.1", "'3@-0.1'"),
        (Thresholds.parse, "6@0.9+3@0.9", "must rise"),
        (Thresholds.parse, "0@0.9", "counted from 1"),
        (Thresholds.parse, "4-2@0.9", "'4-2@0.9'"),
    ],
)
def test_what_is_neither_is_named_in_one_line(read, text: str, culprit: str) -> None:
    with pytest.raises(PaumerError) as caught:
        read(text)
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)


@given(schedules(), st.integers(1, 5000))
def test_running_patches_fall_and_never_run_out(schedule: Schedule, patches: int) -> None:
    counts = list(schedule.running(patches).values())
    assert len(counts) == len(schedule.locations)
    assert counts == sorted(counts, reverse=True)
    assert all(1 <= count <= patches for count in counts)


@given(schedules().filter(lambda schedule: schedule.locations), st.integers(1, 5000))
@example(Schedule("3:0.2+6:0.2"), 1024)
@example(Schedule("3:0.1+6:0.2"), 15)  # 4.5 patches; floats add up to a little more than 0.3
def test_the_last_count_is_that_of_the_sum_at_one_location(schedule: Schedule, patches: int) -> None:
    together = Schedule((Location(schedule.blocks[-1], round(schedule.paused, DECIMALS)),))
    assert schedule.running(patches)[schedule.blocks[-1]] == together.running(patches)[schedule.blocks[-1]]


@given(schedules().filter(lambda schedule: schedule.locations), st.integers(1, 5000))
def test_paused_share_is_the_fraction_to_half_a_patch(schedule: Schedule, patches: int) -> None:
    paused = patches - schedule.running(patches)[schedule.blocks[-1]]
    assert paused <= schedule.paused * patches + 0.5 + 1e-6
    assert paused >= min(patches - 1, schedule.paused * patches - 0.5 - 1e-6)


def test_a_range_names_each_of_its_blocks() -> None:
    assert Schedule("1-4:0.1").running(100) == {1: 90, 2: 80, 3: 70, 4: 60}
    assert Thresholds.parse("2-4@0.9").blocks == (2, 3, 4)


def test_no_thresholds_at_all_are_refused() -> None:
    with pytest.raises(PaumerError, match="there is none"):
        Thresholds(())
