"""The processes that train one network together, each on a device of its own, on one machine or several.

`torchrun` starts them and tells each by environment variables which it is. All do the same steps on the same weights;
each runs its share of a step's images, and gradients and losses of all are summed.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from paumer.errors import PaumerError, summary
from paumer.runtime import find_device

AGAIN = "run the same command again, it goes on from its checkpoint"


@dataclass(frozen=True)
class Processes:
    """This process among those of its job.

    Attributes:
        device: what it computes on.
        rank: its number, from 0.
        count: how many there are.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the one that shows progress and writes files."""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """Which of a step's images this process runs.

        Raises:
            PaumerError: they cannot be shared evenly.
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
        """Make sure that all processes begin at the same step.

        Raises:
            PaumerError: they do not.
        """
        steps = torch.zeros(self.count, dtype=torch.int64, device=self.device)
        steps[self.rank] = step
        if len(found := set(self.sum(steps).tolist())) > 1:
            raise PaumerError(
                f"{folder}: processes found different checkpoints there (steps {', '.join(map(str, sorted(found)))}); "
                "name a folder that all machines share"
            )

    def parallel(self, module: nn.Module) -> nn.Module:
        """The module so that gradients of all processes are summed; losses must be scaled by `count` for that.

        Parameters that a step does not use get no gradient, as in a single process.
        """
        if self.count == 1:
            return module
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")  # of adapters: still right
        return DistributedDataParallel(module, find_unused_parameters=True)

    def holding(self, module: nn.Module, hold: bool) -> AbstractContextManager[None]:
        """Let gradients add up in this process alone, as long as another pass of the same step follows."""
        return module.no_sync() if hold and isinstance(module, DistributedDataParallel) else nullcontext()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Take this process's place among those that `torchrun` started; without it, it is the only one.

    Args:
        device: as configured; `auto` and `cuda` are the GPU of the process's number on its machine.

    Raises:
        PaumerError: there is no such device, or another process of the job ended before its time.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(find_device(device))
        return
    own = _own_device(device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    try:
        distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
        yield Processes(own, distributed.get_rank(), count)
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
