"""Confusion matrix and IoU, against a loop and against cityscapesScripts."""

import math

import numpy as np
import pytest
import torch

from paumer.config.base import IGNORE
from paumer.evaluation.evaluate import class_iou, confusion_matrix, mean_iou, pixel_accuracy


def draw(classes: int, absent: tuple[int, ...] = (), seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random labels, a tenth ignored, and predictions that are right half of the time."""
    generator = np.random.default_rng(seed)
    present = [number for number in range(classes) if number not in absent]
    labels, predictions = generator.choice(present, size=(2, 2, 40, 50))
    predictions = np.where(generator.random(labels.shape) < 0.5, labels, predictions)
    labels = np.where(generator.random(labels.shape) < 0.1, IGNORE, labels)
    return torch.from_numpy(labels).to(torch.uint8), torch.from_numpy(predictions)


def test_confusion_matrix_is_that_of_a_loop() -> None:
    labels, predictions = draw(7)
    expected = torch.zeros(7, 7, dtype=torch.int64)
    for label, predicted in zip(labels.flatten().tolist(), predictions.flatten().tolist(), strict=True):
        if label != IGNORE:
            expected[label, predicted] += 1
    assert torch.equal(confusion_matrix(labels, predictions, 7), expected)


def test_prediction_of_a_class_that_is_only_ignored_costs_nothing() -> None:
    labels, predictions = torch.tensor([0, 1, IGNORE]), torch.tensor([0, 1, 2])
    assert mean_iou(confusion_matrix(labels, predictions, 3)) == 100
    assert math.isnan(class_iou(confusion_matrix(labels, predictions, 3))[2])


def test_scores_of_an_example() -> None:
    matrix = torch.tensor([[3, 1], [2, 4]])
    assert class_iou(matrix).tolist() == pytest.approx([100 * 3 / 6, 100 * 4 / 7])
    assert mean_iou(matrix) == pytest.approx(100 * (3 / 6 + 4 / 7) / 2)
    assert pixel_accuracy(matrix) == pytest.approx(70)
