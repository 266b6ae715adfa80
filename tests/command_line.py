"""`paumer VERB` in the process of the tests."""

import sys
from typing import Any

import pytest

from paumer.cli import main


class CommandLine:
    """`paumer VERB` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def run(self, *arguments: Any) -> tuple[int, str, str]:
        """Run a verb: its exit code, what it prints, and what it says on standard error."""
        self.monkeypatch.setattr(sys, "argv", ["paumer", *map(str, arguments)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), *self.capsys.readouterr()

    def refuse(self, *arguments: Any) -> str:
        """Run a verb that must fail with code 1 and one line, which is given back."""
        code, _, error = self.run(*arguments)
        assert code == 1
        *others, line = error.splitlines()
        assert line.startswith("paumer: error: ")
        assert not any("Traceback" in other or "Warning" in other for other in others)
        return line.removeprefix("paumer: error: ")
