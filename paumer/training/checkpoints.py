"""Checkpoints, from which a killed run continues exactly, and the log of a run.

Two checkpoints are kept, the last and the one before it, so that a damaged file costs minutes and not the run. The log
has rows for `train.csv`, and TensorBoard events if the settings ask for them.
"""

import shutil
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pandas as pd
import torch
from torch import Tensor

from paumer.models.weights import read_tensors
from paumer.system.errors import PaumerError
from paumer.system.files import LEFTOVERS, write_text, writing

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
            # What interrupts torch (a full disk, a lost loader process) it hides behind a file whose end is missing.
            raise (error.__context__ or error) from None
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


Row = dict[str, float]


class Log:
    """Rows so far, and the losses since the last one.

    Attributes:
        rows: one every few steps.
        recent: total, final and auxiliary loss of every step since the last row, (3,) each.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.recent: list[Tensor] = []
        self.board: Any = None

    def open_board(self, folder: Path, step: int) -> None:
        """Write every further row to TensorBoard too; what a killed run wrote after `step` is not shown.

        Raises:
            PaumerError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise PaumerError(
                "training.options.tensorboard: TensorBoard is not installed; pip install 'paumer[tensorboard]', or set "
                "it to false"
            ) from None
        if step == 0:
            shutil.rmtree(folder, ignore_errors=True)
        self.board = SummaryWriter(folder, purge_step=step + 1)

    def mean_losses(self) -> tuple[float, float, float]:
        """Total, final and auxiliary loss since the last row, which are forgotten."""
        total, final, auxiliary = torch.stack(self.recent).mean(dim=0).tolist()
        self.recent = []
        return total, final, auxiliary

    def add(self, row: Row) -> None:
        """Add a row."""
        self.rows.append(row)
        if self.board is not None:
            for name, value in row.items():
                if name != "step":
                    self.board.add_scalar(name, value, int(row["step"]))
            self.board.flush()

    def write(self, path: Path) -> None:
        """Write all rows as CSV, and close TensorBoard's file."""
        write_text(path, pd.DataFrame(self.rows).to_csv(index=False, float_format="%.6g"))
        if self.board is not None:
            self.board.close()

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"log": self.rows, "recent": self.recent}

    def load_state_dict(self, content: dict[str, Any], device: torch.device) -> None:
        """Go on from a checkpoint."""
        self.rows = content["log"]
        self.recent = [losses.to(device) for losses in content["recent"]]
