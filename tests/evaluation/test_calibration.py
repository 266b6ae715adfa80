"""Calibration: bins of confidence, the accuracy in them, and the expected calibration error."""

import pandas as pd
import pytest
import torch

from paumer.evaluation.calibration import BINS, FINAL, Calibration


def logits_of(*confidences: float) -> torch.Tensor:
    """Logits of two classes, (cells, 2), of which the first has these probabilities."""
    first = torch.tensor(confidences)
    return torch.stack([first, 1 - first], dim=-1).log()


def calibration_of(logits: torch.Tensor, truth: list[list[int]], block: int = 3) -> pd.DataFrame:
    calibration = Calibration()
    calibration.add(block, logits, torch.tensor(truth))
    return calibration.table()


def test_perfect_calibration_has_no_error() -> None:
    table = calibration_of(logits_of(0.65, 0.85), [[65, 35], [17, 3]])
    assert set(table["ece"].round(6)) == {0}
    known = table[table["pixels"] > 0]
    assert known["bin"].tolist() == ["0.6 to 0.7", "0.8 to 0.9"]
    assert known["pixels"].tolist() == [100, 20]
    assert known["accuracy"].tolist() == pytest.approx([0.65, 0.85])
    assert known["confidence"].tolist() == pytest.approx([0.65, 0.85])


def test_certain_and_always_wrong_has_the_largest_error() -> None:
    table = calibration_of(torch.tensor([[50.0, 0.0], [0.0, 50.0]]), [[0, 7], [5, 0]])
    assert table["ece"].iloc[0] == pytest.approx(1)
    assert table["pixels"].iloc[-1] == 12  # a confidence of one is in the last bin
    assert table["accuracy"].iloc[-1] == 0


def test_error_is_the_mean_gap_weighted_by_pixels() -> None:
    table = calibration_of(logits_of(0.65, 0.95), [[10, 0], [15, 15]])
    assert table["ece"].iloc[0] == pytest.approx(10 / 40 * 0.35 + 30 / 40 * 0.45)


def test_images_add_up_and_bins_hold_every_labelled_pixel() -> None:
    random, calibration = torch.Generator().manual_seed(0), Calibration()
    truths = torch.randint(0, 9, (3, 2, 6, 4, 5), generator=random)  # images, batch, patches, cells, classes
    for truth in truths:
        for block in (FINAL, 6, 3):
            calibration.add(block, torch.randn(truth.shape, generator=random), truth)
    table = calibration.table()
    assert list(table["block"].unique()) == [3, 6, FINAL]
    assert len(table) == 3 * BINS
    assert set(table.groupby("block")["pixels"].sum()) == {int(truths.sum())}


def test_unlabelled_cells_count_nothing() -> None:
    table = calibration_of(logits_of(0.65, 0.85), [[6, 4], [0, 0]])
    assert table["pixels"].sum() == 10
    assert table["accuracy"].notna().sum() == 1
