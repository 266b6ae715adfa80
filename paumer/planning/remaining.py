"""Remaining time of a run: expected durations, corrected by measured ones, in a simulation of the schedule."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

PRIOR = 60  # seconds of measurement that weigh as much as the prior factor
OVERDUE = 0.1  # a job that should have ended takes at least this share of its time so far
CAPACITY = 1 + 1e-6  # sum of the shares of jobs that run at once, with room for rounding


@dataclass(frozen=True)
class Job:
    """One job of a run.

    Attributes:
        rule: its name; jobs of one rule share a correction factor.
        seconds: expected duration.
        share: part of the machine that it occupies, at most 1.
        needs: numbers of the jobs that must have ended before.
    """

    rule: str
    seconds: float
    share: float = 1.0
    needs: Collection[int] = ()


class Run:
    """State of a run: its jobs by number, start times and measured durations.

    All times are seconds of one monotonic clock.
    """

    def __init__(self, jobs: Mapping[int, Job], now: float) -> None:
        self.jobs, self.began = jobs, now
        self.started: dict[int, float] = {}
        self.took: dict[int, float] = {}

    def start(self, number: int, now: float) -> None:
        """A job starts."""
        self.started[number] = now

    def fail(self, number: int) -> None:
        """A job ends with an error; it may start again."""
        self.started.pop(number, None)

    def finish(self, number: int, now: float) -> float:
        """A job ends; return its duration."""
        self.took[number] = now - self.started.pop(number, now)
        return self.took[number]

    def remaining(self, now: float, reported: Mapping[int, float]) -> float:
        """Seconds until all jobs have ended.

        Args:
            now: the time.
            reported: remaining seconds of running jobs, where their logs report them.
        """
        ran = {number: now - start for number, start in self.started.items() if number in self.jobs}
        reported = {number: reported[number] for number in reported.keys() & ran.keys()}
        factors = self._factors(self.took | {number: ran[number] + seconds for number, seconds in reported.items()})
        left: dict[int, float] = {}
        for number in [*ran, *self.jobs]:  # those that run come first
            if number not in self.took:
                job, gone = self.jobs[number], ran.get(number, 0.0)
                left[number] = reported.get(number, max(job.seconds * factors[job.rule] - gone, OVERDUE * gone))
        return simulate(self.jobs, left)

    def _factors(self, took: Mapping[int, float]) -> dict[str, float]:
        """Measured over expected duration by rule, shrunk towards that of all rules, and that towards 1."""
        known = [(self.jobs[number], seconds) for number, seconds in took.items() if number in self.jobs]

        def factor(jobs: list[tuple[Job, float]], prior: float) -> float:
            measured, expected = sum(seconds for _, seconds in jobs), sum(job.seconds for job, _ in jobs)
            return (prior * PRIOR + measured) / (PRIOR + expected)

        common = factor(known, 1.0)
        rules = {job.rule for job in self.jobs.values()}
        return {rule: factor([(job, seconds) for job, seconds in known if job.rule == rule], common) for rule in rules}


def simulate(jobs: Mapping[int, Job], left: Mapping[int, float]) -> float:
    """Seconds until all jobs have ended if each starts once its needs have ended and its share is free.

    Args:
        jobs: by number.
        left: remaining seconds of those that have not ended, in order of priority.
    """
    waiting = {number: set(jobs[number].needs) & left.keys() for number in left}
    running: list[tuple[float, int]] = []
    now, taken = 0.0, 0.0
    while waiting or running:
        for number in [number for number, needs in waiting.items() if not needs]:
            if not running or taken + jobs[number].share <= CAPACITY:
                taken += jobs[number].share
                heappush(running, (now + left[number], number))
                del waiting[number]
        now, ended = heappop(running)
        taken -= jobs[ended].share
        for needs in waiting.values():
            needs.discard(ended)
    return now
