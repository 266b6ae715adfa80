"""The choice among the finalists."""

from hypothesis import given
from hypothesis import strategies as st
from laws import Device, loss, macs, some

from paumer.deployment.tuning.search import (
    ABOVE,
    BELOW,
    Reduction,
    Speed,
    candidates_for,
    most_accurate,
    pilots,
    settle,
    shapes,
)
from paumer.deployment.tuning.tune import Finalist, choose_accurate, choose_fastest
from paumer.strategies.notation import Schedule

SCALES = (1.0, 0.9)
FAMILIES, PILOTS = shapes([3, 6, 9], 2, SCALES), pilots([3, 6, 9], 2, SCALES)
DEVICE = Device(0.85, 0.01, -0.1)
EVERY = [shape.at(total) for shape in FAMILIES for total in range(10, 851, 10)]
RIVALS = [(DEVICE.speed(reduction).speedup, loss(reduction)) for reduction in EVERY]


def finalist(miou: float, speedup: float) -> Finalist:
    return Finalist(Reduction(Schedule.parse("3:0.4")), miou, 50 - miou, Speed(10.0, speedup, speedup, speedup), 0.7)


FINALISTS = st.lists(st.builds(finalist, st.floats(0, 100), st.floats(0.5, 5)), min_size=1, max_size=8)


@some
@given(FINALISTS, st.floats(1, 4))
def test_chosen_is_the_most_accurate_that_meets_the_budget(finalists, speedup) -> None:
    chosen = choose_accurate(finalists, speedup)
    meeting = [one for one in finalists if one.speed.speedup >= BELOW * speedup]
    if meeting:
        assert chosen in meeting
        assert chosen.miou == max(one.miou for one in meeting)
    else:
        assert chosen.speed.speedup == max(one.speed.speedup for one in finalists)


@some
@given(FINALISTS, st.floats(1, 4), st.floats(1, 2))
def test_asking_for_more_speed_never_gives_more_accuracy(finalists, speedup, more) -> None:
    if any(one.speed.speedup >= BELOW * more * speedup for one in finalists):
        assert choose_accurate(finalists, more * speedup).miou <= choose_accurate(finalists, speedup).miou


@some
@given(FINALISTS)
def test_fastest_is_faster_than_not_pausing(finalists) -> None:
    chosen, best = choose_fastest(finalists), max(one.speed.speedup for one in finalists)
    assert (chosen is None) == (best <= 1)
    assert chosen is None or chosen.speed.speedup == best


def whole_search(speedup: float) -> Finalist:
    predict = DEVICE.model(PILOTS)
    candidates = candidates_for(FAMILIES, speedup, predict)
    best = most_accurate(candidates, lambda reductions, _: [50 - loss(one) for one in reductions], 100, 4)
    settled = settle(best, speedup, predict, DEVICE.time)
    every = [(one.reduction, speed) for one, speed in settled]
    return choose_accurate(
        [Finalist(one, 50 - loss(one), loss(one), speed, macs(one)) for one, speed in every], speedup
    )


@some
@given(st.floats(1.05, 1.9))
def test_the_whole_search_meets_the_budget_and_is_nearly_as_accurate_as_any_schedule(speedup) -> None:
    chosen = whole_search(speedup)
    assert BELOW * speedup <= chosen.speed.speedup <= ABOVE * speedup
    meeting = [lost for rival, lost in RIVALS if rival >= ABOVE * speedup]
    assert chosen.drop <= min(meeting, default=100.0)
