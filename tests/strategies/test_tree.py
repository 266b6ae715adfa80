"""Running many strategies at once: the logits of separate passes, and each shared block once."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paumer.schedule import Location, Schedule
from paumer.strategies.contract import Dense
from paumer.strategies.early_exit import EarlyExit
from paumer.strategies.pause import Pause


def pause(text: str, criterion: str = "entropy") -> Pause:
    return Pause(Schedule.parse(text), criterion)


POINTS = [
    pause("2:0.3+4:0.3"),
    EarlyExit(4),
    Dense(),
    pause("2:0.3"),
    EarlyExit(2),
    pause("4:0.5"),
    pause("2:0.3", "margin"),
    pause("2:0.3+4:0.3", "margin"),
    Pause(Schedule()),
]


def same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.allclose(first, second, rtol=0, atol=1e-12)


def test_sweep_equals_separate_passes(model, images) -> None:
    together = model.sweep(images, POINTS)
    assert len(together) == len(POINTS)
    for strategy, logits in zip(POINTS, together, strict=True):
        assert same(logits, model.patch_logits(images, strategy))


def test_shared_blocks_run_once(model, images, watch) -> None:
    with watch(model) as seen:
        model.sweep(images, POINTS)
    # From block 3: dense, entropy and margin. From block 5: dense, 4:0.5, and two for each criterion.
    assert Counter(number for number, _ in seen) == {1: 1, 2: 1, 3: 3, 4: 3, 5: 6, 6: 6}


def test_blocks_that_no_strategy_needs_do_not_run(model, images, watch) -> None:
    with watch(model) as seen:
        model.sweep(images, [EarlyExit(1), EarlyExit(3)])
    assert [number for number, _ in seen] == [1, 2, 3]


@pytest.mark.parametrize("strategy", [Dense(), EarlyExit(3), pause("3:0.4")])
def test_sweep_of_one_or_of_equals_is_that_strategy(plain, images, strategy) -> None:
    alone = plain.patch_logits(images, strategy)
    assert all(same(logits, alone) for logits in plain.sweep(images, [strategy, strategy]))
    assert same(plain.sweep(images, [strategy])[0], alone)


def test_sweep_of_nothing_is_nothing(plain, images) -> None:
    assert plain.sweep(images, []) == []


LOCATIONS = st.tuples(st.integers(1, 5), st.sampled_from([0.1, 0.3]))
PAUSES = st.builds(
    lambda locations, criterion: Pause(
        Schedule(tuple(Location(*location) for location in sorted(dict(locations).items()))), criterion
    ),
    st.lists(LOCATIONS, max_size=3),
    st.sampled_from(["entropy", "margin"]),
)


@settings(deadline=None, max_examples=15)
@given(st.lists(PAUSES | st.builds(EarlyExit, st.integers(1, 6)) | st.just(Dense()), min_size=1, max_size=6))
def test_any_sweep_equals_separate_passes(plain, images, strategies) -> None:
    for strategy, logits in zip(strategies, plain.sweep(images[:1], strategies), strict=True):
        assert same(logits, plain.patch_logits(images[:1], strategy))
