"""Crops that no class fills."""

import torch
from torchvision.tv_tensors import Image, Mask

from paumer.config.base import IGNORE
from paumer.data.loading import RandomCrop


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
