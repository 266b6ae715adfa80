"""Decoded samples on disk."""

import os
from multiprocessing import get_context

import numpy as np
import pytest
from PIL import Image

from paumer.config.base import IGNORE
from paumer.data.catalogue import DATASETS
from paumer.data.datasets import Sample
from paumer.data.images import read_planes, read_sample
from paumer.system.errors import PaumerError

CAMVID = DATASETS["camvid"]  # 11 stands for unlabelled there


@pytest.fixture
def sample(tmp_path) -> Sample:
    generator = np.random.default_rng(0)
    found = Sample(tmp_path / "image.png", tmp_path / "label.png")
    Image.fromarray(generator.integers(256, size=(20, 30, 3), dtype=np.uint8)).save(found.image)
    Image.fromarray(generator.integers(12, size=(20, 30), dtype=np.uint8)).save(found.label)
    return found


def assert_same(planes, read) -> None:
    """Planes red, green, blue, class are the pixels and the class ids."""
    image, label = read
    assert planes.dtype == image.dtype == label.dtype == np.uint8
    assert np.array_equal(planes[:3].transpose(1, 2, 0), image)
    assert np.array_equal(planes[3], label)


def test_cached_samples_are_those_read(sample, tmp_path, monkeypatch) -> None:
    expected, folder = read_sample(sample, CAMVID), tmp_path / "cache"
    assert IGNORE in expected[1]
    assert_same(read_planes(sample, CAMVID, None), expected)
    assert not folder.exists()
    assert_same(read_planes(sample, CAMVID, folder), expected)
    assert len(list(folder.iterdir())) == 1
    monkeypatch.setattr("paumer.data.images.read_sample", None)  # nothing is decoded any more
    assert_same(read_planes(sample, CAMVID, folder), expected)


def test_changed_files_are_decoded_anew(sample, tmp_path) -> None:
    folder = tmp_path / "cache"
    read_planes(sample, CAMVID, folder)
    for path, value in ((sample.image, 7), (sample.label, 3)):
        shape = (20, 30, 3) if path is sample.image else (20, 30)
        Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(path)
        os.utime(path, ns=(0, value))
        assert_same(read_planes(sample, CAMVID, folder), read_sample(sample, CAMVID))


def test_files_of_the_same_size_and_time_are_decoded_anew_too(sample, tmp_path) -> None:
    sizes = set()
    for value in (3, 4):
        Image.fromarray(np.full((20, 30), value, dtype=np.uint8)).save(sample.label)
        os.utime(sample.label, ns=(0, 0))
        sizes.add(sample.label.stat().st_size)
        assert_same(read_planes(sample, CAMVID, tmp_path / "cache"), read_sample(sample, CAMVID))
    assert len(sizes) == 1


def test_other_datasets_have_other_labels(sample, tmp_path) -> None:
    read_planes(sample, CAMVID, tmp_path / "cache")
    scenes = DATASETS["scenes"]
    assert_same(read_planes(sample, scenes, tmp_path / "cache"), read_sample(sample, scenes))
    assert IGNORE not in read_sample(sample, scenes)[1]


def test_damaged_files_are_made_anew(sample, tmp_path) -> None:
    folder = tmp_path / "cache"
    read_planes(sample, CAMVID, folder)
    expected = read_sample(sample, CAMVID)
    [file] = folder.iterdir()
    for content in (b"", b"garbage", file.read_bytes()[:-5]):
        file.write_bytes(content)
        assert_same(read_planes(sample, CAMVID, folder), expected)
        assert_same(np.load(file), expected)


def test_several_processes_may_fill_the_cache_at_once(sample, tmp_path) -> None:
    """All begin with the same sample, and each sees whole files only."""
    folder = tmp_path / "cache"
    context = get_context("fork")
    start, expected = context.Barrier(4), read_sample(sample, CAMVID)

    def fill() -> None:
        for _ in range(20):
            start.wait(10)
            assert_same(read_planes(sample, CAMVID, folder), expected)
            start.wait(10)
            for path in folder.iterdir():
                path.unlink(missing_ok=True)

    processes = [context.Process(target=fill) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4


def test_missing_samples_are_named(sample, tmp_path) -> None:
    sample.label.unlink()
    with pytest.raises(PaumerError, match=r"image\.png: has no label"):
        read_planes(sample, CAMVID, tmp_path / "cache")


def test_folders_that_cannot_be_written_are_named(sample, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PaumerError, match=r"file/cache/.*: cannot be written .*training.options.cache"):
        read_planes(sample, CAMVID, tmp_path / "file" / "cache")
