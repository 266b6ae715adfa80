"""Finished runs in an experiment, and the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from finished_runs import write_run

from paumer import cli


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of recipe paumer; not to be changed."""
    return write_run(tmp_path_factory.mktemp("experiment"))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """Run `paumer` in this process; give what it prints, and its one line of error or nothing."""

    def call(*arguments: object) -> tuple[str, str]:
        monkeypatch.setattr("sys.argv", ["paumer", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as caught:
            code = caught.code
        out, err = capsys.readouterr()
        if code == 0:
            return out, ""
        last = err.strip().splitlines()[-1]
        assert code == 1
        assert last.startswith("paumer: error: ")
        return out, last

    return call
