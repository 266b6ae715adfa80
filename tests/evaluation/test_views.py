"""How images are looked at: sizes, mirror images and windows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from paumer.config import Evaluation, parse
from paumer.config.measuring import window_starts
from paumer.models.inference import View, views
from paumer.system.errors import PaumerError

SIDES = st.integers(1, 3000)


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


@given(SIDES, SIDES, st.integers(1, 600), st.sampled_from([0.5, 1.0, 1.75]))
def test_images_come_to_the_short_side_unless_they_are_very_long(height, width, short_side, scale) -> None:
    seen = Evaluation(short_side=short_side).seen_size((height, width), scale)
    short, long = (max(1, side * scale) for side in (short_side, 4 * short_side))
    assert min(seen) <= short + 0.5
    assert max(seen) <= long + 0.5
    assert min(seen) >= short - 0.5 or max(seen) >= long - 0.5


def test_sizes_are_those_of_mmsegmentation_for_ade20k() -> None:
    """Its test images are brought to a short side of 512, and a long side of 2048 at most."""
    settings = Evaluation(short_side=512)
    assert settings.seen_size((512, 683)) == (512, 683)
    assert settings.seen_size((768, 1024)) == (512, 683)
    assert settings.seen_size((300, 200)) == (768, 512)
    assert settings.seen_size((200, 1600)) == (256, 2048)


def test_views_are_all_scales_each_mirrored_too() -> None:
    settings = Evaluation(scales=(0.5, 1.25), flip=True)
    assert views(settings, (40, 56)) == [
        View((20, 28), False),
        View((20, 28), True),
        View((50, 70), False),
        View((50, 70), True),
    ]
    assert settings.views == 4
    assert views(Evaluation(), (40, 56)) == [View((40, 56))]


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


def test_windows_are_no_larger_than_what_is_seen() -> None:
    sliding = Evaluation(inference="sliding", window=(32, 48), stride=(32, 48))
    assert sliding.window_size((40, 40)) == (32, 40)
    assert Evaluation().window_size((40, 40)) == (40, 40)


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
