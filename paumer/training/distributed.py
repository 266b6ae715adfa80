"""Data-parallel training: processes with one device each, on one machine or several.

`torchrun` starts them and sets their environment variables, or `launch` on one machine. All do the same steps on the
same weights; each runs its slice of a step's images, and gradients and losses are summed over all.
"""

import logging
import os
import signal
import sys
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.nn.parallel import DistributedDataParallel

from paumer.system.errors import PaumerError, summary
from paumer.system.locks import adopt_children
from paumer.system.machine import find_device

AGAIN = "run the same command again, it goes on from its checkpoint"


@dataclass(frozen=True)
class DistributedContext:
    """This process and the number of processes that train together.

    Attributes:
        device: of this process.
        rank: number of this process, from 0.
        count: number of processes.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process shows progress and writes files."""
        return self.rank == 0

    def local_slice(self, batch: int) -> slice:
        """The slice of a step's images that this process runs.

        Raises:
            PaumerError: the batch is no multiple of the number of processes.
        """
        if batch % self.count:
            raise PaumerError(
                f"training.options.batch: {batch} crops cannot be shared evenly by {self.count} devices; use a "
                f"multiple of {self.count}, or fewer devices"
            )
        each = batch // self.count
        return slice(self.rank * each, (self.rank + 1) * each)

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes, in its place."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def check_agreement(self, step: int, folder: object) -> None:
        """Refuse processes that start at different steps.

        Raises:
            PaumerError: they do.
        """
        steps = torch.zeros(self.count, dtype=torch.int64, device=self.device)
        steps[self.rank] = step
        if len(found := set(self.sum(steps).tolist())) > 1:
            raise PaumerError(
                f"{folder}: processes found different checkpoints there (steps {', '.join(map(str, sorted(found)))}); "
                "name a folder that all machines share"
            )

    def parallel(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over all processes; scale losses by `count` to get sums.

        Parameters that a step does not use get no gradient, as in a single process.
        """
        if self.count == 1:
            return module
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # of adapters: still right
        return DistributedDataParallel(module, find_unused_parameters=True)

    def no_sync(self, module: nn.Module, enabled: bool) -> AbstractContextManager[None]:
        """Accumulate gradients in this process alone, while another pass of the same step follows."""
        return module.no_sync() if enabled and isinstance(module, DistributedDataParallel) else nullcontext()


@contextmanager
def process_group(device: str) -> Iterator[DistributedContext]:
    """Join the processes that `torchrun` started; without it, this process trains alone.

    Args:
        device: as configured; `auto` and `cuda` are the GPU of the process's number on its machine.

    Raises:
        PaumerError: there is no such device, or another process of the job ended before its time.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield DistributedContext(find_device(device))
        return
    own = _own_device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    try:
        distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
        yield DistributedContext(own, distributed.get_rank(), count)
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            raise PaumerError(
                f"training: process {os.environ['RANK']} of {count} lost the others ({summary(error)}); see what ended "
                f"first, then {AGAIN}"
            ) from None
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _own_device(name: str) -> torch.device:
    """The device of one of several processes."""
    if name not in ("auto", "cpu", "cuda"):
        raise PaumerError(f"device: {name!r} is one device, and several processes train; use auto, cpu or cuda")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= torch.cuda.device_count():
        raise PaumerError(
            f"device: process {local} of this machine has no GPU, there are {torch.cuda.device_count()}; start as many "
            "processes as GPUs"
        )
    return torch.device("cuda", local)


KILLED = -getattr(signal, "SIGKILL", 9)  # exit code of a killed process; Windows has no such signal


def launch(arguments: Sequence[str], processes: int, batch: int) -> None:
    """Run `paumer` with these arguments in several processes; when one fails, end the others.

    Args:
        arguments: of the command line.
        processes: number of processes.
        batch: images of a step, which they share.

    Raises:
        PaumerError: one of them failed, or torchrun has started several processes already.
    """
    if "WORLD_SIZE" in os.environ:
        raise PaumerError("--devices: torchrun has started several processes already; leave --devices out")
    DistributedContext(torch.device("cpu"), count=processes).local_slice(batch)  # one error, not one per process
    adopt_children()
    logging.disable(logging.CRITICAL)  # their many lines become one here
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
