"""Small and read-only disks for tests, where this user may mount any."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own at `folder`; the test is skipped where it cannot be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = _run("mount", "-t", "tmpfs", "-o", f"size={size}", "paumer-test", folder)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        _run("umount", "--lazy", folder)


def resize(folder: Path, size: str) -> None:
    """Give a mounted disk another size."""
    assert _run("mount", "-o", f"remount,size={size}", folder).returncode == 0


def set_writable(folder: Path, writable: bool) -> None:
    """Let a mounted disk be written to, or no longer."""
    assert _run("mount", "-o", f"remount,{'rw' if writable else 'ro'}", folder).returncode == 0


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(list(map(str, command)), capture_output=True, text=True)
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
