"""The paired bootstrap of drops: exact cases, invariances, and how often its interval holds the truth."""

import numpy as np
import pytest
import torch

from paumer.evaluation.evaluate import class_iou, mean_iou, pixel_accuracy
from paumer.measurement.bootstrap import Replicates, all_measures, drop_interval

CLASSES = 3


def drawn(seed: int, images: int = 20, right: float = 0.8) -> np.ndarray:
    """Confusion matrices of random predictions, of which a share is right."""
    rng = np.random.default_rng(seed)
    chances = np.full((CLASSES, CLASSES), (1 - right) / (CLASSES - 1))
    np.fill_diagonal(chances, right)
    pixels = rng.integers(50, 150, size=(images, CLASSES))
    return rng.multinomial(pixels, chances[None])


def test_measures_are_those_of_the_evaluation() -> None:
    matrix = drawn(0).sum(axis=0)
    as_tensor = torch.from_numpy(matrix)
    expected = [mean_iou(as_tensor), pixel_accuracy(as_tensor), *class_iou(as_tensor).tolist()]
    np.testing.assert_allclose(all_measures(matrix), expected)


def test_an_absent_class_is_left_out_of_the_mean() -> None:
    matrix = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    measures = all_measures(matrix)
    assert np.isnan(measures[-1])
    assert measures[0] == pytest.approx(mean_iou(torch.from_numpy(matrix)))


def test_the_drop_is_that_of_the_sums_over_the_split() -> None:
    replicates = Replicates([str(number // 4) for number in range(20)], 50)
    dense, reduced = [drawn(0), drawn(1)], [drawn(2, right=0.7), drawn(3, right=0.7)]
    drop, low, high = drop_interval(*([replicates.measures(one) for one in group] for group in (dense, reduced)))
    sums = [[all_measures(one.sum(axis=0)) for one in group] for group in (dense, reduced)]
    np.testing.assert_allclose(drop, np.mean(sums[0], axis=0) - np.mean(sums[1], axis=0))
    assert (low < high).all()
    assert low[0] < drop[0] < high[0]


def test_a_network_loses_nothing_against_itself() -> None:
    replicates = Replicates([str(number) for number in range(20)], 50)
    measures = [replicates.measures(drawn(0)), replicates.measures(drawn(1))]
    np.testing.assert_array_equal(drop_interval(measures, measures), 0)


def test_the_order_of_images_within_blocks_changes_nothing() -> None:
    blocks = np.array([str(number // 5) for number in range(20)])
    order = np.random.default_rng(0).permutation(20)
    one = Replicates(list(blocks), 50).measures(drawn(0))
    other = Replicates(list(blocks[order]), 50).measures(drawn(0)[order])
    np.testing.assert_allclose(one, other)


def test_one_block_and_one_seed_give_no_width() -> None:
    replicates = Replicates(["drive"] * 20, 50)
    drop, low, high = drop_interval([replicates.measures(drawn(0))], [replicates.measures(drawn(1, right=0.7))])
    np.testing.assert_allclose(low, drop)
    np.testing.assert_allclose(high, drop)


def test_correlated_images_in_blocks_widen_the_interval() -> None:
    """Four copies of every image: as many images, a quarter of the information."""
    copies = [np.repeat(drawn(seed, 10, right), 4, axis=0) for seed, right in ((0, 0.8), (1, 0.7))]
    widths = []
    for blocks in ([str(number // 4) for number in range(40)], [str(number) for number in range(40)]):
        replicates = Replicates(blocks, 500)
        _, low, high = drop_interval(*([replicates.measures(one)] for one in copies))
        widths.append(high[0] - low[0])
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.2)


def test_the_interval_holds_the_true_drop_about_as_often_as_it_says() -> None:
    blocks, trials = [str(number) for number in range(30)], 200
    truth = all_measures(drawn(0, 20000).sum(axis=0))[0] - all_measures(drawn(1, 20000, 0.7).sum(axis=0))[0]
    held = 0
    for trial in range(trials):
        replicates = Replicates(blocks, 300)
        dense, reduced = drawn(2 * trial + 10, 30), drawn(2 * trial + 11, 30, 0.7)
        _, low, high = drop_interval([replicates.measures(dense)], [replicates.measures(reduced)])
        held += low[0] <= truth <= high[0]
    assert 0.88 <= held / trials <= 0.99
