"""Confusion matrix and IoU, against a loop and against cityscapesScripts."""

import math

import numpy as np
import pytest
import torch
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling
from cityscapesscripts.helpers.labels import labels as official_labels

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


@pytest.mark.parametrize("absent", [(), (3,), (0, 18)])
@pytest.mark.parametrize("only_predicted", [None, 7], ids=["", "a class is only predicted"])
def test_iou_is_that_of_cityscapes(absent, only_predicted) -> None:
    labels, predictions = draw(19, absent)
    if only_predicted is not None:
        labels[labels == only_predicted] = IGNORE
        predictions[:, :5] = only_predicted
    ids = np.array([label.id for label in official_labels if not label.ignoreInEval])
    official = evalPixelLevelSemanticLabeling
    arguments = official.args
    arguments.evalLabels = [label.id for label in official_labels if label.id >= 0]
    theirs = official.generateMatrix(arguments)
    in_their_ids = np.zeros(256, dtype=np.int64)  # what we ignore is `unlabeled` there
    in_their_ids[: len(ids)] = ids
    np.add.at(theirs, (in_their_ids[labels.numpy()], ids[predictions.numpy()]), 1)
    scores = {label: official.getIouScoreForLabel(label, theirs, arguments) for label in arguments.evalLabels}

    matrix = confusion_matrix(labels, predictions, 19)
    assert mean_iou(matrix) == pytest.approx(100 * official.getScoreAverage(scores, arguments))
    assert class_iou(matrix).tolist() == pytest.approx([100 * scores[label] for label in ids], nan_ok=True)
    assert int(class_iou(matrix).isnan().sum()) == len(absent)


def test_prediction_of_a_class_that_is_only_ignored_costs_nothing() -> None:
    labels, predictions = torch.tensor([0, 1, IGNORE]), torch.tensor([0, 1, 2])
    assert mean_iou(confusion_matrix(labels, predictions, 3)) == 100
    assert math.isnan(class_iou(confusion_matrix(labels, predictions, 3))[2])


def test_scores_of_an_example() -> None:
    matrix = torch.tensor([[3, 1], [2, 4]])
    assert class_iou(matrix).tolist() == pytest.approx([100 * 3 / 6, 100 * 4 / 7])
    assert mean_iou(matrix) == pytest.approx(100 * (3 / 6 + 4 / 7) / 2)
    assert pixel_accuracy(matrix) == pytest.approx(70)


def test_matrices_of_parts_add_up() -> None:
    labels, predictions = draw(7)
    parts = [confusion_matrix(labels[image], predictions[image], 7) for image in range(len(labels))]
    assert torch.equal(sum(parts), confusion_matrix(labels, predictions, 7))
