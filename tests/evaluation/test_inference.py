"""Views and windows of images, and inference in them."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from largest import Largest
from torch.nn import functional
from torch.testing import assert_close

from paumer.config.base import parse
from paumer.config.measuring import Evaluation, window_starts
from paumer.models.base import Output
from paumer.models.inference import View, predict, run_windows
from paumer.models.sliding import sliding_window_logits
from paumer.strategies.contract import Dense
from paumer.strategies.registry import build_strategy, operating_point
from paumer.system.errors import PaumerError

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

    def normalize(self, images):
        return images

    def upsample(self, logits, crops, scale, rows=None):
        return logits if rows is None else logits[..., slice(*rows), :]


def sliding_logits(model, images, strategies, window, stride, batch) -> list[Output]:
    """Logits averaged over windows, and multiply-accumulates, of each strategy."""
    settings = Evaluation(inference="sliding", window=window, stride=stride, batch=batch)
    seen = run_windows(model, images, strategies, settings, View(images.shape[-2:]))
    logits = [torch.cat([seen.of_image(n, image) for image in range(len(images))]) for n in range(len(strategies))]
    return [Output(averaged, macs) for averaged, macs in zip(logits, seen.macs, strict=True)]


def corner(crops: torch.Tensor) -> torch.Tensor:
    """The first pixel of a window, everywhere in it."""
    return crops[:, :, :1, :1].expand_as(crops)


def test_a_window_as_large_as_the_image_is_the_whole_image(model) -> None:
    images = torch.randn(3, 3, 40, 56, dtype=torch.float64)
    logits = sliding_logits(model, images, POINTS, (40, 56), (20, 20), batch=2)
    for strategy, averaged in zip(POINTS, logits, strict=True):
        assert_close(averaged.logits, model(images, strategy).float(), rtol=1e-5, atol=1e-5)


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
    settings = Evaluation(inference="sliding", window=(24, 32), stride=(16, 24), batch=3)
    seen = run_windows(model, images, [oracle], settings, View((40, 56)), labels)
    logits = torch.cat([seen.of_image(0, image) for image in range(2)])
    sums, counts = torch.zeros(2, 19, 40, 56), torch.zeros(1, 1, 40, 56)
    for top in window_starts(40, 24, 16):
        for left in window_starts(56, 32, 24):
            area = (..., slice(top, top + 24), slice(left, left + 32))
            [crop] = model.sweep(images[area], [oracle], labels[area])
            sums[area] += model.upsample(crop.logits, images[area]).float()
            counts[area] += 1
    assert_close(logits, sums / counts, rtol=1e-4, atol=1e-4)


VIEWS = {
    "scales": {"scales": (0.5, 1.0, 1.5)},
    "mirrored": {"flip": True},
    "both, in windows": {
        **{"scales": (0.75, 1.25), "flip": True, "short_side": 48},
        **{"inference": "sliding", "window": (32, 32), "stride": (16, 24)},
    },
}


@pytest.mark.parametrize("settings", VIEWS.values(), ids=VIEWS.keys())
def test_several_views_average_class_probabilities(model, settings) -> None:
    evaluation = Evaluation(**settings, batch=4)
    images = torch.randn(2, 3, 40, 56, dtype=torch.float64)
    strategies = [Dense(), build_strategy(operating_point("pause", "", "2:0.4"))]
    predictions = dict(predict(model, images, strategies, evaluation))
    for index, strategy in enumerate(strategies):
        total, macs = torch.zeros(2, 19, 40, 56), torch.zeros(2, dtype=torch.float64)
        for scale in evaluation.scales:
            size = [round(side * scale * (48 / 40 if evaluation.short_side else 1)) for side in (40, 56)]
            resized = functional.interpolate(images, size, mode="bilinear", antialias=True) if scale != 1 else images
            for mirrored in (False, True) if evaluation.flip else (False,):
                seen = resized.flip(-1) if mirrored else resized
                window = (32, 32) if evaluation.inference == "sliding" else tuple(size)
                step = (16, 24) if evaluation.inference == "sliding" else tuple(size)
                [output] = sliding_logits(model, seen, [strategy], window, step, 8)
                logits = functional.interpolate(output.logits, (40, 56), mode="bilinear")
                total += (logits.flip(-1) if mirrored else logits).softmax(dim=1)
                macs += output.macs
        assert (predictions[index].classes == total.argmax(dim=1)).double().mean() > 0.999
        assert predictions[index].macs.tolist() == macs.tolist()


BANDED = {
    "whole, mirrored": {"flip": True},
    "windows": {"inference": "sliding", "window": (24, 32), "stride": (16, 24)},
    **VIEWS,
    "smaller, in windows": {"inference": "sliding", "window": (16, 16), "stride": (8, 12), "short_side": 24},
}


@pytest.mark.parametrize("settings", BANDED.values(), ids=BANDED.keys())
@pytest.mark.parametrize("rows", [3, 17])
def test_bands_of_rows_give_what_whole_images_give(model, settings, rows, monkeypatch) -> None:
    evaluation, images = Evaluation(**settings), torch.randn(2, 3, 40, 56, dtype=torch.float64)
    points = [POINTS[0], POINTS[1], POINTS[-2]]  # one with an input of its own
    whole = dict(predict(model, images, points, evaluation))
    with monkeypatch.context() as patch:
        patch.setattr("paumer.models.labels.BAND", rows * 4 * 19 * 56)
        banded = dict(predict(model, images, points, evaluation))
    for index, predicted in whole.items():
        assert (banded[index].classes == predicted.classes).double().mean() > 0.999


@pytest.mark.parametrize("settings", BANDED.values(), ids=BANDED.keys())
def test_logits_of_all_classes_are_never_held_at_the_size_of_the_image(model, settings, monkeypatch) -> None:
    evaluation, images = Evaluation(**settings), torch.randn(1, 3, 200, 280)
    monkeypatch.setattr("paumer.models.labels.BAND", 4 * 19 * 280 * 4)
    with Largest(lambda tensor: tensor.ndim == 4 and tensor.shape[1] == 19) as made:
        [(_, predicted)] = predict(copy.deepcopy(model).float(), images, [Dense()], evaluation)
    assert predicted.classes.shape == (1, 200, 280)
    assert 0 < made.most < 19 * 200 * 280 / 4


def test_the_oracle_knows_the_labels_of_every_view(model) -> None:
    images, labels = torch.randn(1, 3, 40, 56, dtype=torch.float64), torch.randint(19, (1, 40, 56), dtype=torch.uint8)
    oracle, mirrored = build_strategy(operating_point("pause", "oracle", "2:0.6")), View((40, 56), mirrored=True)
    seen = run_windows(model, images, [oracle], Evaluation(), mirrored, labels)
    [alone] = model.sweep(images.flip(-1), [oracle], labels.flip(-1))
    assert_close(seen.logits[0], alone.logits)


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
        ((3, 40, 56), (24, 16, 0), "batch"),
    ],
)
def test_windows_that_would_not_cover_the_image_are_refused(model, shape, arguments, culprit) -> None:
    with pytest.raises(PaumerError, match=culprit):
        sliding_window_logits(model, torch.zeros(shape), *arguments)


@given(st.integers(1, 300), st.integers(1, 100), st.integers(1, 100))
def test_windows_cover_the_side_and_end_at_its_border(length, window, stride) -> None:
    stride = min(stride, window)
    starts = window_starts(length, window, stride)
    assert starts == sorted(set(starts))
    assert starts[-1] == max(0, length - window)
    assert starts[:-1] == [number * stride for number in range(len(starts) - 1)]
    assert {pixel for start in starts for pixel in range(start, start + window)} >= set(range(length))


def test_cityscapes_needs_8_windows() -> None:
    corners = Evaluation(inference="sliding").window_corners((1024, 2048))
    assert corners == [(top, left) for top in (0, 256) for left in (0, 512, 1024, 1280)]


def test_sizes_are_those_of_mmsegmentation_for_ade20k() -> None:
    """Its test images are brought to a short side of 512, and a long side of 2048 at most."""
    settings = Evaluation(short_side=512)
    assert settings.seen_size((512, 683)) == (512, 683)
    assert settings.seen_size((768, 1024)) == (512, 683)
    assert settings.seen_size((300, 200)) == (768, 512)
    assert settings.seen_size((200, 1600)) == (256, 2048)


def test_a_view_of_the_same_size_changes_nothing_and_mirroring_is_undone() -> None:
    images, size = torch.rand(1, 3, 8, 12), (8, 12)
    assert View(size).apply(images) is images
    mirrored = View(size, mirrored=True)
    assert torch.equal(mirrored.apply(images), images.flip(-1))
    assert torch.equal(mirrored.invert(mirrored.apply(images), size), images)
    enlarged = View((16, 24), mirrored=True)
    ramp = torch.linspace(0, 1, 12).expand(1, 3, 8, 12)
    assert_close(enlarged.invert(enlarged.apply(ramp), size), ramp, rtol=0, atol=0.03)
    labels = torch.arange(96).view(1, 8, 12).to(torch.uint8)
    assert torch.equal(enlarged.apply_to_labels(labels)[:, ::2, ::2], labels.flip(-1))
    assert enlarged.apply_to_labels(labels).dtype == torch.uint8


@pytest.mark.parametrize(
    ("settings", "culprit"),
    [
        ({"scales": []}, "scales"),
        ({"scales": [1, 0]}, "scales.1: input should be greater than 0"),
        ({"short_side": 0}, "short_side"),
    ],
)
def test_views_that_cannot_be_are_refused(settings, culprit) -> None:
    with pytest.raises(PaumerError, match=culprit):
        parse(Evaluation, settings, "settings")
