"""Progress of long work: a moving bar on a terminal, a plain line now and then in a log."""

import sys
from collections.abc import Iterable
from typing import IO, Any

from tqdm import tqdm

LOG_SECONDS = 15
LINE = "{desc}: {n_fmt} of {total_fmt} in {elapsed}, {remaining} to go{postfix}"


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
        title: what the work is.
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
