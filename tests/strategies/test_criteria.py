"""Criteria: their range, their ends, and their order."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from paumer.strategies.criteria import CRITERIA, confidence, entropy, margin, random

BOUNDED = pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA)


def logits_of(*probabilities: list[float]) -> torch.Tensor:
    """One image with a patch of one cell for each distribution."""
    return torch.tensor(probabilities).log()[None, :, None]


@BOUNDED
@given(st.integers(0, 10**6), st.integers(2, 30), st.sampled_from([0.0, 0.1, 1.0, 10.0, 1000.0]))
def test_scores_lie_between_0_and_1(criterion, seed, classes, scale) -> None:
    logits = scale * torch.randn(2, 6, 4, classes, generator=torch.Generator().manual_seed(seed))
    scores = criterion(logits)
    assert scores.shape == (2, 6)
    assert (scores >= -1e-6).all()
    assert (scores <= 1 + 1e-6).all()


@pytest.mark.parametrize("classes", [2, 19, 150])
def test_uniform_prediction_has_entropy_1(classes) -> None:
    assert_close(entropy(torch.full((1, 3, 4, classes), 7.0)), torch.ones(1, 3))


@pytest.mark.parametrize("criterion", [entropy, confidence, margin])
def test_certain_prediction_scores_0(criterion) -> None:
    logits = torch.zeros(1, 3, 4, 5)
    logits[..., 2] = 1e4
    assert torch.equal(criterion(logits), torch.zeros(1, 3))


def test_values_of_an_example() -> None:
    logits = logits_of([0.5, 0.5, 0.0], [0.7, 0.2, 0.1])
    assert_close(confidence(logits), torch.tensor([[0.5, 0.3]]))
    assert_close(margin(logits), torch.tensor([[1.0, 0.5]]))
    assert_close(entropy(logits_of([0.25, 0.75]))[0, 0], torch.tensor(0.811278))


@pytest.mark.parametrize("criterion", [entropy, confidence, margin])
def test_less_certain_scores_higher(criterion) -> None:
    scores = criterion(logits_of([0.4, 0.35, 0.25], [0.6, 0.3, 0.1], [0.9, 0.06, 0.04]))[0]
    assert scores[0] > scores[1] > scores[2]


@pytest.mark.parametrize("criterion", [entropy, confidence, margin])
def test_score_is_the_mean_over_cells(criterion) -> None:
    cells = torch.randn(2, 6, 4, 5)
    each = torch.stack([criterion(cells[:, :, cell : cell + 1]) for cell in range(4)])
    assert_close(criterion(cells), each.mean(dim=0))


def test_random_scores_ignore_the_prediction_and_follow_the_seed() -> None:
    torch.manual_seed(0)
    first, second = random(torch.zeros(2, 6, 32)), random(torch.zeros(2, 6, 32))
    torch.manual_seed(0)
    assert torch.equal(random(torch.ones(2, 6, 32)), first)
    assert not torch.equal(first, second)
