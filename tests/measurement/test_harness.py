"""Timing, on a clock that the tests turn."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paumer.measurement import harness
from paumer.measurement.harness import calibrate, ratio, time_block, time_rounds

CPU = torch.device("cpu")


class Clock:
    """A clock that only runs while a timed function does."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def perf_counter(self) -> float:
        return self.now

    def function(self, name: str, seconds: float, first: float = 0.0):
        """A function that takes `seconds`, and `first` more the first time."""

        def run() -> None:
            self.now += seconds + (0 if name in self.calls else first)
            self.calls.append(name)

        return run


@pytest.fixture
def clock(monkeypatch) -> Clock:
    turned = Clock()
    monkeypatch.setattr(harness, "time", SimpleNamespace(perf_counter=turned.perf_counter))
    return turned


@pytest.mark.parametrize("seconds", [1e-7, 0.001, 0.03, 0.19, 0.2, 0.5])
@pytest.mark.parametrize("first", [0.0, 10.0], ids=["steady", "slow first call"])
def test_calibration_finds_the_calls_that_fill_a_block(clock, seconds, first) -> None:
    run = clock.function("a", seconds, first)
    calls = calibrate(run, CPU, 0.2)
    assert time_block(run, CPU, calls) * calls >= 0.2 * (1 - 1e-6)
    assert (calls - 1) * seconds <= 1.25 * 0.2


def test_block_gives_seconds_per_call(clock) -> None:
    assert time_block(clock.function("a", 0.03), CPU, 7) == pytest.approx(0.03)
    assert clock.calls == 7 * ["a"]


def test_every_round_times_every_variant(clock) -> None:
    durations = {"a": 0.01, "b": 0.02, "c": 0.05}
    variants = {name: clock.function(name, seconds) for name, seconds in durations.items()}
    timed = time_rounds(variants, CPU, 7, 0.1, "test")
    assert list(timed) == list(durations)
    for name, seconds in durations.items():
        assert timed[name] == pytest.approx(7 * [seconds])


def test_rounds_are_in_changing_order_that_is_the_same_each_time(clock) -> None:
    def orders() -> list[str]:
        clock.calls.clear()
        time_rounds({name: clock.function(name, 1.0) for name in "abc"}, CPU, 20, 0.5, "test")
        rounds = clock.calls[-60:]
        return ["".join(rounds[first : first + 3]) for first in range(0, 60, 3)]

    first = orders()
    assert all(sorted(order) == ["a", "b", "c"] for order in first)
    assert len(set(first)) > 3
    assert orders() == first


@given(st.floats(0.1, 10), st.lists(st.floats(1e-3, 10), min_size=3, max_size=20))
def test_ratio_of_noiseless_rounds_is_exact_however_the_machine_drifts(speedup, reference) -> None:
    assert ratio(reference, [seconds / speedup for seconds in reference]) == pytest.approx((speedup, speedup, speedup))


def test_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    held, trials = 0, 300
    for _ in range(trials):
        drift = generator.uniform(0.5, 2, size=15)
        reference, variant = (drift * generator.lognormal(sigma=0.05, size=15) for _ in range(2))
        middle, low, high = ratio(2 * reference, variant)
        assert low <= middle <= high
        held += low <= 2 <= high
    assert 0.89 <= held / trials <= 0.99


def test_interval_narrows_with_rounds() -> None:
    generator = np.random.default_rng(0)

    def width(rounds: int) -> float:
        _, low, high = ratio(*generator.lognormal(sigma=0.1, size=(2, rounds)))
        return high - low

    assert np.mean([width(100) for _ in range(20)]) < 0.6 * np.mean([width(10) for _ in range(20)])
