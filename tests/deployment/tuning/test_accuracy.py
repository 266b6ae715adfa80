"""Which candidates are the most accurate, and how much a family may pause within a drop."""

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import Device, loss, some

from paumer.deployment.tuning.search import (
    FINE,
    MOST,
    SLACK,
    candidates_for,
    most_accurate,
    pilots,
    shapes,
    within_drop,
)

SCALES = (1.0, 0.9)
FAMILIES = shapes([2, 3, 6, 9], 2, SCALES)
PREDICT = Device(0.8, 0.01).model(pilots([2, 3, 6, 9], 2, SCALES))


def drops(reductions) -> list[float]:
    return [loss(reduction) for reduction in reductions]


@some
@given(st.integers(1, 40), st.integers(1, 500), st.integers(1, 6))
def test_halving_finds_the_best_where_few_images_tell_as_much_as_all(count, images, keep) -> None:
    candidates = candidates_for(FAMILIES, 1.4, PREDICT)[:count]
    spent: list[tuple[int, int]] = []

    def score(reductions, judged_by):
        spent.append((len(reductions), judged_by))
        return [50 - loss(reduction) for reduction in reductions]

    best = most_accurate(candidates, score, images, keep)
    by_loss = sorted(candidates, key=lambda candidate: loss(candidate.reduction))
    assert [loss(one.reduction) for one in best] == [loss(one.reduction) for one in by_loss[:keep]]
    assert spent[-1][1] == images  # the best are ranked on all images
    assert all(1 <= judged_by <= images for _, judged_by in spent)


def test_halving_spends_less_than_scoring_everything() -> None:
    candidates = candidates_for(FAMILIES, 1.4, PREDICT)
    spent = []

    def score(reductions, judged_by):
        spent.append(len(reductions) * judged_by)
        return [-loss(reduction) for reduction in reductions]

    most_accurate(candidates, score, 1000, 2)
    assert sum(spent) < 0.75 * len(candidates) * 1000


@some
@given(st.floats(0.001, 8))
def test_what_holds_holds_and_the_fastest_is_nearly_found(limit) -> None:
    found = within_drop(FAMILIES, limit, drops, PREDICT)
    assert all(loss(candidate.reduction) <= limit for candidate in found)

    def largest(shape) -> int:
        return bisect_right(range(1, MOST + 1), limit, key=lambda total: loss(shape.at(total)))

    truth = {shape: largest(shape) for shape in FAMILIES}
    assert all(candidate.total <= truth[candidate.shape] for candidate in found)
    best = max(FAMILIES, key=lambda shape: PREDICT(shape.at(truth[shape])))
    reached = max([candidate.total for candidate in found if candidate.shape == best], default=0)
    assert truth[best] - reached < FINE


def test_nothing_holds() -> None:
    assert within_drop(FAMILIES, 0.5, lambda reductions: [1.0 for _ in reductions], PREDICT) == []


def test_everything_holds() -> None:
    calls = []

    def none(reductions):
        calls.append(len(reductions))
        return [0.0 for _ in reductions]

    assert {candidate.total for candidate in within_drop(FAMILIES, 0.0, none, PREDICT)} == {MOST}
    assert len(calls) == 1


def test_bisection_begins_at_the_first_that_fails() -> None:
    """A total that holds by luck beyond one that does not is not taken."""

    def lucky(reductions):
        return [1.0 if 0.2 < reduction.schedule.paused < 0.5 else 0.0 for reduction in reductions]

    assert {candidate.total for candidate in within_drop(FAMILIES[:1], 0.5, lucky, PREDICT)} <= set(range(190, 201))


def test_families_that_cannot_be_the_fastest_are_not_refined() -> None:
    seen = []

    def counted(reductions):
        seen.extend(reductions)
        return drops(reductions)

    found = within_drop(FAMILIES, 1.0, counted, PREDICT)
    fastest = max(PREDICT(candidate.reduction) for candidate in found)
    refined = {one.schedule.blocks for one in seen if one.scale == 1 and round(one.schedule.paused * 1000) % 50}
    last = max(FAMILIES, key=lambda shape: (shape.scale, shape.blocks))
    assert PREDICT(last.at(MOST)) < (1 - SLACK) * fastest
    assert last.blocks not in refined
    assert refined


@pytest.mark.parametrize("limit", [0.5, 1.0, 2.0])
def test_a_larger_drop_never_gives_a_slower_schedule(limit) -> None:
    def fastest(drop):
        return max((PREDICT(one.reduction) for one in within_drop(FAMILIES, drop, drops, PREDICT)), default=1.0)

    assert fastest(1.5 * limit) >= fastest(limit)
