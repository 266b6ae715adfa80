"""Finished runs in an experiment, and the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import CommandLine
from finished_runs import write_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of recipe paumer; not to be changed."""
    return write_run(tmp_path_factory.mktemp("experiment"))


@pytest.fixture
def command(command_line: CommandLine) -> Callable[..., tuple[str, str]]:
    """Run `paumer` in this process; give what it prints, and its one line of error or nothing."""

    def call(*arguments: object) -> tuple[str, str]:
        code, printed, error = command_line.run(*arguments)
        if code == 0:
            return printed, ""
        last = error.strip().splitlines()[-1]
        assert code == 1
        assert last.startswith("paumer: error: ")
        return printed, last

    return call
