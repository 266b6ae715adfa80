"""Two runs in one folder, runs side by side, a Snakemake that is killed alone, and disks that fail a run."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from disks import resize, set_writable, small_disk

from paumer.system import locks

REPOSITORY = Path(__file__).parents[2]
TINY = yaml.safe_load((Path(__file__).parent / "tiny.yaml").read_text(encoding="utf-8"))
RUN = "results/tiny/runs/vit_nano_patch8/dense/seed0/model.safetensors"
CHECKPOINT = "results/tiny/checkpoints/vit_nano_patch8/dense/seed0/last.pt"
PATIENCE = 180


def command(folder: Path, target: str, **changed: Any) -> list[str]:
    """What a user types; neither `--unlock` nor `--rerun-incomplete` is."""
    experiment = TINY | changed
    path = folder / f"{experiment['experiment']}.yaml"
    path.write_text(yaml.safe_dump(experiment), encoding="utf-8")
    options = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", str(folder), "--configfile", str(path)]
    return ["snakemake", target, "--cores", "1", *options]


def run(arguments: list[str]) -> tuple[int, str]:
    finished = subprocess.run(arguments, capture_output=True, text=True)
    return finished.returncode, finished.stdout + finished.stderr


@contextmanager
def started(arguments: list[str]) -> Iterator[psutil.Popen]:
    process = psutil.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    finally:
        for child in [*process.children(recursive=True), process] if process.is_running() else []:
            child.kill()
        process.wait()


def wait_for(condition: Any, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} s for {what}"
        time.sleep(0.05)


def errors(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("paumer: error: ")]


def test_a_folder_in_use_is_refused_before_any_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_runs", [])
    locks.hold_run(tmp_path / "results/tiny")
    code, said = run(command(tmp_path, RUN))
    assert code != 0
    assert f"results/tiny: another run works here ({os.uname().nodename} process {os.getpid()})" in errors(said)[0]
    assert "Traceback" not in said
    assert not list((tmp_path / "results/tiny").glob("[!.]*"))


@pytest.mark.exhaustive
def test_a_second_run_is_refused_and_a_kill_of_snakemake_alone_is_no_loss(tmp_path: Path) -> None:
    training = TINY["training"] | {"recipe_phase": {"epochs": 1e6, "warmup": 0}}
    training["options"] = training["options"] | {"checkpoint_minutes": 0}
    arguments = command(tmp_path, RUN, training=training)
    checkpoint = tmp_path / CHECKPOINT
    with started(arguments) as first:
        wait_for(checkpoint.exists, "a checkpoint")
        code, said = run(arguments)
        assert code != 0
        assert f"results/tiny: another run works here ({os.uname().nodename} process {first.pid})" in errors(said)[0]
        assert "Traceback" not in said
        assert first.is_running() and checkpoint.exists()
        other = command(tmp_path, "results/other/data.json", experiment="other")
        code, said = run(other)  # side by side
        assert code == 0, said

        jobs = [child for child in first.children(recursive=True) if "paumer" in " ".join(child.cmdline())]
        assert jobs
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        wait_for(lambda: not any(job.is_running() and job.status() != psutil.STATUS_ZOMBIE for job in jobs), "its jobs")
    checkpoint.touch()
    stopped = checkpoint.stat().st_mtime_ns
    with started(arguments):
        wait_for(lambda: checkpoint.stat().st_mtime_ns > stopped, "the next checkpoint")
        log = (tmp_path / "logs/tiny/train/vit_nano_patch8-dense-seed0.log").read_text(encoding="utf-8")
    first_line = next(line for line in log.splitlines() if line.startswith("train dense: "))
    assert not first_line.startswith("train dense: 0 of")  # it goes on


@pytest.mark.exhaustive
def test_a_full_and_a_read_only_disk_are_one_line_and_the_same_command_goes_on(tmp_path: Path) -> None:
    arguments = command(tmp_path, "results/tiny/data.json")
    with small_disk(tmp_path / "results", "100k") as disk:
        code, said = run(arguments)
        assert code != 0
        assert "data/scenes: cannot be written ([Errno 28] No space left on device); make room" in errors(said)[0]
        assert not list((disk / "tiny").rglob("*.png")) and not (disk / "tiny/data.json").exists()
        set_writable(disk, False)
        code, said = run(arguments)
        assert code != 0
        assert "results/tiny/.lock: cannot be written ([Errno 30] Read-only file system)" in errors(said)[0]
        assert "Traceback" not in said
        set_writable(disk, True)
        resize(disk, "16m")
        assert run(arguments)[0] == 0
