"""Boundary IoU: against a direct erosion of every class, and in cases that are known."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from paumer.config.base import IGNORE
from paumer.evaluation.boundaries import DISTANCE, boundary_counts, boundary_iou, near_boundary

CLASSES = 4


def blobs(seed: int, height: int = 60, width: int = 80) -> Tensor:
    """A map of smooth regions of random classes, (1, height, width) uint8."""
    noise = torch.randn(1, CLASSES, height // 10, width // 10, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(noise, size=(height, width), mode="bicubic").argmax(dim=1).to(torch.uint8)


def eroded(mask: Tensor, reach: int) -> Tensor:
    """Pixels of a mask (height, width) whose whole square around is in it; nothing beyond the border is."""
    padded = functional.pad(mask, [reach] * 4)
    return padded.unfold(0, 2 * reach + 1, 1).unfold(1, 2 * reach + 1, 1).all(dim=-1).all(dim=-1)


def direct(labels: Tensor, predictions: Tensor) -> list[float]:
    """Boundary IoU of each class by erosion of its two masks, as its paper defines it."""
    reach = max(1, round(DISTANCE * math.hypot(*labels.shape[-2:])))
    ious = []
    for number in range(CLASSES):
        masks = [maps[0] == number for maps in (labels, predictions)]
        bands = [mask & ~eroded(mask, reach) & (labels[0] != IGNORE) for mask in masks]
        ious.append(100 * int((bands[0] & bands[1]).sum()) / int((bands[0] | bands[1]).sum()))
    return ious


def test_it_is_the_iou_of_the_bands_that_an_erosion_leaves() -> None:
    labels, predictions = blobs(0), blobs(1)
    predictions[:, :, :40] = labels[:, :, :40]
    labels[:, 10:20, 30:50] = IGNORE
    ious = boundary_iou(boundary_counts(labels, predictions, CLASSES))
    assert ious.tolist() == pytest.approx(direct(labels, predictions))


def test_equal_maps_score_all_points_and_absent_classes_none() -> None:
    labels = blobs(0)
    ious = boundary_iou(boundary_counts(labels, labels, CLASSES + 1))
    assert ious[:CLASSES].tolist() == [100] * CLASSES
    assert ious[CLASSES].isnan()


def test_the_inside_of_a_large_region_does_not_count() -> None:
    labels = torch.zeros(1, 100, 100, dtype=torch.uint8)
    reach = round(DISTANCE * math.hypot(100, 100))
    assert near_boundary(labels).sum() == 100**2 - (100 - 2 * reach) ** 2
    predictions = labels.clone()
    predictions[:, 45:55, 45:55] = 1  # a hole, whose outline is the only mistake near a boundary
    both, wanted, found = boundary_counts(labels, predictions, 2)
    assert both[0] == wanted[0] < found[0]


def test_images_add_up() -> None:
    labels, predictions = torch.cat([blobs(0), blobs(1)]), torch.cat([blobs(2), blobs(3)])
    together = boundary_counts(labels, predictions, CLASSES)
    alone = [boundary_counts(labels[i : i + 1], predictions[i : i + 1], CLASSES) for i in range(2)]
    assert torch.equal(together, alone[0] + alone[1])
