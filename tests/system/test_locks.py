"""Locks that end with their process, and jobs that end with theirs."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from tiers import first

from paumer.system import locks
from paumer.system.errors import PaumerError
from paumer.system.locks import NAME, hold_run, lock

HOLD = "import sys, time; from paumer.system.locks import hold_run; hold_run(sys.argv[1]); print('held', flush=True); "
# A job that ends with the process that started its parent, as a shell stands between Snakemake and a job.
JOB = "import time; from paumer.system.locks import die_with_parent; die_with_parent(); print('runs', flush=True); "
WORKFLOW = (
    "import subprocess, sys, time; from paumer.system.locks import adopt_children; adopt_children(); "
    "job = subprocess.Popen(['sh', '-c', 'cat /dev/null; \"$@\"; :', 'sh', sys.executable, '-c', sys.argv[1]]); "
)
SLEEP = "time.sleep(600)"
HANGS = 300  # seconds, after which what still runs never ends by itself


def start(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code + SLEEP, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout and process.stdout.readline()
    return process


def test_a_folder_in_use_is_refused_in_one_line_and_free_after_a_kill(tmp_path: Path) -> None:
    with start(HOLD, tmp_path) as process:
        with pytest.raises(PaumerError) as caught:
            hold_run(tmp_path)
        assert f"{tmp_path}: another run works here" in str(caught.value)
        assert f"process {process.pid})" in str(caught.value)
        assert "\n" not in str(caught.value)
        process.kill()
    with lock(tmp_path / NAME, "work", patience=0):
        pass


def test_who_comes_second_waits_a_little(tmp_path: Path, capsys) -> None:
    with start(HOLD, tmp_path) as process:
        subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {process.pid}"])
        with lock(tmp_path / NAME, "work", patience=30):
            assert process.wait() == -signal.SIGKILL
    assert "waiting up to 30 s: work (" in capsys.readouterr().err


def test_a_lock_is_gone_when_its_block_ends(tmp_path: Path) -> None:
    first, second = (lock(tmp_path / NAME, "work", patience=0) for _ in range(2))
    with first, pytest.raises(PaumerError, match=r"work \(.* process \d+\); wait until it has ended"), second:
        pass
    assert not list(tmp_path.iterdir())


def test_what_a_kill_left_half_written_goes_when_the_next_run_starts(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(locks, "_runs", [])
    half = [tmp_path / "tables/.main.123.part.csv", tmp_path / "data/.scenes.abc.part/gtFine/x.png"]
    whole = [tmp_path / "tables/main.csv", tmp_path / "data/ade.zip.part", tmp_path / "data/ade.zip.part.json"]
    for path in half + whole:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    hold_run(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted([tmp_path / NAME, *whole])


def test_a_file_system_without_locks_is_named_and_used(tmp_path: Path, monkeypatch, capsys) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with lock(tmp_path / NAME, "work"):
        assert "this file system has no locks" in capsys.readouterr().err


@pytest.mark.parametrize("end", first([signal.SIGKILL, signal.SIGTERM]))
def test_a_job_ends_with_the_workflow_that_started_it(end: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKFLOW + SLEEP, JOB + SLEEP], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout and process.stdout.readline() == "runs\n"
    try:
        assert group(process.pid) == 3
        os.kill(process.pid, end)
        process.wait()
        until = time.monotonic() + HANGS
        while group(process.pid) and time.monotonic() < until:
            time.sleep(0.1)
        assert group(process.pid) == 0
    finally:
        if group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def group(number: int) -> int:
    """How many processes a process group has that are no zombies."""
    count = 0
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):  # it may end meanwhile
            count += os.getpgid(process.pid) == number and process.info["status"] != psutil.STATUS_ZOMBIE
    return count


def test_a_job_whose_workflow_ended_before_it_began_ends(monkeypatch) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setenv(locks.PARENT, f"{socket.gethostname()} process {ended.pid}")
    job = subprocess.run([sys.executable, "-c", JOB + SLEEP])
    assert job.returncode == -signal.SIGTERM


def test_a_job_of_another_machine_or_none_lives_on(monkeypatch) -> None:
    for parent in ("", "elsewhere process 1"):
        monkeypatch.setenv(locks.PARENT, parent)
        locks.die_with_parent()
    time.sleep(2 * locks.WATCH_SECONDS)
