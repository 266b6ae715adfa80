"""Confusion matrix and mean intersection over union; errors of single patches."""

import torch
from torch import Tensor

from paumer.data.datasets import IGNORE


def confusion_matrix(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """Count pixels by label (rows) and prediction (columns), (classes, classes) int64; ignored pixels are left out."""
    valid = labels != IGNORE
    slots = labels[valid].long() * classes + predictions[valid].long()
    return torch.bincount(slots, minlength=classes**2).view(classes, classes)


def class_iou(matrix: Tensor) -> Tensor:
    """Intersection over union per class in points, (classes,); NaN where neither label nor prediction has the class."""
    hits = matrix.diagonal().double()
    return 100 * hits / (matrix.sum(0) + matrix.sum(1) - matrix.diagonal())


def mean_iou(matrix: Tensor) -> float:
    """Mean IoU in points; classes absent from labels and predictions are left out, as cityscapesScripts does."""
    return float(class_iou(matrix).nanmean())


def pixel_accuracy(matrix: Tensor) -> float:
    """Share of labelled pixels predicted right, in points."""
    return float(100 * matrix.diagonal().sum() / matrix.sum())


def patch_errors(logits: Tensor, truth: Tensor) -> Tensor:
    """Share of the labelled pixels of every patch whose class its cells do not predict.

    Args:
        logits: (batch, patches, cells, classes).
        truth: pixels of each class in every cell, same shape.

    Returns:
        (batch, patches), NaN where no pixel is labelled.
    """
    hits = truth.gather(-1, logits.argmax(dim=-1, keepdim=True))
    return 1 - hits.sum(dim=(-2, -1)) / truth.sum(dim=(-2, -1))
