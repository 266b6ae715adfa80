"""Predicting speed-ups, and bringing measured ones to a budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import Device, macs, some

from paumer.deployment.tuning.search import (
    ABOVE,
    ATTEMPTS,
    MOST,
    Candidate,
    Shape,
    Speed,
    candidates_for,
    just_enough,
    pilots,
    settle,
    shapes,
)
from paumer.measurement.budget import Budget

SCALES = (1.0, 0.9, 0.8)
FAMILIES, PILOTS = shapes([3, 6, 9], 2, SCALES), pilots([3, 6, 9], 2, SCALES)
DEVICES = st.builds(Device, st.floats(0.6, 1.0), st.floats(0.0, 0.03), st.floats(-0.3, 0.1))
STRAIGHT = st.builds(Device, st.floats(0.3, 1.0), st.floats(0.0, 0.05))


@some
@given(STRAIGHT, st.sampled_from(FAMILIES), st.integers(1, MOST))
def test_a_device_that_follows_the_model_is_predicted_exactly(device, shape, total) -> None:
    reduction = shape.at(total)
    assert device.model(PILOTS)(reduction) == pytest.approx(device.speed(reduction).speedup)


def test_where_nothing_is_resized_resizing_costs_nothing() -> None:
    model = Device(0.8, 0.01).model(pilots([3, 6, 9], 2))
    assert model.resizing == pytest.approx(0)
    assert (model.realised, model.overhead) == pytest.approx((0.8, 0.01))


def test_prediction_never_falls_where_more_pauses_even_on_a_device_that_gains_nothing() -> None:
    predict = Device(-0.2, 0.01).model(PILOTS)
    for shape in FAMILIES:
        speedups = [predict(shape.at(total)) for total in range(1, MOST + 1, 25)]
        assert speedups == sorted(speedups)
        assert max(speedups) <= 1


@some
@given(STRAIGHT, st.floats(1.01, 6))
def test_candidates_just_meet_the_budget_and_all_families_that_can_are_there(device, speedup) -> None:
    predict = device.model(PILOTS)
    found = candidates_for(FAMILIES, speedup, predict)
    reachable = min(speedup, max(predict(shape.at(MOST)) for shape in FAMILIES))
    assert found
    assert len({candidate.reduction for candidate in found}) == len(found)
    for candidate in found:
        assert predict(candidate.reduction) >= reachable
        least = 1 if candidate.shape.scale == 1 else 0
        assert candidate.total == least or predict(candidate.shape.at(candidate.total - 1)) < reachable
    alone = {candidate.shape.scale for candidate in found if candidate.total == 0}
    left_out = {shape for shape in FAMILIES if shape.scale not in alone} - {candidate.shape for candidate in found}
    assert all(predict(shape.at(MOST)) < reachable for shape in left_out)


def test_nothing_is_just_enough_where_nothing_is_enough() -> None:
    assert just_enough(Shape((3,), (5,)), 20, Device(1, 0).model(PILOTS)) is None


@some
@given(DEVICES, st.floats(1.05, 1.6))
def test_settled_candidates_measure_as_asked_though_the_prediction_is_wrong(device, speedup) -> None:
    predict = device.model(PILOTS)
    families = [shape for shape in FAMILIES if device.speed(shape.at(MOST)).speedup >= 1.05 * speedup]
    candidates = candidates_for(families, speedup, predict) if families else []
    for candidate, speed in settle(candidates, Budget(speedup), predict, device.time):
        assert Budget(speedup).met_by(speed.speedup)
        assert speed.speedup <= ABOVE * speedup or candidate.total == 0  # a smaller input may do by itself
        assert speed == device.speed(candidate.reduction)


def test_what_cannot_reach_the_budget_gives_the_most_it_can() -> None:
    device, shape = Device(0.5, 0.0), Shape((3,), (5,))
    predict = Device(1.0, 0.0).model(PILOTS)  # far too hopeful
    [(candidate, speed)] = settle([Candidate(shape, 500)], Budget(3.0), predict, device.time)
    assert candidate.total == MOST
    assert not Budget(3.0).met_by(speed.speedup)


def test_what_measures_right_is_measured_once() -> None:
    device = Device(0.8, 0.01)
    candidates = candidates_for(FAMILIES, 1.3, device.model(PILOTS))
    settle(candidates, Budget(1.3), device.model(PILOTS), device.time)
    assert sorted(device.timed) == sorted(candidate.reduction for candidate in candidates)


def test_of_noisy_attempts_one_that_meets_the_budget_counts() -> None:
    predict = Device(1.0, 0.0).model(PILOTS)
    measured = iter([1.2, 1.9, 1.45, 1.7])

    def time(reductions):
        return [Speed(1.0, next(measured), 0.0, 9.0) for _ in reductions]

    [(_, speed)] = settle([Candidate(Shape((3,), (5,)), 400)], Budget(1.5), predict, time)
    assert speed.speedup == 1.7
    assert next(measured, None) is None
    assert ATTEMPTS == 4


def test_the_law_of_the_device_is_that_of_counting() -> None:
    assert macs(Shape((3,), (5,)).at(400)) == pytest.approx(1 - 0.4 * 9 / 12)
