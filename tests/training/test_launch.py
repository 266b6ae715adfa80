"""`paumer train --devices N` and `torchrun`: processes that are started, killed, and go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from tiers import first

from paumer.system.files import read_json
from paumer.training import checkpoints
from paumer.training.loop import Run, train

TIME = 300  # seconds, in which any of these has long ended


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def wait_for(path: Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + TIME
    while not path.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    assert path.exists()


@pytest.mark.parametrize("whom", first(["a process", "the launcher"]))
def test_a_killed_process_ends_the_job_in_a_line_and_the_next_start_goes_on(
    settings, manifest, tmp_path, verb, monkeypatch, capsys, whom
) -> None:
    described = settings(epochs=80, options={"batch": 4, "checkpoint_minutes": 0}, phase={"optimizer": "sgd"})
    run, checkpoint = tmp_path / "run", tmp_path / "checkpoint" / checkpoints.NAME
    command = [sys.executable, "-m", "paumer", *verb(described, manifest, tmp_path, "--devices", "2")]
    job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    wait_for(checkpoint, job)
    started = children(job.pid)
    assert len(started) == 2
    if whom == "a process":
        os.kill(started[1], signal.SIGKILL)
    else:
        job.terminate()
    error = job.communicate(timeout=TIME)[1]
    assert job.returncode == 1
    assert "Traceback" not in error
    said = "process 1 of 2 was killed, often for lack of memory" if whom == "a process" else "ended by SIGTERM"
    last = error.strip().splitlines()[-1]
    assert last == f"paumer: error: training: {said}; run the same command again, it goes on from its checkpoint"
    assert not any(Path(f"/proc/{process}").exists() for process in started)
    assert not (run / "model.safetensors").exists()
    reached = torch.load(checkpoint)["step"]
    assert 1 <= reached < 120

    monkeypatch.setattr(Run, "save", None)  # one is enough
    seldom = described.options.model_copy(update={"checkpoint_minutes": 60.0})
    train(described.model_copy(update={"options": seldom}), manifest, run, tmp_path / "checkpoint", None)
    assert f"{reached} of 120" in capsys.readouterr().err
    assert len(pd.read_csv(run / "train.csv")) == 6
    assert not checkpoint.exists()


@pytest.mark.exhaustive
def test_torchrun_starts_it_as_a_module(settings, manifest, tmp_path, verb) -> None:
    described = settings(epochs=2, options={"batch": 4}, phase={"optimizer": "sgd"})
    train(described, manifest, tmp_path / "whole", tmp_path / "none", None)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "paumer"]
    start += verb(described, manifest, tmp_path)
    subprocess.run(start, check=True, timeout=TIME, capture_output=True)
    assert read_json(tmp_path / "run" / "run.json")["devices"] == 2
    losses = [pd.read_csv(tmp_path / name / "train.csv")["loss"] for name in ("run", "whole")]
    pd.testing.assert_series_equal(*losses, rtol=1e-4)


@pytest.mark.parametrize(
    ("devices", "environment", "error"),
    [
        ("3", {}, "training.options.batch: 2 crops cannot be shared evenly by 3 devices"),
        ("2", {"WORLD_SIZE": "2"}, "--devices: torchrun has started several processes already"),
    ],
)
def test_what_cannot_be_launched_is_said_in_a_line(
    settings, manifest, tmp_path, verb, command_line, monkeypatch, devices, environment, error
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert command_line.refuse(*verb(settings(), manifest, tmp_path, "--devices", devices)).startswith(error)
    assert list(tmp_path.iterdir()) == []
