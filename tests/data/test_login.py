"""Where a login is found, in which order, and that nothing of it is shown."""

import os
import sys
from pathlib import Path

import pytest

from paumer.data import cityscapes_site as login
from paumer.data.cityscapes_site import Login, find_login
from paumer.system.errors import PaumerError

HOST = "www.example.org"
SECRETS = ("anna@example.org", "p4ss word")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SITE_USERNAME", "SITE_PASSWORD", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def set_environment(monkeypatch: pytest.MonkeyPatch, username: str = SECRETS[0], password: str = SECRETS[1]) -> None:
    monkeypatch.setenv("SITE_USERNAME", username)
    monkeypatch.setenv("SITE_PASSWORD", password)


def write_netrc(tmp_path: Path, host: str = HOST, password: str = "netrc") -> Path:
    path = tmp_path / ".netrc"
    path.write_text(f"machine {host} login bert password {password}\n")
    path.chmod(0o600)
    return path


def write_stored(tmp_path: Path, content: str = '{"username": "cleo", "password": "stored"}') -> Path:
    path = tmp_path / "credentials.json"
    path.write_text(content)
    return path


def failure(stored: Path | None = None) -> str:
    with pytest.raises(PaumerError) as caught:
        find_login(HOST, "SITE", stored)
    line = str(caught.value)
    assert "\n" not in line
    assert not any(secret in line for secret in SECRETS)
    return line


def test_nothing_anywhere(tmp_path: Path) -> None:
    assert find_login(HOST, "SITE", tmp_path / "missing.json") is None
    assert find_login(HOST, "SITE", None) is None


def test_first_place_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stored = write_stored(tmp_path)
    assert find_login(HOST, "SITE", stored) == Login("cleo", "stored", str(stored))
    write_netrc(tmp_path)
    assert find_login(HOST, "SITE", stored) == Login("bert", "netrc", "~/.netrc")
    set_environment(monkeypatch)
    found = find_login(HOST, "SITE", stored)
    assert found == Login(*SECRETS, "the environment variables SITE_USERNAME and SITE_PASSWORD")
    assert not any(secret in f"{found} {found!r}" for secret in SECRETS)


def test_named_netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write_netrc(tmp_path).rename(tmp_path / "elsewhere")
    assert find_login(HOST, "SITE", None) is None
    monkeypatch.setenv("NETRC", str(path))
    assert find_login(HOST, "SITE", None) == Login("bert", "netrc", str(path))


@pytest.mark.parametrize("line", ["machine www.other.org login a password b", "default login a password b", ""])
def test_logins_of_other_hosts_are_not_used(tmp_path: Path, line: str) -> None:
    write_netrc(tmp_path).write_text(f"{line}\n")
    assert find_login(HOST, "SITE", None) is None


def test_broken_netrc_does_not_show_its_words(tmp_path: Path) -> None:
    path = write_netrc(tmp_path)
    path.write_text(f"machine {HOST} login {SECRETS[0]} password two words\nmachine {HOST} passwort {SECRETS[0]}\n")
    line = failure()
    assert line.startswith(f"{path}: line ")
    assert "words" not in line
    assert "passwort" not in line


@pytest.mark.parametrize("content", ["p4ss word", "[]", '{"username": 1, "password": 2}'])
def test_places_that_hold_no_login_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str) -> None:
    path = write_stored(tmp_path, content)
    assert str(path) in failure(path)
    for username, password, name in (("anna", "", "PASSWORD"), ("", SECRETS[1], "USERNAME")):
        set_environment(monkeypatch, username, password)
        assert failure().startswith(f"SITE_{name}: is empty or not set")
    set_environment(monkeypatch, "", "")
    write_netrc(tmp_path).chmod(0o644)
    assert os.name != "posix" or "chmod 600" in failure()


class Terminal:
    def __init__(self, answer: str = "") -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer


def test_terminal_is_asked_last(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("dora\n"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(login, "getpass", lambda prompt: SECRETS[1])
    assert find_login(HOST, "SITE", None) == Login("dora", SECRETS[1], "the terminal")
    assert "it is not stored" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    assert find_login(HOST, "SITE", None) is None
    set_environment(monkeypatch)
    monkeypatch.setattr(sys, "stdin", None)
    assert find_login(HOST, "SITE", None) is not None


def test_logs_are_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("dora\n"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert find_login(HOST, "SITE", None) is None
