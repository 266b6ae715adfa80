"""Many alike tasks in several processes."""

import multiprocessing
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from paumer.progress import progress


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
