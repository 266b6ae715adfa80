"""How long the rest of a run takes: what is expected of its jobs, corrected by what was measured, played through."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

TRUST = 60  # seconds of measurement that count as much as what was expected
OVERDUE = 0.1  # of the time that a job has run: what it takes at least, where it should have ended
FULL = 1 + 1e-6  # shares add up to that, rounded


@dataclass(frozen=True)
class Job:
    """One job of a run.

    Attributes:
        rule: its name; jobs of one rule are as much faster or slower than expected.
        seconds: expected.
        share: of all that jobs may take at once.
        needs: numbers of the jobs that must have ended before.
    """

    rule: str
    seconds: float
    share: float = 1.0
    needs: Collection[int] = ()


class Run:
    """The jobs of a run by number, since when they run, and how long they took.

    All times are seconds of one clock.
    """

    def __init__(self, jobs: Mapping[int, Job], now: float) -> None:
        self.jobs, self.began = jobs, now
        self.started: dict[int, float] = {}
        self.took: dict[int, float] = {}

    def start(self, number: int, now: float) -> None:
        """A job starts."""
        self.started[number] = now

    def fail(self, number: int) -> None:
        """A job ends without success; it may start again."""
        self.started.pop(number, None)

    def finish(self, number: int, now: float) -> float:
        """A job ends; give the seconds that it took."""
        self.took[number] = now - self.started.pop(number, now)
        return self.took[number]

    def to_go(self, now: float, told: Mapping[int, float]) -> float:
        """Seconds until all jobs have ended.

        Args:
            now: the time.
            told: seconds to go of running jobs, where they tell.
        """
        ran = {number: now - start for number, start in self.started.items() if number in self.jobs}
        told = {number: told[number] for number in told.keys() & ran.keys()}
        factors = self._factors(self.took | {number: ran[number] + seconds for number, seconds in told.items()})
        left: dict[int, float] = {}
        for number in [*ran, *self.jobs]:  # those that run come first
            if number not in self.took:
                job, gone = self.jobs[number], ran.get(number, 0.0)
                left[number] = told.get(number, max(job.seconds * factors[job.rule] - gone, OVERDUE * gone))
        return played(self.jobs, left)

    def _factors(self, took: Mapping[int, float]) -> dict[str, float]:
        """How many times longer than expected jobs take here, by rule: as its own did, else as all did."""
        known = [(self.jobs[number], seconds) for number, seconds in took.items() if number in self.jobs]

        def factor(jobs: list[tuple[Job, float]], prior: float) -> float:
            measured, expected = sum(seconds for _, seconds in jobs), sum(job.seconds for job, _ in jobs)
            return (prior * TRUST + measured) / (TRUST + expected)

        common = factor(known, 1.0)
        rules = {job.rule for job in self.jobs.values()}
        return {rule: factor([(job, seconds) for job, seconds in known if job.rule == rule], common) for rule in rules}


def played(jobs: Mapping[int, Job], left: Mapping[int, float]) -> float:
    """Seconds until jobs have ended that start as soon as what they need is there and their share is free.

    Args:
        jobs: by number.
        left: seconds of those that have not ended, in the order in which they want to start.
    """
    waiting = {number: set(jobs[number].needs) & left.keys() for number in left}
    running: list[tuple[float, int]] = []
    now, taken = 0.0, 0.0
    while waiting or running:
        for number in [number for number, needs in waiting.items() if not needs]:
            if not running or taken + jobs[number].share <= FULL:
                taken += jobs[number].share
                heappush(running, (now + left[number], number))
                del waiting[number]
        now, ended = heappop(running)
        taken -= jobs[ended].share
        for needs in waiting.values():
            needs.discard(ended)
    return now
