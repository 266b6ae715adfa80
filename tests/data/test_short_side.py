"""Images of many sizes, brought to one short side before the random resize of training."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.tv_tensors import Image, Mask

from paumer.config import Augmentation
from paumer.config.base import MOST_OBLONG, short_side_factor
from paumer.data.loading import training_transform

SIDES = st.integers(1, 4000)


@given(SIDES, SIDES, SIDES)
def test_one_side_fits_exactly_and_the_other_is_within(height: int, width: int, short_side: int) -> None:
    factor = short_side_factor((height, width), short_side)
    short, long = sorted((height * factor, width * factor))
    assert short <= short_side * (1 + 1e-9)
    assert long <= MOST_OBLONG * short_side * (1 + 1e-9)
    assert short == pytest.approx(short_side) or long == pytest.approx(MOST_OBLONG * short_side)


@pytest.mark.parametrize(("size", "resized"), [((64, 96), (32, 48)), ((96, 64), (48, 32)), ((20, 200), (13, 128))])
def test_training_crops_are_of_the_resized_image(size: tuple[int, int], resized: tuple[int, int]) -> None:
    settings = Augmentation(scale=(1, 1), short_side=32, flip=0, colour=0, largest_class=1)
    image = Image(torch.full((3, *size), 9, dtype=torch.uint8))
    mask = Mask(torch.zeros(size, dtype=torch.uint8))
    crop, classes = training_transform(settings, (160, 160))(image, mask)
    labelled = classes == 0  # what is beyond the image is padded, and ignored
    assert labelled.nonzero().max(dim=0).values.tolist() == [side - 1 for side in resized]
    assert (crop[:, labelled] == 9).all()


def test_the_random_scale_counts_from_the_short_side() -> None:
    settings = Augmentation(scale=(0.5, 0.5), short_side=64, flip=0, colour=0, largest_class=1)
    image, mask = Image(torch.zeros(3, 16, 24, dtype=torch.uint8)), Mask(torch.zeros(16, 24, dtype=torch.uint8))
    _, classes = training_transform(settings, (100, 100))(image, mask)
    assert (classes == 0).sum() == 32 * 48
