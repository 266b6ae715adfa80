"""The ceiling of a patch size, and the score of raw patches."""

from dataclasses import dataclass

import pytest
import torch

from paumer.config.base import IGNORE
from paumer.data.catalogue import DATASETS
from paumer.evaluation.bounds import patch_ceiling, raw_patch_score


@dataclass
class Labels:
    """Label maps whose images are black."""

    maps: list[torch.Tensor]
    dataset = DATASETS["scenes"]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = self.maps[index].to(torch.uint8)
        return torch.zeros(3, *labels.shape, dtype=torch.uint8), labels


def halves(border: int) -> torch.Tensor:
    """Class 1 left of a border, class 2 right of it."""
    return torch.where(torch.arange(64) < border, 1, 2).expand(32, 64)


@pytest.mark.parametrize("cells", [1, 2])
def test_uniform_labels_are_met_exactly(cells) -> None:
    assert patch_ceiling(Labels([torch.full((32, 64), 5), torch.full((27, 45), 3)]), 8, cells) == 100


def test_single_pixels_are_met_exactly(data) -> None:
    assert patch_ceiling(data, 1, 1) == 100
    assert patch_ceiling(data, 8, 8) == 100


def test_straight_borders_between_cells_are_met_exactly_and_others_are_not() -> None:
    assert patch_ceiling(Labels([halves(24)]), 8, 1) == 100
    assert patch_ceiling(Labels([halves(28)]), 8, 2) == 100
    assert patch_ceiling(Labels([halves(27)]), 8, 1) < 100


def test_a_class_smaller_than_half_a_cell_is_lost() -> None:
    labels = torch.full((32, 64), 1)
    labels[9:12, 9:12] = 2
    assert patch_ceiling(Labels([labels]), 8, 1) == pytest.approx(100 * (1 - 9 / (32 * 64)) / 2)


def test_ignored_pixels_do_not_count() -> None:
    labels = halves(24).clone()
    labels[:, 20:28] = IGNORE
    assert patch_ceiling(Labels([labels]), 8, 1) == 100


def test_finer_cells_never_score_lower(data) -> None:
    scores = [patch_ceiling(data, 16, cells) for cells in (1, 2, 4, 8)]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1] < 100


def test_raw_patches_score_below_the_ceiling(data) -> None:
    score = raw_patch_score(data, data, 8, 2)
    assert score == raw_patch_score(data, data, 8, 2)
    assert 0 < score < patch_ceiling(data, 8, 2)
