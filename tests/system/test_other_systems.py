"""Where the operating system lacks what Linux has, calls go on, and what nobody tells is unknown."""

import ctypes
import math
import os
import signal
import socket
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from deployment.finished_runs import write_run

import paumer
from paumer.system import locks
from paumer.system import locks as gpus
from paumer.system import machine as environment
from paumer.system import machine as runtime
from paumer.system.machine import OtherLoad, PeakMemory, clocks
from paumer.training import distributed as launch

CPU = torch.device("cpu")


def lacking(*arguments: Any, **options: Any) -> NoReturn:
    raise TypeError("what Windows says of a library without a name")


@pytest.fixture
def bare(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without /proc, users by number, a C library to ask, and the processors of a process."""
    tmp_path_factory.getbasetemp()  # pytest asks for the user
    for name in ("getuid", "geteuid", "sysconf", "sched_getaffinity"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(ctypes, "CDLL", lacking)
    for name in ("read_text", "write_text"):
        original = getattr(Path, name)

        def method(self: Path, *arguments: Any, original: Any = original, **options: Any) -> Any:
            if self.is_relative_to("/proc"):
                raise FileNotFoundError(2, "No such file", str(self))
            return original(self, *arguments, **options)

        monkeypatch.setattr(Path, name, method)


def test_what_the_system_does_not_tell_is_unknown(bare: None) -> None:
    assert math.isnan(OtherLoad().processors())
    assert math.isnan(PeakMemory(CPU).megabytes())
    assert clocks(CPU) == ""
    assert environment.processor_name()
    assert runtime.set_threads(1) == 1
    runtime.keep_freed_memory()


def test_measuring_works(tmp_path: Path, bare: None) -> None:
    network = paumer.load(write_run(tmp_path))
    table = paumer.measure(
        network, paumer.scenes(1, height=32, width=48).images, ["2:0.5"], rounds=3, block_seconds=0.001
    )
    assert set(table.status) == {"ok"} and table.other_load.isna().all()


def test_gpus_are_held(bare: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in (gpus.HELD, "SLURM_JOB_ID", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(gpus.VISIBLE, "0,1")
    monkeypatch.setattr(gpus, "_held", [])
    gpus.hold_gpus("cuda")
    assert os.environ[gpus.VISIBLE] == "0"
    for lock in gpus._held:
        lock.release()
    del os.environ[gpus.HELD]


def test_no_process_is_asked_on_windows_where_that_would_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(os, "kill", lambda *process: asked.append(process))
    monkeypatch.setenv(locks.PARENT, f"{socket.gethostname()} process 1")
    monkeypatch.setattr(os, "name", "nt")
    locks.die_with_parent()
    assert not asked


def test_the_exit_code_of_who_was_killed_needs_no_signal_of_that_name() -> None:
    assert launch.KILLED == -signal.SIGKILL == -9
