"""Progress of a Snakemake run on the terminal: status of the running jobs and estimated remaining time.

The estimate simulates the schedule with expected durations, corrected by measured ones. Only the formatter of
Snakemake's handler is replaced, so colours, `--quiet`, error messages and Snakemake's own log file stay as they are.
While jobs run, a thread reads the ends of their logs and prints a line, or rewrites lines in place on a terminal.
"""

import shutil
import time
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from heapq import heappop, heappush
from logging import LogRecord
from pathlib import Path
from threading import Thread
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFormatter, logger
from tqdm import tqdm

from paumer.system.progress import STARTUP, State, last_state

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


EXPECTED = "expected_seconds"  # resource of a rule: its expected duration
INTERVAL = 10.0  # seconds between two lines
OMITTED = ("resources_info", "job_started")  # events that are not printed
NOTHING = "None"  # text for which Snakemake's handler prints nothing
MOST_JOBS = 8  # with a status line each on a terminal


def follow(workflow: Any) -> None:
    """Show the progress of a Snakemake workflow's jobs; called while the workflow is parsed.

    Does nothing in the processes that Snakemake starts for jobs, and nothing when called again by another module.
    """
    for handler in logger.handlers if workflow.is_main_process else ():
        if isinstance(handler, ColorizingTextHandler) and type(handler.formatter) is DefaultFormatter:
            handler.setFormatter(TerminalFormatter(workflow, handler))


