"""The log of a run, and TensorBoard."""

import sys

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from paumer.system.errors import PaumerError
from paumer.training import loop
from paumer.training.checkpoints import Log
from paumer.training.loop import train


def events(folder) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


def test_tensorboard_shows_what_train_csv_holds(settings, manifest, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "LOG_STEPS", 2)
    train(settings(options={"tensorboard": True}), manifest, tmp_path / "run", tmp_path / "none", None)
    rows, shown = pd.read_csv(tmp_path / "run" / "train.csv"), events(tmp_path / "run" / "tensorboard")
    assert rows["step"].tolist() == [2, 4, 6, 8, 9]
    assert set(shown.Tags()["scalars"]) == set(rows.columns) - {"step"}
    for name in shown.Tags()["scalars"]:
        assert [event.step for event in shown.Scalars(name)] == rows["step"].tolist()
        assert [event.value for event in shown.Scalars(name)] == pytest.approx(rows[name].tolist(), rel=1e-4)


def test_without_the_option_there_are_no_events(settings, manifest, tmp_path) -> None:
    train(settings(epochs=1), manifest, tmp_path / "run", tmp_path / "none", None)
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_what_a_killed_run_wrote_after_its_checkpoint_is_not_shown(tmp_path) -> None:
    for begin, value in ((0, 1.0), (3, 2.0)):
        log = Log()
        log.open_board(tmp_path / "board", begin)
        for step in range(begin + 1, 6):
            log.add({"step": step, "loss": value})
        log.board.close()
    assert [(event.step, event.value) for event in events(tmp_path / "board").Scalars("loss")] == [
        (1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0)
    ]  # fmt: skip


def test_a_run_from_the_start_forgets_older_events(tmp_path) -> None:
    for value in (1.0, 2.0):
        log = Log()
        log.open_board(tmp_path / "board", 0)
        log.add({"step": 1, "loss": value})
        log.board.close()
    assert [event.value for event in events(tmp_path / "board").Scalars("loss")] == [2.0]


def test_without_tensorboard_the_option_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(PaumerError, match=r"options\.tensorboard: TensorBoard is not installed; pip install"):
        Log().open_board(tmp_path, 0)
