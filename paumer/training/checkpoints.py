"""Checkpoints: enough to go on exactly where a killed run stopped."""

from pathlib import Path
from typing import Any

import torch

from paumer.errors import PaumerError
from paumer.files import writing
from paumer.models.weights import read_tensors

NAME = "last.pt"


def save(folder: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    with writing(folder / NAME) as temporary:
        torch.save(content, temporary)


def load(folder: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Read the checkpoint of a run with just these settings; None where there is none.

    Raises:
        PaumerError: the checkpoint is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = read_tensors(path)
        same = content["settings"] == settings
    except Exception:  # damaged files raise whatever their bytes lead to
        raise PaumerError(f"{path}: checkpoint is damaged; remove it, and training starts again") from None
    return content if same else None


def remove(folder: Path) -> None:
    """Remove the checkpoint of a finished run."""
    for path in (folder / NAME, *folder.glob(f".{Path(NAME).stem}.*.part*")):
        path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
