"""Augmentation: crops that no class fills, and images brought to one short side before the random resize."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.tv_tensors import Image, Mask

from paumer.config.base import IGNORE, MOST_OBLONG, short_side_factor
from paumer.config.training import Augmentation
from paumer.data.loading import RandomCrop, training_transform


def pair(labels: torch.Tensor) -> tuple[Image, Mask]:
    """An image whose red channel is its label map."""
    return Image(torch.stack([labels, labels, labels]).to(torch.uint8)), Mask(labels.to(torch.uint8))


def share(labels: torch.Tensor) -> float:
    """The part of labelled pixels that the largest class has."""
    counts = labels[labels != IGNORE].bincount()
    return float(counts.max() / counts.sum())


def test_crop_cuts_image_and_labels_alike() -> None:
    labels = torch.arange(40 * 50).view(40, 50) % 200
    torch.manual_seed(0)
    corners = set()
    for _ in range(20):
        image, mask = RandomCrop((16, 24), 1.0)(*pair(labels))
        assert image.shape == (3, 16, 24)
        assert torch.equal(image[0], mask)
        start = int((labels == mask[0, 0]).nonzero()[0, 0])
        corners.add((start, int(mask[0, 0])))
    assert len(corners) > 10


def test_small_images_are_padded_with_ignored_pixels() -> None:
    labels = torch.randint(5, (10, 12))
    image, mask = RandomCrop((16, 20), 1.0)(*pair(labels))
    assert torch.equal(mask[:10, :12], labels.to(torch.uint8))
    assert (mask[10:] == IGNORE).all()
    assert (mask[:, 12:] == IGNORE).all()
    assert (image[:, 10:] == 0).all()


def test_crops_that_one_class_fills_are_drawn_anew() -> None:
    labels = torch.zeros(32, 200, dtype=torch.int64)
    labels[:, 150:] = torch.arange(50) % 4 + 1  # a quarter of the width is mixed

    def filled(largest_class: float) -> float:
        torch.manual_seed(0)
        crop = RandomCrop((32, 32), largest_class)
        return sum(share(crop(*pair(labels))[1]) > 0.75 for _ in range(200)) / 200

    assert filled(1.0) > 0.6
    assert filled(0.75) < 0.15  # 0.73 ** 10 is 0.04


def test_ignored_pixels_do_not_count() -> None:
    labels = torch.full((16, 16), IGNORE)
    labels[0, :2] = torch.tensor([1, 2])
    torch.manual_seed(0)
    before = torch.get_rng_state()
    torch.randint(1, ())
    torch.randint(1, ())
    after_one_try = torch.get_rng_state()
    torch.set_rng_state(before)
    RandomCrop((16, 16), 0.5)(*pair(labels))
    assert torch.equal(torch.get_rng_state(), after_one_try)


def test_hopeless_images_are_cropped_all_the_same() -> None:
    _, mask = RandomCrop((8, 8), 0.75)(*pair(torch.full((32, 32), 3)))
    assert torch.equal(mask, torch.full((8, 8), 3, dtype=torch.uint8))


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
