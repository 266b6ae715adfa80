"""What Snakemake shows of this workflow: each job when it starts and ends, where it stands, and the time to go.

Snakemake prints by a handler of its logger. Only the formatter of that handler is replaced, so colours, `--quiet`,
errors and Snakemake's own log file stay as they are. While jobs run, a thread looks at their logs. What it shows is a
line of its own, or on a terminal a few that are written anew.
"""

import shutil
import time
from collections.abc import Mapping
from contextlib import nullcontext
from logging import LogRecord
from pathlib import Path
from threading import Thread
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFormatter, logger
from tqdm import tqdm

from paumer.planning.durations import ANY_STAGE
from paumer.planning.remaining import Job, Run
from paumer.progress import State, last_state

EXPECTED = "expected_seconds"  # the resource by which a rule says how long it takes
LOOK_SECONDS = 10.0  # between two looks at the logs
SILENT = ("resources_info", "job_started")
NOTHING = "None"  # text for which Snakemake's handler writes nothing
MOST = 8  # jobs that a terminal shows at once


def follow(workflow: Any) -> None:
    """Show where the jobs of a Snakemake workflow stand; to be called while the workflow is read.

    Does nothing the second time, nor in the processes that Snakemake starts for its jobs.
    """
    for handler in logger.handlers if workflow.is_main_process else ():
        if isinstance(handler, ColorizingTextHandler) and type(handler.formatter) is DefaultFormatter:
            handler.setFormatter(Terminal(workflow, handler))


class Terminal(DefaultFormatter):
    """Formats what Snakemake logs, and keeps account of the run by it."""

    def __init__(self, workflow: Any, handler: ColorizingTextHandler) -> None:
        self.__dict__.update(vars(handler.formatter))
        self.workflow, self.handler = workflow, handler
        self.run = Run({}, time.monotonic())
        self.logs: dict[int, tuple[Path, int]] = {}  # of running jobs, and when an earlier run wrote them
        self.expected, self.done = "", ""
        self.standing = 0  # lines at the end of the terminal that are written anew

    def format(self, record: LogRecord) -> str:
        """The text of a record; without the lines that only say what jobs get, and that they are about to start."""
        self._erase()
        if getattr(record, "event", None) in SILENT or record.msg == "Select jobs to execute...":
            return NOTHING
        return super().format(record)

    def format_run_info(self, msg: dict[str, Any]) -> str:
        """Before all jobs, and once more after a dry run: which there are, and how long they take."""
        if not self.run.jobs:
            self.run = Run(planned(self.workflow), time.monotonic())
            self.expected = spoken(self.run.to_go(self.run.began, {}))
        if self.workflow.dryrun:
            return f"{msg['msg']}\nEstimated time on this machine: {self.expected}"
        Thread(target=self._look, daemon=True).start()
        self.done = f"0 of {msg['stats']['total']}"
        rules = [name if count == 1 else f"{count} {name}" for name, count in msg["stats"].items() if name != "total"]
        jobs = f"{msg['stats']['total']} jobs: {', '.join(rules)}"
        return f"{jobs}\nEstimated time: {self.expected}, to be corrected as jobs run"

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
        """A job ended well."""
        self.logs.pop(msg["job_id"], None)
        took = self.run.finish(msg["job_id"], time.monotonic())
        return f"{msg['msg']} after {_clock(took)}"

    def format_progress(self, msg: dict[str, Any]) -> str:
        """How many jobs have ended."""
        self.done = f"{msg['done']} of {msg['total']}"
        return self._standing(self._states())

    def _look(self) -> None:
        """Show every few seconds where the run and its jobs stand, as long as this process lives."""
        while True:
            time.sleep(LOOK_SECONDS)
            if self.run.started:
                self._show()

    def _show(self) -> None:
        """Write lines that are none of Snakemake's: in place of those before, or one where none can be erased."""
        erasable, stream = not self.handler.nocolor, self.handler.stream
        lines = self._lines(MOST if erasable else 1)
        width = shutil.get_terminal_size().columns - 1
        with self.handler.lock or nullcontext():
            self._erase()
            stream.write("\n".join(line[:width] for line in lines) if erasable else "; ".join(lines) + "\n")
            stream.flush()
            self.standing = len(lines) if erasable else 0
            self.handler.last_msg_was_job_info = False  # so that a blank line comes before the next job

    def _erase(self) -> None:
        """Remove the lines that stand at the end of the terminal."""
        if self.standing:
            self.handler.stream.write("\r\x1b[K" + "\x1b[A\x1b[K" * (self.standing - 1))
            self.standing = 0

    def _lines(self, most: int) -> list[str]:
        """Where the run stands, and those jobs that wrote last."""
        states, running, now = self._states(), dict(self.run.started), time.monotonic()
        newest = sorted(running, key=lambda number: states[number].written if number in states else 0)[-most:]
        said = {number: f"{_clock(now - start)} so far" for number, start in running.items()}
        said |= {number: state.line for number, state in states.items()}
        lines = [self._standing(states), *(f"job {number}: {said[number]}" for number in newest)]
        if len(running) > len(newest):
            lines[-1] += f"; {len(running) - len(newest)} more running"
        return lines

    def _standing(self, states: Mapping[int, State]) -> str:
        """How many jobs have ended, and when all will have."""
        now, told = time.monotonic(), {}
        for number, state in states.items():
            job = self.run.jobs.get(number)
            if job and state.left is not None and job.rule.endswith(state.title.split()[0]):
                told[number] = state.left
        left = self.run.to_go(now, told)
        return f"{self.done} jobs done in {_clock(now - self.run.began)}" + (f", {spoken(left)} to go" if left else "")

    def _states(self) -> dict[int, State]:
        """What running jobs last wrote of their progress."""
        states = {number: (last_state(log), before) for number, (log, before) in list(self.logs.items())}
        return {number: state for number, (state, before) in states.items() if state and state.written != before}


def planned(workflow: Any) -> dict[int, Job]:
    """The jobs that a workflow is about to run, by number."""
    dag = workflow.dag
    numbers = {job: dag.jobid(job) for job in dag.needrun_jobs()}
    limits = {name: getattr(limit, "value", limit) for name, limit in workflow.global_resources.items()}
    jobs = {}
    for job, number in sorted(numbers.items(), key=lambda item: item[1]):
        seconds = 0 if job.is_norun else job.resources.get(EXPECTED, ANY_STAGE)
        shares = [job.resources.get(name, 0) / limit for name, limit in limits.items() if limit]
        needs = {numbers[other] for other in dag.dependencies[job] if other in numbers}
        jobs[number] = Job(job.rule.name, seconds, min(1.0, max(shares)), needs)
    return jobs


def spoken(seconds: float) -> str:
    """A time that is only known about."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if minutes < 1:
        return "less than a minute"
    if minutes < 100:
        return f"about {minutes:.0f} min"
    return f"about {hours:.2g} hours" if hours < 72 else f"about {days:.0f} days"


def _clock(seconds: float) -> str:
    return str(tqdm.format_interval(seconds))
