"""Pixels of each class in every cell of every patch; upsampling is the library's, and class ids need no full logits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from largest import Largest
from torch.nn import functional
from torch.testing import assert_close

from paumer.config.base import IGNORE
from paumer.models import labels as module
from paumer.models.labels import (
    boundary_distances,
    class_counts,
    source_rows,
    upsample,
    upsample_rows,
    upsampled_labels,
)
from paumer.strategies.criteria import of_two

CLASSES = 5


def draw_labels(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Class ids of two images, about a fifth of them ignored."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (2, height, width), generator=generator)
    return labels.masked_fill(torch.rand(labels.shape, generator=generator) < 0.2, IGNORE).to(torch.uint8)


@pytest.mark.parametrize("size", [(24, 32), (21, 26), (1, 1)], ids=["whole patches", "padded", "a pixel"])
@pytest.mark.parametrize("side", [1, 2, 3])
def test_counts_are_those_of_a_loop(side, size) -> None:
    labels, grid, patch = draw_labels(*size), (3, 4), 8
    expected = torch.zeros(2, 12, side**2, CLASSES)
    for image, row, column in torch.cartesian_prod(*map(torch.arange, labels.shape)).tolist():
        label = int(labels[image, row, column])
        if label != IGNORE:
            index = row // patch * grid[1] + column // patch
            cell = row % patch * side // patch * side + column % patch * side // patch
            expected[image, index, cell, label] += 1
    assert torch.equal(class_counts(labels, grid, patch, side, CLASSES), expected)


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.integers(1, 8),
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.data(),
)
def test_every_labelled_pixel_counts_once_for_its_class(grid, patch, side, seed, data) -> None:
    height, width = (data.draw(st.integers(1, count * patch)) for count in grid)
    labels = draw_labels(height, width, seed)
    counts = class_counts(labels, grid, patch, side, CLASSES)
    assert counts.shape == (2, grid[0] * grid[1], side**2, CLASSES)
    for image in range(2):
        present = labels[image][labels[image] != IGNORE]
        assert counts[image].sum(dim=(0, 1)).tolist() == present.bincount(minlength=CLASSES).tolist()


def test_ignored_and_missing_pixels_count_for_nothing() -> None:
    assert class_counts(torch.full((2, 24, 32), IGNORE), (3, 4), 8, 2, CLASSES).sum() == 0
    counts = class_counts(torch.zeros(1, 8, 8, dtype=torch.uint8), (3, 4), 8, 1, CLASSES)
    assert counts[0, 0, 0].tolist() == [64, 0, 0, 0, 0]
    assert counts.sum() == 64


def halves(height: int = 32, width: int = 48) -> torch.Tensor:
    """Class 1 left of column 16, class 2 elsewhere."""
    labels = torch.full((height, width), 2, dtype=torch.uint8)
    labels[:, :16] = 1
    return labels


def test_distances_to_a_straight_boundary_are_those_of_the_columns() -> None:
    distances = boundary_distances(halves(), (4, 6), 8).view(4, 6)
    assert torch.equal(distances, torch.tensor([1.5, 0.5, 0.5, 1.5, 2.5, 3.5]).expand(4, 6))


def test_distances_to_a_lone_pixel_are_those_to_its_nearest_corner() -> None:
    labels = torch.zeros(32, 32, dtype=torch.uint8)
    labels[4, 20] = 3  # its corners are rows 4 and 5, columns 20 and 21
    distances = boundary_distances(labels, (4, 4), 8, at_once=3)
    for index, (row, column) in enumerate((row * 8 + 4, column * 8 + 4) for row in range(4) for column in range(4)):
        nearest = min(((row - y) ** 2 + (column - x) ** 2) ** 0.5 for y in (4, 5) for x in (20, 21))
        assert distances[index].item() == pytest.approx(nearest / 8, rel=1e-6)


def test_boundaries_are_between_classes_and_not_with_ignored_pixels() -> None:
    labels = torch.full((16, 16), 1, dtype=torch.uint8)
    labels[4:9, 4:9] = IGNORE
    assert boundary_distances(labels, (2, 2), 8).isinf().all()
    assert boundary_distances(torch.full((16, 16), IGNORE), (2, 2), 8).isinf().all()
    assert torch.equal(boundary_distances(halves(30, 44), (4, 6), 8), boundary_distances(halves(), (4, 6), 8))


@given(
    st.integers(0, 10**6),
    st.integers(1, 25),
    st.sampled_from([(8, 8), (6, 12), (14, 14)]),
    st.tuples(st.integers(0, 7), st.integers(0, 7)),
    st.booleans(),
)
def test_labels_are_those_of_upsampling_everything(seed, classes, scale, cut, ties) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, 3, 5, generator=generator)
    if ties:
        logits = logits.round()
    padded = (3 * scale[0], 5 * scale[1])
    size = (padded[0] - cut[0] % scale[0], padded[1] - cut[1] % scale[1])
    full = upsample(logits, padded)[..., : size[0], : size[1]]
    assert torch.equal(upsampled_labels(logits, padded, size), of_two(full, dim=1).argmax(dim=1))


SMALL, LARGE = (st.tuples(st.integers(1, most), st.integers(1, most)) for most in (9, 40))


@given(SMALL, LARGE, st.sampled_from(["float32", "float64"]))
def test_upsampling_is_the_librarys(small, large, dtype) -> None:
    maps = torch.randn(2, 3, *small, dtype=getattr(torch, dtype), requires_grad=True)
    expected = functional.interpolate(maps, size=large, mode="bilinear")
    upsampled = upsample(maps, large)
    assert_close(upsampled, expected)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((made * weights).sum(), maps)[0] for made in (upsampled, expected)]
    assert_close(*gradients, rtol=1e-4, atol=1e-5)


@given(SMALL, LARGE, st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_rows_are_those_of_upsampling_everything(small, large, ends) -> None:
    """From all rows, and from those that are needed alone."""
    maps = torch.randn(2, 3, *small, dtype=torch.float64)
    first, last = sorted(round(end * (large[0] - 1)) for end in ends)
    rows = (first, last + 1)
    expected = upsample(maps, large)[:, :, first : last + 1]
    assert_close(upsample_rows(maps, large, rows), expected)
    top, bottom = source_rows(small[0], large[0], rows)
    assert_close(upsample_rows(maps[:, :, top:bottom], large, rows, small[0], top), expected)


@given(st.integers(1, 300), st.integers(1, 10**9))
def test_bands_cover_every_row_once(height, row_values) -> None:
    several = module.bands(height, row_values)
    assert [row for rows in several for row in range(*rows)] == list(range(height))
    assert all(bottom - top == 1 or (bottom - top) * row_values * 4 <= module.BAND for top, bottom in several)


def test_labels_in_bands_are_those_of_the_whole(monkeypatch) -> None:
    logits = torch.randn(2, 19, 5, 6, dtype=torch.float64)
    whole = upsampled_labels(logits, (40, 48), (37, 41))
    monkeypatch.setattr(module, "BAND", 4 * module.CHUNK * 48 * 3)
    assert torch.equal(upsampled_labels(logits, (40, 48), (37, 41)), whole)


@pytest.mark.parametrize("small", [(300, 4), (4, 300)])
def test_fine_maps_are_upsampled_too(small) -> None:
    maps = torch.randn(1, 2, *small)
    assert_close(upsample(maps, (310, 320)), functional.interpolate(maps, (310, 320), mode="bilinear"))


def test_logits_of_other_types_keep_them() -> None:
    maps = torch.randn(1, 2, 3, 3)
    assert upsample(maps.bfloat16(), (9, 9)).dtype == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(upsample(maps, (9, 9)), upsample(maps.clone(), (9, 9)).float())
        assert upsample(maps, (9, 9)).dtype == torch.float32


def test_never_holds_all_classes_at_full_size() -> None:
    with Largest() as seen:
        upsampled_labels(torch.randn(1, 150, 4, 4), (64, 64), (64, 64))
    assert seen.most == module.CHUNK * 64 * 64


@pytest.mark.parametrize("shape", [(2, 3, 32, 64), (1, 3, 37, 50)])
def test_a_network_predicts_the_labels_of_its_logits(make, shape) -> None:
    model, images = make(), torch.randn(shape, dtype=torch.float64)
    assert torch.equal(model.predict_labels(images), model(images).argmax(dim=1))
