"""The notation of schedules, and how many patches they leave."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paumer.errors import PaumerError
from paumer.schedule import DECIMALS, Location, Schedule


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Schedules of 0 to 4 locations whose fractions have the notation's precision."""
    blocks = sorted(draw(st.sets(st.integers(1, 40), max_size=4)))
    shares = [draw(st.integers(1, 10**DECIMALS // 4 - 1)) for _ in blocks]
    return Schedule(tuple(Location(block, share / 10**DECIMALS) for block, share in zip(blocks, shares, strict=True)))


@given(schedules())
def test_parsing_what_was_formatted_gives_it_back(schedule: Schedule) -> None:
    assert Schedule.parse(str(schedule)) == schedule


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("3:0.4", "3:0.4"),
        (" 3:0.2 + 6:0.2 ", "3:0.2+6:0.2"),
        ("03:.40", "3:0.4"),
        ("2:0.12345", "2:0.1235"),
        ("1:0.0001", "1:0.0001"),
        ("", "dense"),
        ("dense", "dense"),
    ],
)
def test_every_spelling_has_one_format(text: str, formatted: str) -> None:
    assert str(Schedule.parse(text)) == formatted


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("3", "'3'"),
        ("3:", "'3:'"),
        ("3:x", "'3:x'"),
        ("3:-0.4", "'3:-0.4'"),
        ("3:0.2,6:0.2", "'3:0.2,6:0.2'"),
        ("3:0.2+", "''"),
        ("3:nan", "'3:nan'"),
        ("3:1e-1", "'3:1e-1'"),
        ("0:0.4", "0:0.4"),
        ("6:0.2+3:0.2", "6:0.2+3:0.2"),
        ("3:0.2+3:0.2", "3:0.2+3:0.2"),
        ("3:0", "3:0"),
        ("3:0.00001", "3:0"),
        ("3:1", "1"),
        ("3:0.5+6:0.5", "3:0.5+6:0.5"),
        ("3:0.9+6:0.3", "1.2"),
    ],
)
def test_what_is_no_schedule_is_named_in_one_line(text: str, culprit: str) -> None:
    with pytest.raises(PaumerError) as caught:
        Schedule.parse(text)
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)


@given(schedules(), st.integers(1, 5000))
def test_running_patches_fall_and_never_run_out(schedule: Schedule, patches: int) -> None:
    counts = list(schedule.running(patches).values())
    assert len(counts) == len(schedule.locations)
    assert counts == sorted(counts, reverse=True)
    assert all(1 <= count <= patches for count in counts)


@given(schedules().filter(lambda schedule: schedule.locations), st.integers(1, 5000))
@example(Schedule.parse("3:0.2+6:0.2"), 1024)
@example(Schedule.parse("3:0.1+6:0.2"), 15)  # 4.5 patches; floats add up to a little more than 0.3
def test_the_last_count_is_that_of_the_sum_at_one_location(schedule: Schedule, patches: int) -> None:
    together = Schedule((Location(schedule.blocks[-1], round(schedule.paused, DECIMALS)),))
    assert schedule.running(patches)[schedule.blocks[-1]] == together.running(patches)[schedule.blocks[-1]]


@given(schedules().filter(lambda schedule: schedule.locations), st.integers(1, 5000))
def test_paused_share_is_the_fraction_to_half_a_patch(schedule: Schedule, patches: int) -> None:
    paused = patches - schedule.running(patches)[schedule.blocks[-1]]
    assert paused <= schedule.paused * patches + 0.5 + 1e-6
    assert paused >= min(patches - 1, schedule.paused * patches - 0.5 - 1e-6)


def test_running_counts_of_an_example() -> None:
    assert Schedule.parse("3:0.2+6:0.2").running(1024) == {3: 1024 - 205, 6: 1024 - 410}
    assert Schedule.parse("dense").running(1024) == {}


def test_pausing_needs_a_block_that_follows() -> None:
    Schedule.parse("3:0.2+11:0.2").check_depth(12)
    with pytest.raises(PaumerError, match=r"3:0\.2\+12:0\.2.*block 12.*1 to 11"):
        Schedule.parse("3:0.2+12:0.2").check_depth(12)
