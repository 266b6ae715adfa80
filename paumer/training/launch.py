"""Start the processes of one machine that train one network together, as `torchrun --standalone` does."""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Sequence

import torch
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from paumer.errors import PaumerError
from paumer.locks import own_children
from paumer.training.processes import AGAIN, Processes

KILLED = -getattr(signal, "SIGKILL", 9)  # the exit code of who was; Windows has no such signal


def launch(arguments: Sequence[str], processes: int, batch: int) -> None:
    """Run `paumer` with these arguments in several processes; when one fails, the others are ended.

    Args:
        arguments: of the command line.
        processes: how many.
        batch: images of a step, which they share.

    Raises:
        PaumerError: one of them did not end well, or they are started by several processes already.
    """
    if "WORLD_SIZE" in os.environ:
        raise PaumerError("--devices: torchrun has started several processes already; leave --devices out")
    Processes(torch.device("cpu"), count=processes).share(batch)  # refused here once, and not in every process
    own_children()
    logging.disable(logging.CRITICAL)  # what they say over many lines is said here in one
    here = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
    )
    try:
        elastic_launch(here, sys.executable)("-m", "paumer", *arguments)
    except ChildFailedError as error:
        raise PaumerError(_explain(error.failures, processes)) from None
    except SignalException as error:
        raise PaumerError(f"training: ended by {error.sigval.name}; {AGAIN}") from None


def _explain(failures: dict[int, ProcessFailure], processes: int) -> str:
    """Which process failed first, and what to do; one that was killed is the cause of the others' failure."""
    killed = [rank for rank, failure in failures.items() if failure.exitcode == KILLED]
    rank = killed[0] if killed else next(iter(failures))
    failure = failures[rank]
    if killed:
        return f"training: process {rank} of {processes} was killed, often for lack of memory; {AGAIN}"
    if failure.exitcode < 0:
        return f"training: process {rank} of {processes} was ended by {failure.signal_name()}; {AGAIN}"
    return f"training: process {rank} of {processes} ended with an error, which it printed above; mend it, and {AGAIN}"
