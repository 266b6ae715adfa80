"""Several processes, or several passes, train what one does at once."""

import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from tiers import first
from torch import nn

from paumer.config.training import EXECUTION, TrainingOptions
from paumer.system.errors import PaumerError
from paumer.system.files import read_json
from paumer.training import checkpoints, loop
from paumer.training.distributed import DistributedContext, process_group
from paumer.training.loop import train
from paumer.training.optimization import Optimization

LOSSES = ["loss", "final_loss", "auxiliary_loss"]
# Without Adam's division by the size of the gradient, which turns rounding errors into steps.
OPTIONS = {"batch": 4, "class_balance": 0.5, "drop_path": 0.3, "checkpoint_minutes": 0}
PHASE = {"optimizer": "sgd"}

# Autograd starts its threads at the first use, for the devices known by then, and forbids to fork where there were any.
# Some tests, of compiled networks say, make more devices known: so it is used here, when tests are collected.
torch.zeros(1, requires_grad=True).sum().backward()


def side_by_side(count: int, work: Callable[[], None]) -> list[str]:
    """Do the same in several processes as `torchrun` starts them; give what each failed with."""
    context = get_context("fork")
    errors = context.SimpleQueue()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]

    def run(rank: int) -> None:
        os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
        try:
            work()
            errors.put((rank, ""))
        except PaumerError as error:
            errors.put((rank, str(error)))
        except BaseException as error:
            traceback.print_exc()
            errors.put((rank, repr(error)))

    processes = [context.Process(target=run, args=(rank,)) for rank in range(count)]
    for process in processes:
        process.start()
    found = dict(errors.get() for _ in processes)
    for process in processes:
        process.join()
    return [found[rank] for rank in range(count)]


@pytest.fixture(autouse=True)
def every_step_logged(monkeypatch) -> None:
    monkeypatch.setattr(loop, "LOG_STEPS", 1)


@pytest.fixture
def stopped(monkeypatch):
    """Train in several processes until just before a step."""

    def run(step: int, count: int, *arguments) -> None:
        original = Optimization.step

        def stop(self, number):
            if number == step:
                raise KeyboardInterrupt
            original(self, number)

        with monkeypatch.context() as patch:
            patch.setattr(Optimization, "step", stop)
            assert side_by_side(count, lambda: train(*arguments)) == ["KeyboardInterrupt()"] * count

    return run


def run_folder(folder: Path) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    return pd.read_csv(folder / "train.csv"), load_file(folder / "model.safetensors")


def assert_alike(folder: Path, whole: Path, exactly: bool = False) -> None:
    """The same losses at every step, and the same weights, up to the order of sums."""
    (log, weights), (expected_log, expected) = run_folder(folder), run_folder(whole)
    tolerance = {"rtol": 0, "atol": 0} if exactly else {"rtol": 2e-4, "atol": 2e-5}
    pd.testing.assert_frame_equal(log[["step", *LOSSES]], expected_log[["step", *LOSSES]], **tolerance)
    torch.testing.assert_close(weights, expected, **tolerance)


@pytest.mark.parametrize(("count", "device_batch", "passes"), first([(2, 1, 2), (1, 3, 2), (2, None, 1), (4, None, 1)]))
def test_however_a_batch_is_split_the_losses_are_the_same(
    settings, manifest, tmp_path, capfd, count, device_batch, passes
) -> None:
    """With everything that is drawn: schedules, dropped paths, augmentation; and unevenly labelled images."""
    train(settings(epochs=6, options=OPTIONS, phase=PHASE), manifest, tmp_path / "whole", tmp_path / "none", None)
    described = settings(epochs=6, options={**OPTIONS, "device_batch": device_batch}, phase=PHASE)
    arguments = (described, manifest, tmp_path / "split", tmp_path / "none", None)
    assert side_by_side(count, lambda: train(*arguments)) == [""] * count
    assert_alike(tmp_path / "split", tmp_path / "whole")
    assert read_json(tmp_path / "split" / "run.json")["devices"] == count
    devices, each = f"{count} device{'s' if count > 1 else ''}", device_batch or 4 // count
    said = f"batch of 4 crops a step: {devices} x {passes} pass{'es' if passes > 1 else ''} of {each}"
    assert capfd.readouterr().err.count(said) == 1


