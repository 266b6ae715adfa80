"""Decoded samples on disk."""

import os
import re
from multiprocessing import get_context

import numpy as np
import pytest
from hostile import refusal
from PIL import Image

from paumer.config.base import IGNORE
from paumer.data.catalogue import DATASETS
from paumer.data.datasets import Sample
from paumer.data.images import read_planes, read_sample

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


@pytest.mark.parametrize("time", [3, 0], ids=["other times", "the same times"])
def test_changed_files_are_decoded_anew(sample, tmp_path, time: int) -> None:
    for value in (3, 4):
        Image.fromarray(np.full((20, 30), value, dtype=np.uint8)).save(sample.label)
        os.utime(sample.label, ns=(0, value * time))
        assert_same(read_planes(sample, CAMVID, tmp_path / "cache"), read_sample(sample, CAMVID))
    Image.fromarray(np.full((20, 30, 3), 7, dtype=np.uint8)).save(sample.image)
    assert_same(read_planes(sample, CAMVID, tmp_path / "cache"), read_sample(sample, CAMVID))


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


def test_missing_samples_and_folders_are_named(sample, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    line = refusal(read_planes, sample, CAMVID, tmp_path / "file" / "cache")
    assert re.search(r"file/cache/.*: cannot be written .*training.options.cache", line)
    sample.label.unlink()
    assert "image.png: has no label" in refusal(read_planes, sample, CAMVID, tmp_path / "cache")
