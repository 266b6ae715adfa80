"""Checkpoints: enough to go on exactly where a killed run stopped.

Two are kept, the last and the one before it, so that a damaged file costs minutes and not the run.
"""

import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from paumer.errors import PaumerError
from paumer.files import LEFTOVERS, writing
from paumer.models.weights import read_tensors

NAME, PREVIOUS = "last.pt", "previous.pt"


def save(folder: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all; the last one becomes the one before it.

    Raises:
        PaumerError: it cannot be written; the last one stays.
    """
    last = folder / NAME
    with writing(last) as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save(content, file)
        except RuntimeError as error:
            # Of a full disk torch says first what the disk said, and then that the end of its file is missing.
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        if last.exists():
            last.replace(folder / PREVIOUS)


def load(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Read the newest sound checkpoint of a run with just these settings; None where there is none.

    Raises:
        PaumerError: there are checkpoints, and all are damaged.
    """
    damaged: list[Path] = []
    for path in (folder / NAME, folder / PREVIOUS):
        if not path.exists():
            continue
        content = _read_sound(path)
        if content is None:
            damaged.append(path)
            continue
        if damaged:
            print(
                f"{damaged[0]}: checkpoint is damaged; going on from {path.name} instead", file=sys.stderr, flush=True
            )
        return content if content["settings"] == settings else None
    if damaged:
        raise PaumerError(f"{damaged[0]}: checkpoint is damaged; remove it, and training starts again")
    return None


def remove(folder: Path) -> None:
    """Remove the checkpoints of a finished run."""
    for path in (folder / NAME, folder / PREVIOUS, *folder.glob(LEFTOVERS)):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _read_sound(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint and compare it with its checksums, which torch writes but does not read; None if damaged."""
    try:
        with ZipFile(path) as archive:
            sound = archive.testzip() is None
        content: dict[str, Any] = read_tensors(path)
    except Exception:  # damaged files raise whatever their bytes lead to
        return None
    return content if sound and "settings" in content else None
