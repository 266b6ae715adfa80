"""Progress of long work: a bar on a terminal, a line now and then in a log, which can be read back; parallel tasks."""

import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

LOG_SECONDS = 10
LINE = "{desc}: {n_fmt} of {total_fmt} in {elapsed}, {remaining} to go{postfix}"
PATTERN = re.compile(r"(?P<title>.+): +\S+ of \S+ in [\d:]+, (?P<left>\?|[\d:]+) to go.*")
LAST_BYTES = 4096  # of a log that are searched


def progress(
    items: Iterable[Any] | None = None,
    *,
    title: str,
    total: int | None = None,
    done: int = 0,
    in_bytes: bool = False,
    shown: bool = True,
) -> tqdm:
    """Show how far a loop over `items` is, or a count that the caller updates.

    Args:
        items: what to loop over; None to call `update` instead.
        title: what the work is; begins with the name of the stage where it covers the whole stage.
        total: how many items there are, where `items` does not tell.
        done: how many were done before.
        in_bytes: the count is one of bytes, shown in k, M and G.
        shown: off in all but one of several processes that do the same.
    """
    common: dict[str, Any] = {"desc": title, "total": total, "initial": done, "disable": not shown}
    if in_bytes:
        common |= {"unit": "B", "unit_scale": True}
    if sys.stderr.isatty():
        return tqdm(items, **common)
    lines: Any = _Lines(sys.stderr)
    return tqdm(items, file=lines, bar_format=LINE, mininterval=LOG_SECONDS, maxinterval=LOG_SECONDS, **common)


class _Lines:
    """A stream on which each new state of the bar is a line of its own."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        line = text.strip("\r\n ")
        if line:
            self.stream.write(f"{line}\n")

    def flush(self) -> None:
        self.stream.flush()


@dataclass(frozen=True)
class State:
    """A line of progress in a log.

    Attributes:
        line: the whole line.
        title: what the work is.
        left: remaining seconds; None where they are not known yet.
        written: modification time of the log in nanoseconds.
    """

    line: str
    title: str
    left: float | None
    written: int


def last_state(log: Path) -> State | None:
    """The last line of progress near the end of a log; None where there is no such line, or no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
            text, written = file.read().decode(errors="replace"), os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None
    found = [match for line in text.splitlines() if (match := PATTERN.fullmatch(line))]
    return State(found[-1][0], found[-1]["title"], _seconds(found[-1]["left"]), written) if found else None


def _seconds(text: str) -> float | None:
    """Seconds of `MM:SS` or `H:MM:SS`."""
    if text == "?":
        return None
    return float(sum(int(part) * 60**power for power, part in enumerate(reversed(text.split(":")))))


def run_all(task: Callable[[Any], None], items: Collection[Any], title: str, processes: int, done: int = 0) -> None:
    """Run a task for every item, in no certain order, and show how far it is.

    Args:
        task: a function of a module, so that other processes find it.
        items: what it is called with.
        title: what the work is.
        processes: how many processes work.
        done: how many were done before.
    """
    with progress(title=title, total=done + len(items), done=done) as bar, _mapping(processes) as mapped:
        for _ in mapped(task, items):
            bar.update()


@contextmanager
def _mapping(processes: int) -> Iterator[Callable[..., Iterable[None]]]:
    """A `map` that runs in this process or in several."""
    if processes == 1:
        yield map
        return
    # Spawned processes share no state with this one, such as the threads of other libraries.
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield partial(pool.imap_unordered, chunksize=16)


STARTUP = 7  # seconds of every stage, mostly to import torch
