"""Timing, on a clock that the tests turn."""

from types import SimpleNamespace

import pytest
import torch

from paumer.measurement import timing as harness
from paumer.measurement.timing import calibrate, time_block, time_rounds

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


SLOW = pytest.param(1e-7, marks=pytest.mark.exhaustive)  # ten million calls


@pytest.mark.parametrize("seconds", [SLOW, 0.001, 0.03, 0.19, 0.2, 0.5])
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
