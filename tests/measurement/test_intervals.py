"""Intervals hold what they are for as often as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paumer.measurement.intervals import mean_interval, median_interval, ratio


@given(st.floats(0.1, 10), st.lists(st.floats(1e-3, 10), min_size=3, max_size=20))
def test_ratio_of_noiseless_rounds_is_exact_however_the_machine_drifts(speedup, reference) -> None:
    assert ratio(reference, [seconds / speedup for seconds in reference]) == pytest.approx((speedup, speedup, speedup))


def noise(generator: np.random.Generator, rounds: int, alike: float, heavy: bool) -> np.ndarray:
    """Disturbances of rounds whose neighbours correlate so, normal or with the heavy tails of Student's t with 3."""
    drawn = generator.standard_t(3, size=rounds + 20) if heavy else generator.normal(size=rounds + 20)
    values = np.empty(rounds + 20)
    values[0] = drawn[0]
    for place in range(1, len(values)):
        values[place] = alike * values[place - 1] + drawn[place]
    return 0.03 * values[20:]


@pytest.mark.parametrize("heavy", [False, True], ids=["normal", "heavy tails"])
@pytest.mark.parametrize("alike", [0.0, 0.5], ids=["independent", "alike"])
@pytest.mark.parametrize("rounds", [15, 31])
def test_interval_holds_the_truth_as_often_as_it_says(rounds: int, alike: float, heavy: bool) -> None:
    """Also where neighbouring rounds are alike; a bootstrap of independent rounds holds it in 78% of those cases."""
    generator = np.random.default_rng(0)
    held, trials = 0, 600
    for _ in range(trials):
        drift = generator.uniform(0.5, 2, size=rounds)
        middle, low, high = ratio(2 * drift * np.exp(noise(generator, rounds, alike, heavy)), drift)
        assert low <= middle <= high
        held += low <= 2 <= high
    assert 0.93 <= held / trials <= 0.99


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=40), st.floats(0.1, 10))
def test_interval_is_two_of_the_values_and_scales_with_them(values: list[float], factor: float) -> None:
    low, high = median_interval(values)
    assert {low, high} <= set(values) and low <= np.median(values) <= high
    assert median_interval([factor * value for value in values]) == pytest.approx((factor * low, factor * high))
    if len(values) < 6:
        assert (low, high) == (min(values), max(values))


@pytest.mark.parametrize("count", [2, 3, 6, 30])
def test_interval_of_a_mean_holds_the_truth_as_often_as_it_says(count: int) -> None:
    values = np.random.default_rng(0).normal(7, 3, size=(4000, count))
    ends = [mean_interval(row.mean(), row.std(ddof=1), count) for row in values]
    assert np.mean([low <= 7 <= high for low, high in ends]) == pytest.approx(0.95, abs=0.012)


def test_one_seed_has_no_interval() -> None:
    assert np.isnan(mean_interval(1, float("nan"), 1)).all()
