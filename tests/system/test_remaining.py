"""Remaining time of a run: its schedule simulated, and corrected by measured durations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paumer.system.terminal import PRIOR, Job, Run, simulate


@st.composite
def graphs(draw: st.DrawFn) -> dict[int, Job]:
    """Jobs that need some of those before them."""
    jobs = {}
    for number in range(draw(st.integers(1, 8))):
        needs = draw(st.sets(st.integers(0, number - 1))) if number else set()
        share = draw(st.sampled_from([0.1, 0.25, 0.5, 1.0]))
        jobs[number] = Job("train", draw(st.floats(0.5, 100)), share, needs)
    return jobs


def longest_chain(jobs: dict[int, Job]) -> float:
    ends: dict[int, float] = {}
    for number, job in jobs.items():
        ends[number] = job.seconds + max((ends[other] for other in job.needs), default=0)
    return max(ends.values())


@given(graphs())
def test_no_plan_beats_its_longest_chain_or_its_work_and_none_is_slower_than_one_by_one(jobs: dict[int, Job]) -> None:
    seconds = simulate(jobs, {number: job.seconds for number, job in jobs.items()})
    work = sum(job.seconds * job.share for job in jobs.values())
    assert max(longest_chain(jobs), work) - 1e-6 <= seconds <= sum(job.seconds for job in jobs.values()) + 1e-6


def test_jobs_share_the_machine() -> None:
    four = {number: Job("train", 10, 0.25) for number in range(4)}
    alone = {4: Job("throughput", 7, 1.0, set(four))}
    jobs = four | alone
    assert simulate(jobs, {number: job.seconds for number, job in jobs.items()}) == 17


def test_without_measurements_the_expectation_stands() -> None:
    run = Run({0: Job("data", 30), 1: Job("train", 100, needs={0})}, now=5.0)
    assert run.remaining(5.0, {}) == 130
    run.start(0, 5.0)
    assert run.remaining(15.0, {}) == 120


def test_a_machine_twice_as_slow_is_noticed() -> None:
    """The more has been measured the more; a rule counts most for its own jobs."""
    run = Run({number: Job("train", 1e5) for number in range(3)} | {3: Job("throughput", 1e5)}, now=0.0)
    run.start(0, 0.0)
    assert run.finish(0, 2e5) == 2e5
    assert run.remaining(2e5, {}) == pytest.approx(6e5, rel=0.01)
    run.start(1, 2e5)
    run.finish(1, 5e5)  # three times
    trained = (2e5 + 3e5 + 2.5 * PRIOR) / (2e5 + PRIOR)
    assert run.remaining(5e5, {}) == pytest.approx(1e5 * (trained + 2.5), rel=0.01)


def test_a_short_job_proves_little() -> None:
    run = Run({0: Job("data", 1), 1: Job("train", 1000, needs={0})}, now=0.0)
    run.start(0, 0.0)
    run.finish(0, 10.0)
    assert 1000 < run.remaining(10.0, {}) < 1200


def test_reported_time_counts_for_the_job_and_for_others_of_its_rule() -> None:
    run = Run({0: Job("train", 1e5), 1: Job("train", 1e5)}, now=0.0)
    run.start(0, 0.0)
    assert run.remaining(1e4, {0: 4e4}) == pytest.approx(4e4 + 5e4, rel=0.01)


def test_an_overdue_job_still_takes_a_while() -> None:
    run = Run({0: Job("report", 1)}, now=0.0)
    run.start(0, 0.0)
    assert 0 < run.remaining(1000.0, {}) < 1000


def test_a_failed_job_is_still_to_do_and_unknown_ones_do_not_count() -> None:
    run = Run({0: Job("train", 100)}, now=0.0)
    run.start(0, 0.0)
    run.fail(0)
    run.start(7, 0.0)
    run.finish(7, 50.0)
    assert run.remaining(50.0, {7: 10.0}) == 100


def test_nothing_is_left_at_the_end() -> None:
    run = Run({0: Job("train", 100)}, now=0.0)
    run.start(0, 0.0)
    run.finish(0, 1.0)
    assert run.remaining(1.0, {}) == 0
