"""Progress of long work: a moving bar on a terminal, a plain line now and then in a log, and how to read it there."""

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

LOG_SECONDS = 10
LINE = "{desc}: {n_fmt} of {total_fmt} in {elapsed}, {remaining} to go{postfix}"
WRITTEN = re.compile(r"(?P<title>.+): +\S+ of \S+ in [\d:]+, (?P<left>\?|[\d:]+) to go.*")
LAST_BYTES = 4096  # of a log, in which its last line of progress is looked for


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
        title: what the work is. One that begins with the name of the stage counts all of its work.
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
    """Where work stands, as a log says.

    Attributes:
        line: as it was written.
        title: what the work is.
        left: seconds to go; None where that is not known yet.
        written: when the log was last written to, in nanoseconds.
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
    found = [match for line in text.splitlines() if (match := WRITTEN.fullmatch(line))]
    return State(found[-1][0], found[-1]["title"], _seconds(found[-1]["left"]), written) if found else None


def _seconds(text: str) -> float | None:
    """Seconds of `MM:SS` or `H:MM:SS`."""
    if text == "?":
        return None
    return float(sum(int(part) * 60**power for power, part in enumerate(reversed(text.split(":")))))
