"""The log of a run: rows for `train.csv`, and TensorBoard events where they are asked for."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from paumer.errors import PaumerError
from paumer.files import write_text

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
