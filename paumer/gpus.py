"""Several GPUs on one host without a scheduler: each process takes one that no other process of ours has.

Snakemake counts how many GPUs are in use, not which. A lock file per GPU tells them apart; the operating system gives
it back when the process ends, however it ends. Imports no torch: the choice has to be made before CUDA starts.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

VISIBLE = "CUDA_VISIBLE_DEVICES"
HELD = "PAUMER_GPUS_HELD"  # tells child processes that the visible GPUs are theirs already
WAIT_SECONDS = 0.5
_held: list[FileLock] = []  # for the life of the process


def hold_gpus(device: str, count: int = 1) -> None:
    """Make only `count` GPUs visible that no other process holds, and hold them until this process ends.

    Waits while too few are free. Does nothing where there is nothing to choose: on another device than `auto` or
    `cuda`, in a Slurm job, which has its own GPUs, in one of the processes that `torchrun` starts, each of which takes
    the GPU of its number, and where no more than `count` are visible.

    Args:
        device: as in the configuration.
        count: how many are needed.
    """
    if device not in ("auto", "cuda") or any(name in os.environ for name in (HELD, "SLURM_JOB_ID", "LOCAL_RANK")):
        return
    names = visible_gpus()
    if len(names) <= count:
        return
    taken = _take(names, count)
    if not taken:
        print(f"waiting for {count} of the GPUs {', '.join(names)}: other processes hold them", file=sys.stderr)
    while not taken:
        time.sleep(WAIT_SECONDS)
        taken = _take(names, count)
    os.environ[VISIBLE] = os.environ[HELD] = ",".join(taken)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use: those named in CUDA_VISIBLE_DEVICES, else all of the host."""
    if VISIBLE in os.environ:
        return [name.strip() for name in os.environ[VISIBLE].split(",") if name.strip()]
    query = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]  # numbers may mean others to CUDA
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return []


def _take(names: list[str], count: int) -> list[str]:
    """Lock the first `count` that are free; none at all where fewer are."""
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""  # Windows has a folder for each user
    folder = Path(tempfile.gettempdir()) / f"paumer-gpus{user}"
    folder.mkdir(exist_ok=True)
    taken: dict[str, FileLock] = {}
    for name in names:
        lock = FileLock(folder / f"{name.replace('/', '-')}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        taken[name] = lock
        if len(taken) == count:
            _held.extend(taken.values())
            return list(taken)
    for lock in taken.values():
        lock.release()
    return []
