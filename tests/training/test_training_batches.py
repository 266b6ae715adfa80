"""The order of training data: a function of seed and step alone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paumer.config.training import Augmentation
from paumer.data.loading import SegmentationData, TrainingBatches, draw_seed, training_loader, training_transform
from paumer.data.manifest import samples
from paumer.training.distributed import DistributedContext


@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 5), st.integers(0, 12), st.integers(0, 12))
def test_resumed_batches_are_the_tail_of_all(count, batch, seed, start, more) -> None:
    whole = list(TrainingBatches(count, batch, seed, 0, start + more))
    resumed = TrainingBatches(count, batch, seed, start, start + more)
    assert list(resumed) == whole[start:]
    assert len(resumed) == more


@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 5))
def test_each_epoch_visits_each_sample_once(count, batch, seed) -> None:
    steps = -(-3 * count // batch)
    indices = [index for keys in TrainingBatches(count, batch, seed, 0, steps) for index, _ in keys]
    for epoch in range(3):
        assert sorted(indices[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_orders_and_draws_differ_between_epochs_and_seeds() -> None:
    def keys(seed):
        return [key for batch in TrainingBatches(50, 5, seed, 0, 20) for key in batch]

    indices = [index for index, _ in keys(0)]
    assert indices[:50] != indices[50:]
    assert indices != [index for index, _ in keys(1)]
    draws = [draw for seed in range(5) for _, draw in keys(seed)]
    assert len(set(draws)) == len(draws)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_seeds_of_draws_fit_torch(seed, number) -> None:
    assert 0 <= draw_seed(seed, number) < 2**62


@pytest.fixture
def augmented(manifest) -> SegmentationData:
    return SegmentationData(*samples(manifest, "train"), training_transform(Augmentation(), (32, 32)))


def test_workers_do_not_change_the_batches(augmented) -> None:
    loaded = [
        list(training_loader(augmented, TrainingBatches(len(augmented), 2, 0, 1, 6), workers)) for workers in (0, 1)
    ]
    assert len(loaded[0]) == 5
    for (images, labels), (other_images, other_labels) in zip(*loaded, strict=True):
        assert images.shape == (2, 3, 32, 32)
        assert torch.equal(images, other_images)
        assert torch.equal(labels, other_labels)


def test_augmentation_leaves_the_global_generator_alone(augmented) -> None:
    before = torch.get_rng_state()
    first, again, other = augmented[0, 7], augmented[0, 7], augmented[0, 8]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("index", [0, 3])
def test_without_transform_samples_are_as_they_lie_on_disk(data, index) -> None:
    image, label = data[index]
    assert image.shape == (3, 32, 64)
    assert label.shape == (32, 64)
    assert image.dtype == label.dtype == torch.uint8


SPLITS = [(6, 1), (6, 2), (6, 3), (6, 6), (4, 4)]


@given(st.integers(1, 20), st.integers(0, 5), st.integers(0, 9), st.sampled_from(SPLITS))
def test_shares_of_several_processes_are_together_the_batches_of_one(count, seed, start, split) -> None:
    batch, processes = split
    whole = list(TrainingBatches(count, batch, seed, start, start + 3))
    shares = [DistributedContext(torch.device("cpu"), rank, processes).local_slice(batch) for rank in range(processes)]
    parts = [list(TrainingBatches(count, batch, seed, start, start + 3, share)) for share in shares]
    assert [[key for part in step for key in part] for step in zip(*parts, strict=True)] == whole
    assert all(len(keys) == batch // processes for part in parts for keys in part)


def test_order_and_draws_are_as_they_always_were() -> None:
    """The same seed trains the same, whatever else changes."""
    expected = [[(1, 269757083400381095), (3, 2447099865868803772)], [(2, 12756629909838545), (2, 2190099412378261222)]]
    assert list(TrainingBatches(5, 2, 3, 1, 3)) == expected


def test_a_cache_does_not_change_the_batches(manifest, tmp_path) -> None:
    transform = training_transform(Augmentation(), (32, 32))
    plain, cached = (SegmentationData(*samples(manifest, "train"), transform, cache) for cache in (None, tmp_path))
    keys = TrainingBatches(len(plain), 2, 0, 0, 6)
    loaded = [list(training_loader(data, keys, workers)) for data, workers in ((plain, 0), (cached, 2), (cached, 0))]
    for batches in loaded[1:]:
        for batch, expected in zip(batches, loaded[0], strict=True):
            assert all(torch.equal(one, other) for one, other in zip(batch, expected, strict=True))
    assert len(list(tmp_path.iterdir())) == len(plain)
