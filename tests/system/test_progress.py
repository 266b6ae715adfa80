"""Lines of progress in a log, and what is read back from them."""

import io
import sys
from pathlib import Path

import pytest

from paumer.system.progress import LAST_BYTES, last_state, progress


def test_what_is_written_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    for _ in progress(range(3), title="train dense"):
        pass
    with progress(title="fetching", total=5_000_000, in_bytes=True) as bar:
        bar.update(2_000_000)
    path = tmp_path / "stage.log"
    lines = log.getvalue().splitlines()
    path.write_text(lines[0], encoding="utf-8")
    first = last_state(path)
    assert first and (first.line, first.title, first.left) == (lines[0], "train dense", None)
    path.write_text("\n".join(lines[:2]), encoding="utf-8")
    last = last_state(path)
    assert last and last.line.startswith("train dense: 3 of 3 in ") and last.left == 0
    path.write_text("\n".join([*lines, "a warning: 3 of them"]), encoding="utf-8")
    fetching = last_state(path)
    assert fetching and fetching.line.startswith("fetching: 2.00M of 5.00M in ")


@pytest.mark.parametrize(("written", "seconds"), [("00:07", 7), ("12:34", 754), ("1:02:03", 3723), ("?", None)])
def test_time_to_go_is_read(written: str, seconds: float | None, tmp_path: Path) -> None:
    path = tmp_path / "stage.log"
    path.write_text(f"evaluate: 4 of 9 in 00:20, {written} to go, loss=0.5\n", encoding="utf-8")
    state = last_state(path)
    assert state and state.left == seconds


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    path = tmp_path / "stage.log"
    path.write_bytes(b"evaluate: 1 of 9 in 00:20, 01:00 to go\n" + b"\xff" * LAST_BYTES)
    assert last_state(path) is None
    with path.open("a", encoding="utf-8") as file:
        file.write("\nevaluate: 2 of 9 in 00:20, 01:00 to go\nevaluate: 3 of")
    state = last_state(path)
    assert state and state.line == "evaluate: 2 of 9 in 00:20, 01:00 to go"


def test_no_log_says_nothing(tmp_path: Path) -> None:
    assert last_state(tmp_path / "none.log") is None
    assert last_state(tmp_path) is None
