"""What Snakemake shows of this workflow: each job when it starts and ends, where it stands, and the time to go.

Snakemake prints by a handler of its logger. Only the formatter of that handler is replaced, so colours, `--quiet`,
errors and Snakemake's own log file stay as they are. While jobs run, a thread looks at their logs. What it shows is a
line of its own, or on a terminal one line that is written anew.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
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
ERASE = "\r\x1b[K"


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
        self.logs: dict[int, tuple[Path, int]] = {}  # of running jobs, and when an earlier run had written them
        self.done = ""
        self.line_stands = False

    def format(self, record: LogRecord) -> str:
        """The text of a record; without the lines that only say what jobs get, and that they are about to start."""
        self._erase()
        if getattr(record, "event", None) in SILENT or record.msg == "Select jobs to execute...":
            return NOTHING
        return super().format(record)

    def format_run_info(self, msg: dict[str, Any]) -> str:
        """Before all jobs, and once more after a dry run: which there are, and how long they take."""
        now = time.monotonic()
        if not self.run.jobs:
            self.run = Run(planned(self.workflow), now)
        expected = spoken(self.run.to_go(now, {}))
        if self.workflow.dryrun:
            return f"{msg['msg']}\nEstimated time on this machine: {expected}"
        Thread(target=self._look, daemon=True).start()
        self.done = f"0 of {msg['stats']['total']}"
        rules = [name if count == 1 else f"{count} {name}" for name, count in msg["stats"].items() if name != "total"]
        return (
            f"{msg['stats']['total']} jobs: {', '.join(rules)}\nEstimated time: {expected}, to be corrected as jobs run"
        )

    def format_job_info(self, msg: dict[str, Any]) -> str:
        """A job starts."""
        log = Path(next(iter(msg["log"]), ""))
        self.logs[msg["jobid"]] = log, _written(log)
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
        return self._standing({number: state for number, (_, state) in self._states().items()})

    def _look(self) -> None:
        """Show every few seconds where the run and one of its jobs stand, as long as this process lives."""
        while True:
            time.sleep(LOOK_SECONDS)
            if running := list(self.run.started.items()):
                self._show(self._status(running))

    def _status(self, running: Sequence[tuple[int, float]]) -> str:
        """Where the run stands, and the job that wrote last."""
        states = self._states()
        standing = self._standing({number: state for number, (_, state) in states.items()})
        number, start = max(running, key=lambda item: states[item[0]][0] if item[0] in states else 0)
        said = states[number][1].line if number in states else f"{_clock(time.monotonic() - start)} so far"
        others = f"; {len(running) - 1} more running" if len(running) > 1 else ""
        return f"{standing}; job {number}: {said}{others}"

    def _standing(self, states: Mapping[int, State]) -> str:
        """How many jobs have ended, and when all will have."""
        now, told = time.monotonic(), {}
        for number, state in states.items():
            job = self.run.jobs.get(number)
            if job and state.left is not None and job.rule.endswith(state.title.split()[0]):
                told[number] = state.left
        left = self.run.to_go(now, told)
        return f"{self.done} jobs done in {_clock(now - self.run.began)}" + (f", {spoken(left)} to go" if left else "")

    def _states(self) -> dict[int, tuple[int, State]]:
        """What running jobs last wrote of their progress, and when."""
        found = {}
        for number, (log, before) in list(self.logs.items()):
            when = _written(log)
            state = last_state(log) if when != before else None  # else an earlier run wrote it
            if state is not None:
                found[number] = when, state
        return found

    def _show(self, text: str) -> None:
        """Write a line that is none of Snakemake's: in place of the one before where it can be erased."""
        stream = self.handler.stream
        with self.handler.lock or nullcontext():
            self._erase()
            if self.handler.nocolor:  # no terminal, or one that shall not be moved on
                stream.write(f"{text}\n")
            else:
                stream.write(text[: shutil.get_terminal_size().columns - 1])
                self.line_stands = True
            stream.flush()
            self.handler.last_msg_was_job_info = False  # so that a blank line comes before the next job

    def _erase(self) -> None:
        if self.line_stands:
            self.handler.stream.write(ERASE)
            self.line_stands = False


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
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 100 else f"about {minutes / 60:.1f} hours"


def _clock(seconds: float) -> str:
    return str(tqdm.format_interval(seconds))


def _written(path: Path) -> int:
    """When a file was last written; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
