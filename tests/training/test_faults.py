"""What happens to a training when disks, files and processes fail it."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest
import torch
from disks import resize, set_writable, small_disk
from tiers import first

from paumer.data.catalogue import described_folder
from paumer.system.errors import PaumerError
from paumer.system.files import read_json, write_json
from paumer.system.locks import lock
from paumer.training import checkpoints
from paumer.training.loop import train


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "paumer", *arguments]


def error_line(error: str) -> str:
    """The one line that says what is wrong."""
    assert "Traceback" not in error, error
    lines = [line for line in error.splitlines() if line.startswith("paumer: error: ")]
    assert len(lines) == 1, error
    return lines[0]


@contextmanager
def started(arguments) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(path, process) -> None:
    while process.poll() is None and not path.exists():
        time.sleep(0.01)
    assert process.poll() is None


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage", first([flip, cut, lambda _: b"", lambda _: b"garbage" * 50]), ids=["flipped", "cut", "empty", "garbage"]
)
def test_a_damaged_checkpoint_costs_one_interval(
    settings, manifest, tmp_path, interrupt, assert_whole, capsys, damage
) -> None:
    resumed, checkpoint = tmp_path / "resumed", tmp_path / "checkpoint"
    interrupt(5, settings(), manifest, resumed, checkpoint, None)
    last, previous = checkpoint / checkpoints.NAME, checkpoint / checkpoints.PREVIOUS
    assert [torch.load(path)["step"] for path in (last, previous)] == [5, 4]
    last.write_bytes(damage(last.read_bytes()))
    train(settings(), manifest, resumed, checkpoint, None)
    assert f"{last}: checkpoint is damaged; going on from previous.pt instead" in capsys.readouterr().err
    assert_whole(resumed, settings())


def test_without_a_sound_checkpoint_the_damaged_one_is_named(settings, manifest, tmp_path, interrupt) -> None:
    interrupt(5, settings(), manifest, tmp_path / "run", tmp_path, None)
    for name in (checkpoints.NAME, checkpoints.PREVIOUS):
        (tmp_path / name).write_bytes(cut((tmp_path / name).read_bytes()))
    with pytest.raises(PaumerError, match=r"last\.pt: checkpoint is damaged; remove it, and training starts again"):
        train(settings(), manifest, tmp_path / "run", tmp_path, None)


def test_killed_between_two_names_the_one_before_is_taken(
    settings, manifest, tmp_path, interrupt, assert_whole
) -> None:
    resumed, checkpoint = tmp_path / "resumed", tmp_path / "checkpoint"
    interrupt(5, settings(), manifest, resumed, checkpoint, None)
    (checkpoint / checkpoints.NAME).unlink()
    interrupt(4, settings(), manifest, resumed, checkpoint, None)  # before step 4, so it went on from there
    train(settings(), manifest, resumed, checkpoint, None)
    assert_whole(resumed, settings())


@pytest.mark.parametrize("flips", first([10, 60]))
def test_no_flipped_bit_goes_unnoticed(tmp_path, flips) -> None:
    content = {"settings": {}, "step": 3, "model": {"weight": torch.randn(50, 50)}, "log": [{"loss": 0.25}]}
    checkpoints.save(tmp_path, content)
    path, draw, found = tmp_path / checkpoints.NAME, random.Random(0), 0
    sound = path.read_bytes()
    for _ in range(flips):
        changed = bytearray(sound)
        changed[draw.randrange(len(sound))] ^= 1 << draw.randrange(8)
        path.write_bytes(changed)
        try:
            loaded = checkpoints.load(tmp_path, {})
        except PaumerError:
            found += 1
        else:  # it was in what nobody reads, such as the padding
            assert torch.equal(loaded["model"].pop("weight"), content["model"]["weight"])
            assert loaded | {"model": 0} == content | {"model": 0}
    assert found > flips / 2


def test_a_killed_loader_process_is_one_line_and_the_run_goes_on(
    settings, manifest, verb, tmp_path, interrupt, capsys
) -> None:
    described = settings(epochs=1000, options={"workers": 2, "checkpoint_minutes": 0})
    arguments = command(*verb(described, manifest, tmp_path))
    with started(arguments) as process:
        wait_for(tmp_path / "checkpoint/last.pt", process)
        loaders = [child for child in psutil.Process(process.pid).children() if child.name().startswith("pt_data")]
        assert len(loaders) == 2
        loaders[0].kill()
        error = process.communicate()[1]
    assert process.returncode == 1
    line = error_line(error)
    assert "training.options.workers: a process that loads images was lost" in line
    assert "it goes on from its checkpoint" in line
    reached = torch.load(tmp_path / "checkpoint/last.pt")["step"]
    capsys.readouterr()
    interrupt(reached + 1, described, manifest, tmp_path / "run", tmp_path / "checkpoint", None)
    assert f"train paumer: {reached} of 3000" in capsys.readouterr().err


@pytest.mark.exhaustive  # locks are tested by themselves
def test_the_same_run_twice_at_once_is_refused(settings, manifest, verb, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("paumer.training.loop.lock", lambda path, work: lock(path, work, patience=0.1))
    arguments = command(*verb(settings(epochs=100_000, options={"checkpoint_minutes": 0}), manifest, tmp_path))
    with started(arguments) as process:
        wait_for(tmp_path / "checkpoint/last.pt", process)
        with pytest.raises(PaumerError, match=rf"run: another process trains this run \(.* process {process.pid}\)"):
            train(settings(), manifest, tmp_path / "run", tmp_path / "checkpoint", None)
        process.kill()
    assert process.wait() == -signal.SIGKILL
    train(settings(epochs=1), manifest, tmp_path / "run", tmp_path / "checkpoint", None)


def test_a_full_disk_ends_the_run_in_one_line_and_with_room_it_goes_on(
    settings, manifest, command_line, verb, assert_whole, tmp_path
) -> None:
    described = settings(epochs=3, options={"checkpoint_minutes": 0})
    with small_disk(tmp_path / "disk", "2m") as disk:
        arguments = verb(described, manifest, disk)
        line = command_line.refuse(*arguments)
        assert "checkpoint/last.pt: cannot be written ([Errno 28] No space left on device); make room" in line
        assert not [path for path in disk.rglob("*") if ".part" in path.name]
        kept = torch.load(disk / "checkpoint/last.pt")["step"]  # the last that was whole
        resize(disk, "16m")
        code, _, error = command_line.run(*arguments)
        assert code == 0, error
        assert f"{kept} of 9" in error
        assert_whole(disk / "run", described)


def test_weights_that_find_no_room_are_one_line(settings, manifest, tmp_path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk, pytest.raises(PaumerError) as caught:
        train(settings(epochs=1), manifest, disk / "run", tmp_path / "none", None)
    line = r"disk/run/model.safetensors: cannot be written ("
    assert line in str(caught.value) and "No space left" in str(caught.value)


def test_a_folder_that_may_only_be_read_is_one_line_before_any_work(
    settings, manifest, verb, command_line, tmp_path
) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk:
        set_writable(disk, False)
        line = command_line.refuse(*verb(settings(), manifest, disk))
        assert "cannot be written to; allow writing there, or write elsewhere" in line
        assert not list(disk.iterdir())
        set_writable(disk, True)
        train(settings(epochs=1), manifest, disk / "run", disk / "checkpoint", None)


@pytest.mark.parametrize("workers", first([1, 0]))
def test_an_image_that_can_no_longer_be_read_is_named(
    settings, manifest, verb, command_line, tmp_path, workers
) -> None:
    described = read_json(manifest)
    data = shutil.copytree(described_folder(manifest, described["folder"]), tmp_path / "data")
    own = tmp_path / "data.json"
    write_json(own, described | {"folder": str(data)})
    image = next(data.glob("leftImg8bit/train/*/*.png"))
    image.write_bytes(cut(image.read_bytes()))  # a disk that fails after stage data has checked everything
    line = command_line.refuse(*verb(settings(options={"workers": workers}), own, tmp_path))
    assert line.startswith(f"{image}: cannot be read as an image")
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").iterdir())