@pytest.mark.parametrize(("before", "after"), first([(2, 1), (1, 2), (2, 4), (2, 2)]))
def test_a_run_goes_on_with_any_number_of_processes(settings, manifest, tmp_path, stopped, before, after) -> None:
    described = settings(epochs=9, options=OPTIONS, phase=PHASE)
    arguments = (described, manifest, tmp_path / "resumed", tmp_path / "checkpoint", None)
    stopped(5, before, *arguments)
    assert torch.load(tmp_path / "checkpoint" / checkpoints.NAME)["step"] == 5
    assert side_by_side(after, lambda: train(*arguments)) == [""] * after
    whole = (described, manifest, tmp_path / "whole", tmp_path / "none", None)
    assert side_by_side(after, lambda: train(*whole)) == [""] * after
    assert_alike(tmp_path / "resumed", tmp_path / "whole", exactly=before == after)
    assert not (tmp_path / "checkpoint").exists()


def test_a_run_goes_on_under_other_options_of_execution(settings, manifest, tmp_path, stopped) -> None:
    assert set(EXECUTION) <= set(TrainingOptions.model_fields)
    described = settings(epochs=6, options=OPTIONS, phase=PHASE)
    folders = (tmp_path / "resumed", tmp_path / "checkpoint", None)
    stopped(3, 1, described, manifest, *folders)
    others = {"device_batch": 1, "workers": 1, "cache": str(tmp_path / "cache"), "checkpoint_minutes": 1.0}
    train(settings(epochs=6, options=OPTIONS | others, phase=PHASE), manifest, *folders)
    train(described, manifest, tmp_path / "whole", tmp_path / "none", None)
    assert_alike(tmp_path / "resumed", tmp_path / "whole")


def test_unused_parameters_stay_as_they_are(settings, manifest, tmp_path, monkeypatch) -> None:
    build = loop.build

    def build_with_more(*arguments, **named):
        model = build(*arguments, **named)
        model.encoder.idle = nn.Parameter(torch.ones(3, 3))
        return model

    monkeypatch.setattr(loop, "build", build_with_more)
    described = settings(epochs=3, options=OPTIONS, phase={"optimizer": "adamw"})
    arguments = (described, manifest, tmp_path / "run", tmp_path / "none", None)
    assert side_by_side(2, lambda: train(*arguments)) == ["", ""]
    weights = run_folder(tmp_path / "run")[1]
    assert torch.equal(weights["encoder.idle"], torch.ones(3, 3))  # not even decayed


def test_checkpoints_that_not_all_see_are_refused(settings, manifest, tmp_path, stopped) -> None:
    arguments = (settings(epochs=3, options=OPTIONS, phase=PHASE), manifest, tmp_path / "run")
    stopped(2, 2, *arguments, tmp_path / "0", None)
    errors = side_by_side(2, lambda: train(*arguments, tmp_path / os.environ["RANK"], None))
    assert ["steps 0, 2" in error for error in errors] == [True, True]
    assert errors[0].startswith(f"{tmp_path / '0'}: processes found different checkpoints")


def test_a_process_whose_partner_fails_says_so(tmp_path) -> None:
    def work() -> None:
        with process_group("cpu") as context:
            if context.is_main:
                raise PaumerError("mine")
            for _ in range(1000):
                context.sum(torch.ones(1))

    first, second = side_by_side(2, work)
    assert first == "mine"
    assert second.startswith("training: process 1 of 2 lost the others (")
    assert second.endswith("it goes on from its checkpoint")


def test_batches_that_cannot_be_shared_evenly_are_refused() -> None:
    with pytest.raises(PaumerError, match=r"training\.options\.batch: 4 crops .* by 3 devices; use a multiple of 3"):
        DistributedContext(torch.device("cpu"), 0, 3).local_slice(4)


def test_one_device_for_several_processes_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(PaumerError, match="device: 'cuda:1' is one device"), process_group("cuda:1"):
        pass
