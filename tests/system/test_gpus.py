"""Processes on one host share its GPUs without ever sharing one: fake devices, real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from paumer.system.errors import PaumerError
from paumer.system.locks import hold_gpus, visible_gpus

HOLD = """
import os, sys, time
from paumer.system.locks import hold_gpus
hold_gpus(sys.argv[1], int(sys.argv[2]))
started = time.monotonic()
print(os.environ.get("CUDA_VISIBLE_DEVICES", "all"), flush=True)
time.sleep(float(sys.argv[3]))
print(started, time.monotonic(), flush=True)
"""


def hold(folder: Path, seconds: float, count: int = 1, device: str = "auto", **environment: str) -> subprocess.Popen:
    command = [sys.executable, "-c", HOLD, device, str(count), str(seconds)]
    everything = {**os.environ, "TMPDIR": str(folder), **environment}
    return subprocess.Popen(command, env=everything, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def end(*processes: subprocess.Popen) -> None:
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "PAUMER_GPUS_HELD", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def three_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A host whose `nvidia-smi` names three."""
    names = ["GPU-aa", "GPU-bb", "GPU-cc"]
    program = tmp_path / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '%s\\n' " + " ".join(names) + "\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return names


def test_each_process_gets_its_own(tmp_path: Path, three_gpus: list[str]) -> None:
    processes = [hold(tmp_path, 60) for _ in three_gpus]
    assert sorted(map(first_line, processes)) == three_gpus
    end(*processes)


def test_more_processes_than_gpus_take_turns(tmp_path: Path) -> None:
    processes = [hold(tmp_path, 0.4, CUDA_VISIBLE_DEVICES="0,1,2") for _ in range(8)]
    outputs = [process.communicate(timeout=300)[0].splitlines() for process in processes]
    spans: dict[str, list[tuple[float, ...]]] = {}
    for name, span in outputs:
        spans.setdefault(name, []).append(tuple(map(float, span.split())))
    assert set(spans) <= {"0", "1", "2"}
    for found in spans.values():
        for (_, before), (after, _) in zip(sorted(found)[:-1], sorted(found)[1:], strict=True):
            assert before <= after, "two held the same GPU"


def test_a_killed_holder_gives_its_gpu_back(tmp_path: Path) -> None:
    holder = hold(tmp_path, 60, CUDA_VISIBLE_DEVICES="4,7")
    other = hold(tmp_path, 60, CUDA_VISIBLE_DEVICES="4,7")
    assert sorted([first_line(holder), first_line(other)]) == ["4", "7"]
    waiting = hold(tmp_path, 60, CUDA_VISIBLE_DEVICES="4,7")
    assert waiting.stderr
    assert "waiting for 1 of the GPUs 4, 7" in waiting.stderr.readline()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert first_line(waiting) in ("4", "7")
    end(holder, other, waiting)


def test_several_are_taken_together_or_not_at_all(tmp_path: Path) -> None:
    listed = {"CUDA_VISIBLE_DEVICES": "0,1,2"}
    pair = hold(tmp_path, 60, count=2, **listed)
    assert first_line(pair) == "0,1"
    waiting = hold(tmp_path, 60, count=2, **listed)
    assert waiting.stderr
    waiting.stderr.readline()
    time.sleep(0.2)
    single = hold(tmp_path, 60, **listed)
    assert first_line(single) == "2"  # the one that waits for two keeps none
    end(pair, waiting, single)


def test_as_many_jobs_share_a_gpu_as_the_environment_says(tmp_path: Path, three_gpus: list[str]) -> None:
    """Emptier ones are taken first, and none twice by one process."""
    shared = {"PAUMER_JOBS_PER_GPU": "2"}
    holders = [hold(tmp_path, 60, **shared) for _ in range(3)]
    assert sorted(map(first_line, holders)) == three_gpus
    pair = hold(tmp_path, 60, count=2, **shared)
    assert first_line(pair) == "GPU-aa,GPU-bb"
    last = hold(tmp_path, 60, **shared)
    assert first_line(last) == "GPU-cc"
    waiting = hold(tmp_path, 60, **shared)
    assert waiting.stderr
    assert "waiting for 1 of the GPUs" in waiting.stderr.readline()
    end(*holders, pair, last, waiting)


@pytest.mark.parametrize("text", ["0", "two", ""])
def test_a_number_of_jobs_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("PAUMER_JOBS_PER_GPU", text)
    with pytest.raises(PaumerError, match=f"PAUMER_JOBS_PER_GPU: '{text}' is no whole number above 0"):
        hold_gpus("auto")


@pytest.mark.parametrize(
    ("device", "given"),
    [
        ("auto", {"CUDA_VISIBLE_DEVICES": "5"}),
        ("auto", {"CUDA_VISIBLE_DEVICES": ""}),
        ("auto", {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": "3"}),
        ("auto", {"CUDA_VISIBLE_DEVICES": "0,1", "PAUMER_GPUS_HELD": "0,1"}),
        ("cpu", {"CUDA_VISIBLE_DEVICES": "0,1"}),
        ("cuda:1", {"CUDA_VISIBLE_DEVICES": "0,1"}),
    ],
    ids=["one", "none", "slurm", "child", "cpu", "named"],
)
def test_what_is_assigned_stays(device: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    hold_gpus(device)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == given["CUDA_VISIBLE_DEVICES"]


def test_a_host_without_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
    hold_gpus("auto")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