class TerminalFormatter(DefaultFormatter):
    """Formats Snakemake's log records, and derives the state of the run from them."""

    def __init__(self, workflow: Any, handler: ColorizingTextHandler) -> None:
        self.__dict__.update(vars(handler.formatter))
        self.workflow, self.handler = workflow, handler
        self.run = Run({}, time.monotonic())
        self.logs: dict[int, tuple[Path, int]] = {}  # of running jobs, with the time at which an earlier run wrote them
        self.expected, self.done = "", ""
        self.printed = time.monotonic()  # when something was printed last
        self.rewritable = 0  # status lines at the end of the terminal

    def format(self, record: LogRecord) -> str:
        """The text of a record; none for those that only announce resources and the start of jobs."""
        self._erase()
        if getattr(record, "event", None) in OMITTED or record.msg == "Select jobs to execute...":
            return NOTHING
        return super().format(record)

    def format_run_info(self, msg: dict[str, Any]) -> str:
        """Number of jobs and expected duration, before the first job, and again after a dry run."""
        if not self.run.jobs:
            self.run = Run(planned(self.workflow), time.monotonic())
            self.expected = approximate(self.run.remaining(self.run.began, {}))
        if self.workflow.dryrun:
            return f"{msg['msg']}\nEstimated time on this machine: {self.expected}"
        Thread(target=self._watch, daemon=True).start()
        self.done = f"0 of {msg['stats']['total']}"
        rules = [name if count == 1 else f"{count} {name}" for name, count in msg["stats"].items() if name != "total"]
        jobs = f"{msg['stats']['total']} jobs: {', '.join(rules)}"
        return f"{jobs}\nEstimated time: {self.expected}, corrected while jobs run"

    def format_job_info(self, msg: dict[str, Any]) -> str:
        """A job starts."""
        log = Path(next(iter(msg["log"]), ""))
        state = last_state(log)
        self.logs[msg["jobid"]] = log, state.written if state else 0
        self.run.start(msg["jobid"], time.monotonic())
        return super().format_job_info(msg)

    def format_job_error(self, msg: dict[str, Any]) -> str:
        """A job failed."""
        self.logs.pop(msg["jobid"], None)
        self.run.fail(msg["jobid"])
        return super().format_job_error(msg)

    def format_job_finished(self, msg: dict[str, Any]) -> str:
        """A job ended."""
        self.logs.pop(msg["job_id"], None)
        took = self.run.finish(msg["job_id"], time.monotonic())
        return f"{msg['msg']} after {_clock(took)}"

    def format_progress(self, msg: dict[str, Any]) -> str:
        """How many jobs have ended."""
        self.done = f"{msg['done']} of {msg['total']}"
        return self._run_status(self._states())

    def _watch(self) -> None:
        """Show the status when nothing was printed for an interval, as long as this process lives."""
        while True:
            time.sleep(max(self.printed + INTERVAL - time.monotonic(), INTERVAL / 10))
            if self.run.started and time.monotonic() >= self.printed + INTERVAL:
                self._show()

    def _show(self) -> None:
        """Print the status, in place of the one before where the stream is a terminal."""
        rewrites, stream = not self.handler.nocolor, self.handler.stream
        lines = self._status(MOST_JOBS if rewrites else 1)
        width = shutil.get_terminal_size().columns - 1
        with self.handler.lock or nullcontext():
            self._erase()
            stream.write("\n".join(line[:width] for line in lines) if rewrites else "; ".join(lines) + "\n")
            stream.flush()
            self.rewritable = len(lines) if rewrites else 0
            self.handler.last_msg_was_job_info = False  # so that a blank line comes before the next job

    def _erase(self) -> None:
        """Erase the status lines at the end of the terminal; something else is printed now."""
        self.printed = time.monotonic()
        if self.rewritable:
            self.handler.stream.write("\r\x1b[K" + "\x1b[A\x1b[K" * (self.rewritable - 1))
            self.rewritable = 0

    def _status(self, most: int) -> list[str]:
        """Status of the run, and of the jobs that wrote to their logs last."""
        states, running, now = self._states(), dict(self.run.started), time.monotonic()
        newest = sorted(running, key=lambda number: states[number].written if number in states else 0)[-most:]
        status = {number: f"{_clock(now - start)} so far" for number, start in running.items()}
        status |= {number: state.line for number, state in states.items()}
        lines = [self._run_status(states), *(f"job {number}: {status[number]}" for number in newest)]
        if len(running) > len(newest):
            lines[-1] += f"; {len(running) - len(newest)} more running"
        return lines

    def _run_status(self, states: Mapping[int, State]) -> str:
        """Number of finished jobs, elapsed and remaining time."""
        now, reported = time.monotonic(), {}
        for number, state in states.items():
            job = self.run.jobs.get(number)
            if job and state.left is not None and job.rule.endswith(state.title.split()[0]):
                reported[number] = state.left
        left = self.run.remaining(now, reported)
        return f"{self.done} jobs done in {_clock(now - self.run.began)}" + (
            f", {approximate(left)} to go" if left else ""
        )

    def _states(self) -> dict[int, State]:
        """The last line of progress in the logs of running jobs."""
        states = {number: (last_state(log), before) for number, (log, before) in list(self.logs.items())}
        return {number: state for number, (state, before) in states.items() if state and state.written != before}


def planned(workflow: Any) -> dict[int, Job]:
    """The jobs that a workflow is about to run, by number."""
    dag = workflow.dag
    numbers = {job: dag.jobid(job) for job in dag.needrun_jobs()}
    limits = {name: getattr(limit, "value", limit) for name, limit in workflow.global_resources.items()}
    jobs = {}
    for job, number in sorted(numbers.items(), key=lambda item: item[1]):
        seconds = 0 if job.is_norun else job.resources.get(EXPECTED, STARTUP)
        shares = [job.resources.get(name, 0) / limit for name, limit in limits.items() if limit]
        needs = {numbers[other] for other in dag.dependencies[job] if other in numbers}
        jobs[number] = Job(job.rule.name, seconds, min(1.0, max(shares, default=1.0)), needs)
    return jobs


def approximate(seconds: float) -> str:
    """A duration to the precision of an estimate."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if minutes < 1:
        return "less than a minute"
    if minutes < 100:
        return f"about {minutes:.0f} min"
    return f"about {hours:.2g} hours" if hours < 72 else f"about {days:.0f} days"


def _clock(seconds: float) -> str:
    return str(tqdm.format_interval(seconds))
