"""Whole-image and sliding-window inference."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torch.testing import assert_close

from paumer.config import Evaluation
from paumer.errors import PaumerError
from paumer.evaluation.inference import predict, sliding_logits, sliding_window_logits, window_starts
from paumer.models.segmenter import Output
from paumer.registry import operating_point
from paumer.strategies.contract import Dense
from paumer.strategies.points import build_strategy

TEXTS = [("pause", "2:0.4"), ("early-exit", "exit:2"), ("adaptive-exit", "2@0.24"), ("token-exit", "2@0.3 keep 1")]
TEXTS += [("merge", "1-3:0.1"), ("local-merge", "1@0.6"), ("resize", "scale:0.5"), ("merge>pause", "1:0.1>2:0.4")]
POINTS = [Dense(), *(build_strategy(operating_point(name, "", text)) for name, text in TEXTS)]


class Fake:
    """A network whose logits are a function of the window alone."""

    def __init__(self, function) -> None:
        self.function, self.batches = function, []

    def sweep(self, crops, strategies, labels, count):
        self.batches.append(len(crops))
        return [Output(self.function(crops), torch.ones(len(crops), dtype=torch.float64)) for _ in strategies]

    def upsample(self, logits, crops, scale):
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
        assert_close(averaged.logits, model(images, strategy).float().double(), rtol=1e-5, atol=1e-5)


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
    windows = len(window_starts(21, 8, 5)) * len(window_starts(34, 12, 7))
    for output in sliding_logits(fake, images, POINTS, window, stride, batch):
        assert_close(output.logits, sums / counts)
        assert output.macs.tolist() == [windows, windows]
    assert sum(fake.batches) == 2 * windows
    assert max(fake.batches) <= batch


def test_windows_are_put_where_they_were_cut() -> None:
    images = torch.randn(2, 3, 21, 34)
    [output] = sliding_logits(Fake(lambda crops: crops), images, POINTS[:1], (8, 12), (5, 7), 3)
    assert_close(output.logits, images)


def test_images_smaller_than_the_window_are_padded(model) -> None:
    images = torch.randn(1, 3, 20, 56, dtype=torch.float64)
    [small] = sliding_logits(model, images, POINTS[:1], (32, 40), (16, 16), batch=4)
    [padded] = sliding_logits(model, functional.pad(images, (0, 0, 0, 12)), POINTS[:1], (32, 40), (16, 16), batch=4)
    assert small.logits.shape == (1, 19, 20, 56)
    assert_close(small.logits, padded.logits[..., :20, :])


@pytest.mark.parametrize(
    "settings",
    [Evaluation(), Evaluation(inference="sliding", window=(24, 32), stride=(16, 16), batch=3)],
    ids=["whole", "sliding"],
)
def test_predictions_are_the_largest_logits_of_each_strategy(model, settings) -> None:
    images = torch.randn(2, 3, 40, 56, dtype=torch.float64)
    predictions = dict(predict(model, images, POINTS, settings))
    assert list(predictions) == list(range(len(POINTS)))
    for index, strategy in enumerate(POINTS):
        if settings.inference == "whole":
            logits = model(images, strategy)
        else:
            [output] = sliding_logits(model, images, [strategy], settings.window, settings.stride, 1)
            logits = output.logits
        assert predictions[index].classes.dtype == torch.int64
        assert predictions[index].macs.shape == (2,)
        assert (predictions[index].classes == logits.argmax(dim=1)).double().mean() > 0.999


def test_labels_are_cut_as_the_windows_are(model) -> None:
    """By the ground truth of each window, and not of another, the oracle tells what to run on."""
    images, labels = torch.randn(2, 3, 40, 56, dtype=torch.float64), torch.randint(19, (2, 40, 56), dtype=torch.uint8)
    oracle = build_strategy(operating_point("pause", "oracle", "2:0.6"))
    [output] = sliding_logits(model, images, [oracle], (24, 32), (16, 24), 3, labels)
    sums, counts = torch.zeros(2, 19, 40, 56), torch.zeros(1, 1, 40, 56)
    for top in window_starts(40, 24, 16):
        for left in window_starts(56, 32, 24):
            area = (..., slice(top, top + 24), slice(left, left + 32))
            [crop] = model.sweep(images[area], [oracle], labels[area])
            sums[area] += model.upsample(crop.logits, images[area]).float()
            counts[area] += 1
    assert_close(output.logits.float(), sums / counts, rtol=1e-4, atol=1e-4)


def test_windows_of_a_whole_network_are_for_one_image_or_several(model) -> None:
    images = torch.randn(2, 3, 40, 56, dtype=torch.float64)
    together = sliding_window_logits(model, images, (24, 32), 16)
    assert together.shape == (2, 19, 40, 56)
    assert_close(sliding_window_logits(model, images[1], (24, 32), (16, 16), batch=1), together[1])
    [output] = sliding_logits(model, images, [Dense()], (24, 32), (16, 16), 3)
    assert_close(together, output.logits)


@pytest.mark.parametrize(
    ("shape", "arguments", "culprit"),
    [
        ((40, 56), (24, 16), "shape"),
        ((2, 1, 3, 40, 56), (24, 16), "shape"),
        ((3, 40, 56), (24, 25), "stride"),
        ((3, 40, 56), ((24, 32), (16, 0)), "stride"),
        ((3, 40, 56), (24, 16, 0), "batch 0"),
    ],
)
def test_windows_that_would_not_cover_the_image_are_refused(model, shape, arguments, culprit) -> None:
    with pytest.raises(PaumerError, match=culprit):
        sliding_window_logits(model, torch.zeros(shape), *arguments)
