"""Whole-image and sliding-window inference."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close

from paumer.config import Evaluation
from paumer.evaluation.inference import predict, sliding_logits, window_starts
from paumer.schedule import Schedule
from paumer.strategies.contract import Dense
from paumer.strategies.early_exit import EarlyExit
from paumer.strategies.pause import Pause

POINTS = [Dense(), Pause(Schedule.parse("2:0.4")), EarlyExit(2)]


class Fake:
    """A network whose logits are a function of the window alone."""

    def __init__(self, function) -> None:
        self.function, self.batches = function, []

    def sweep(self, crops, strategies):
        self.batches.append(len(crops))
        return [self.function(crops) for _ in strategies]

    def upsample(self, logits, crops):
        return logits


def corner(crops: torch.Tensor) -> torch.Tensor:
    """The first pixel of a window, everywhere in it."""
    return crops[:, :, :1, :1].expand_as(crops)


@given(st.integers(1, 300), st.integers(1, 100), st.integers(1, 100))
def test_windows_cover_the_side_and_end_at_its_border(length, window, stride) -> None:
    stride = min(stride, window)
    starts = window_starts(length, window, stride)
    assert starts == sorted(set(starts))
    assert starts[-1] == max(0, length - window)
    assert starts[:-1] == [number * stride for number in range(len(starts) - 1)]
    assert {pixel for start in starts for pixel in range(start, start + window)} >= set(range(length))


def test_cityscapes_needs_8_windows() -> None:
    assert len(window_starts(1024, 768, 512)) * len(window_starts(2048, 768, 512)) == 8


def test_a_window_as_large_as_the_image_is_the_whole_image(model) -> None:
    images = torch.randn(3, 3, 40, 56, dtype=torch.float64)
    logits = sliding_logits(model, images, POINTS, (40, 56), (20, 20), batch=2)
    for strategy, averaged in zip(POINTS, logits, strict=True):
        assert_close(averaged, model(images, strategy).float().double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_every_pixel_is_the_mean_over_its_windows(batch) -> None:
    images, window, stride = torch.randn(2, 3, 21, 34), (8, 12), (5, 7)
    sums, counts = torch.zeros_like(images), torch.zeros_like(images)
    for top in window_starts(21, 8, 5):
        for left in window_starts(34, 12, 7):
            area = (..., slice(top, top + 8), slice(left, left + 12))
            sums[area] += images[:, :, top : top + 1, left : left + 1]
            counts[area] += 1
    assert counts.min() == 1
    assert counts.max() > 1
    fake = Fake(corner)
    for logits in sliding_logits(fake, images, POINTS, window, stride, batch):
        assert_close(logits, sums / counts)
    assert sum(fake.batches) == 2 * len(window_starts(21, 8, 5)) * len(window_starts(34, 12, 7))
    assert max(fake.batches) <= batch


def test_windows_are_put_where_they_were_cut() -> None:
    images = torch.randn(2, 3, 21, 34)
    [logits] = sliding_logits(Fake(lambda crops: crops), images, POINTS[:1], (8, 12), (5, 7), 3)
    assert_close(logits, images)


def test_images_smaller_than_the_window_are_padded(model) -> None:
    images = torch.randn(1, 3, 20, 56, dtype=torch.float64)
    [logits] = sliding_logits(model, images, POINTS[:1], (32, 40), (16, 16), batch=4)
    [padded] = sliding_logits(model, functional.pad(images, (0, 0, 0, 12)), POINTS[:1], (32, 40), (16, 16), batch=4)
    assert logits.shape == (1, 19, 20, 56)
    assert_close(logits, padded[..., :20, :])


@pytest.mark.parametrize(
    "settings",
    [Evaluation(), Evaluation(inference="sliding", window=(24, 32), stride=(16, 16), batch=3)],
    ids=["whole", "sliding"],
)
def test_predictions_are_the_largest_logits_of_each_strategy(model, settings) -> None:
    images = torch.randn(2, 3, 40, 56, dtype=torch.float64)
    predictions = dict(predict(model, images, POINTS, settings))
    assert list(predictions) == [0, 1, 2]
    for index, strategy in enumerate(POINTS):
        if settings.inference == "whole":
            logits = model(images, strategy)
        else:
            [logits] = sliding_logits(model, images, [strategy], settings.window, settings.stride, 1)
        assert predictions[index].dtype == torch.int64
        assert (predictions[index] == logits.argmax(dim=1)).double().mean() > 0.999
