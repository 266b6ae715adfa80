"""Locks: one run in a folder at a time, as many processes on a GPU as it shall have, no job that outlives its workflow.

The operating system releases a lock when its process ends, even by a kill, so that nobody has to remove one. On a host
with several GPUs and no scheduler, Snakemake counts the GPUs in use but does not say which; a lock file per GPU does.
Imports no torch: runs are locked before any job starts, and GPUs are chosen before CUDA starts.
"""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from filelock import FileLock, Timeout

from paumer.system.errors import PaumerError
from paumer.system.files import LEFTOVERS, disk_errors

NAME = ".lock"
PARENT = "PAUMER_PARENT"  # the process that a job must not outlive
# A killed process ends within a second, its loader processes within five.
PATIENCE = 20.0
WATCH_SECONDS = 0.5
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)  # of some network file systems
_runs: list[FileLock] = []  # for the life of the process


@contextmanager
def lock(path: Path, work: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a lock while the block runs; wait a little for a process that is about to end.

    Args:
        path: the lock file; one that a killed process leaves behind is not locked.
        work: the protected work, for the error message.
        patience: seconds to wait.

    Raises:
        PaumerError: another process holds it.
    """
    acquired = _acquire(path, work, patience)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        acquired.release()


def lock_path(path: Path) -> Path:
    """The lock file of a file or a folder that may be replaced as a whole."""
    return path.with_name(f".{path.name}.lock")


def hold_run(folder: str | Path) -> None:
    """Lock a results folder until this process ends, and remove temporary files of killed runs there.

    Raises:
        PaumerError: another run holds it, or it cannot be written.
    """
    folder = Path(folder)
    _runs.append(_acquire(folder / NAME, f"{folder}: another run works here", patience=0))
    for path in folder.rglob(LEFTOVERS):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def adopt_children() -> None:
    """Let the jobs that this process starts end with it."""
    os.environ[PARENT] = _own_name()


def die_with_parent() -> None:
    """End this process soon after the workflow that started it, even if that was killed.

    Otherwise the job would run on and collide with its repetition when the workflow is started again. Does nothing on
    Windows, where asking for a process ends it.
    """
    if os.name == "nt":
        return
    host, _, number = os.environ.get(PARENT, "").rpartition(" process ")
    if host == socket.gethostname() and number.isdigit():
        threading.Thread(target=_watch, args=(int(number),), daemon=True).start()


def _watch(process: int) -> None:
    while _is_alive(process):
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _own_name() -> str:
    return f"{socket.gethostname()} process {os.getpid()}"


def _acquire(path: Path, work: str, patience: float) -> FileLock:
    """Acquire a lock and write the name of its holder into the file.

    Raises:
        PaumerError: another process holds it, or its file cannot be written.
    """
    file_lock = FileLock(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _take(file_lock, path, work, patience)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            print(f"{path}: this file system has no locks; let no two runs work here at once", file=sys.stderr)
        path.write_text(_own_name(), encoding="utf-8")
    return file_lock


def _take(file_lock: FileLock, path: Path, work: str, patience: float) -> None:
    try:
        file_lock.acquire(blocking=False)
        return
    except Timeout:
        holder = path.read_text(encoding="utf-8") or "another process"
    if patience:
        print(f"waiting up to {patience:g} s: {work} ({holder})", file=sys.stderr, flush=True)
    try:
        file_lock.acquire(timeout=patience)
    except Timeout:
        raise PaumerError(f"{work} ({holder}); wait until it has ended, or end it, and run this again") from None


VISIBLE = "CUDA_VISIBLE_DEVICES"
SHARE = "PAUMER_JOBS_PER_GPU"
HELD = "PAUMER_GPUS_HELD"  # child processes may use the visible GPUs without locking them
WAIT_SECONDS = 0.5
_held: list[FileLock] = []  # for the life of the process


def hold_gpus(device: str, count: int = 1) -> None:
    """Lock `count` free GPUs until this process ends, and make only them visible. Waits while too few are free.

    A GPU is free while fewer processes hold it than PAUMER_JOBS_PER_GPU says, without it one. Does nothing on another
    device than `auto` or `cuda`, in a Slurm job, which has its own GPUs, in processes of `torchrun`, which take the GPU
    of their number, and if no more than `count` are visible.

    Args:
        device: as in the configuration.
        count: number of GPUs.

    Raises:
        PaumerError: PAUMER_JOBS_PER_GPU is no number of jobs.
    """
    if device not in ("auto", "cuda") or any(name in os.environ for name in (HELD, "SLURM_JOB_ID", "LOCAL_RANK")):
        return
    names = visible_gpus()
    if len(names) <= count:
        return
    taken = _take_gpu(names, count)
    if not taken:
        print(f"waiting for {count} of the GPUs {', '.join(names)}: other processes hold them", file=sys.stderr)
    while not taken:
        time.sleep(WAIT_SECONDS)
        taken = _take_gpu(names, count)
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


def _jobs_per_gpu() -> int:
    """How many processes may hold a GPU at once."""
    text = os.environ.get(SHARE, "1")
    if not text.isdecimal() or int(text) < 1:
        raise PaumerError(f"{SHARE}: {text!r} is no whole number above 0; set it like {SHARE}=3, or leave it out")
    return int(text)


def _take_gpu(names: list[str], count: int) -> list[str]:
    """Lock the first `count` free GPUs and return their names, emptier ones first; none if fewer are free."""
    user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""  # Windows has a folder for each user
    folder = Path(tempfile.gettempdir()) / f"paumer-gpus{user}"
    folder.mkdir(exist_ok=True)
    taken: dict[str, FileLock] = {}
    for place, name in product(range(_jobs_per_gpu()), names):
        lock = FileLock(folder / f"{name.replace('/', '-')}{f'-{place}' if place else ''}.lock")
        if name in taken:
            continue
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
