"""The search as a whole."""

from hypothesis import given
from hypothesis import strategies as st
from laws import Device, loss, some

from paumer.deployment.tuning.search import (
    ABOVE,
    candidates_for,
    most_accurate,
    pilots,
    settle,
    shapes,
)
from paumer.measurement.budget import Budget

SCALES = (1.0, 0.9)
FAMILIES, PILOTS = shapes([3, 6, 9], 2, SCALES), pilots([3, 6, 9], 2, SCALES)
DEVICE = Device(0.85, 0.01, -0.1)
EVERY = [shape.at(total) for shape in FAMILIES for total in range(10, 851, 10)]
RIVALS = [(DEVICE.speed(reduction).speedup, loss(reduction)) for reduction in EVERY]


@some
@given(st.floats(1.05, 1.9))
def test_the_whole_search_meets_the_budget_and_is_nearly_as_accurate_as_any_schedule(speedup) -> None:
    predict, budget = DEVICE.model(PILOTS), Budget(speedup)
    candidates = candidates_for(FAMILIES, speedup, predict)
    accurate = most_accurate(candidates, lambda reductions, _: [50 - loss(one) for one in reductions], 100, 4)
    settled = settle(accurate, budget, predict, DEVICE.time)
    met = [(loss(one.reduction), speed.speedup) for one, speed in settled if budget.met_by(speed.speedup)]
    lost, reached = min(met)
    assert reached <= ABOVE * speedup
    meeting = [least for rival, least in RIVALS if rival >= ABOVE * speedup]
    assert lost <= min(meeting, default=100.0)
