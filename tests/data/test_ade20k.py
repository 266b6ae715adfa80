"""ADE20K in miniature: classes from 1 to 150, everything else ignored, and fetching it."""

import hashlib
from dataclasses import replace
from pathlib import Path

import miniature
import numpy as np
import pytest
from hostile import refusal
from PIL import Image

from paumer.config.network import Data
from paumer.data import ade20k, download
from paumer.data.archives import Source
from paumer.data.catalogue import DATASETS
from paumer.data.images import read_sample
from paumer.data.loading import SegmentationData, evaluation_batches
from paumer.data.manifest import samples
from paumer.data.preparation import fetch_dataset, prepare
from paumer.system.files import read_json

FILES = {"training": 3, "validation": 2}
TOP = "ADEChallengeData2016/"


@pytest.fixture
def served(server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A miniature is served in the real archive's form, and is what dataset ade20k is fetched from."""
    monkeypatch.delenv("PAUMER_DATA", raising=False)
    monkeypatch.setattr(download, "sleep", lambda seconds: None)
    server.content = miniature.zipped(miniature.ade20k(tmp_path / "original"), top=TOP)
    sha1 = hashlib.sha1(server.content).hexdigest()
    archive = replace(
        ade20k.ARCHIVE,
        origin=replace(ade20k.ARCHIVE.origin, url=server.url, size=len(server.content), checksums={"sha1": sha1}),
        files={pattern: FILES[pattern.split("/")[1]] for pattern in ade20k.ARCHIVE.files},
    )
    source = Source("miniature", (archive,))
    monkeypatch.setitem(DATASETS, "ade20k", replace(ade20k.DATASET, download=source))
    return source


def failure(folder: Path) -> str:
    line = refusal(fetch_dataset, "ade20k", folder, 1)
    assert not folder.exists()
    return line


def test_stage_reads_it(tmp_path: Path) -> None:
    root = miniature.ade20k(tmp_path / "ADEChallengeData2016")
    prepare(Data(dataset="ade20k", folder=str(root)), tmp_path / "data.json", threads=2)
    manifest = read_json(tmp_path / "data.json")
    assert {name: split["images"] for name, split in manifest["splits"].items()} == {"train": 3, "val": 2}
    assert (len(manifest["classes"]), manifest["classes"][0], manifest["classes"][149]) == (150, "wall", "flag")
    dataset, found = samples(tmp_path / "data.json", "train")
    for sample in found:  # one of them is grey, one CMYK
        image, label = read_sample(sample, dataset)
        raw = np.asarray(Image.open(sample.label))
        assert image.shape == (*raw.shape, 3)
        assert np.array_equal(label, np.where(raw == 0, 255, raw.astype(int) - 1))
        assert {149, 255} <= set(np.unique(label))


def test_images_of_all_sizes_make_batches(tmp_path: Path) -> None:
    root = miniature.ade20k(tmp_path / "a")
    data = SegmentationData(ade20k.DATASET, ade20k.DATASET.samples(root, "train"))
    assert [len(images) for images, _ in evaluation_batches(data, batch=2)] == [1, 1, 1]


def test_classes_are_told_apart() -> None:
    dataset = ade20k.DATASET
    assert len(set(dataset.classes)) == len(set(dataset.colours)) == 150
    # As objectInfo150.txt numbers them, from 1.
    numbers = {"building": 2, "road": 7, "chest of drawers": 45, "screen door": 59, "television": 90, "crt screen": 142}
    assert {name: dataset.classes.index(name) + 1 for name in numbers} == numbers


def test_published_archive_is_described_whole() -> None:
    assert ade20k.ARCHIVE.files == {
        **{"images/training/*.jpg": 20210, "annotations/training/*.png": 20210},
        **{"images/validation/*.jpg": 2000, "annotations/validation/*.png": 2000},
    }
    assert set(ade20k.ARCHIVE.origin.checksums) == {"sha1"}


def test_dataset_is_fetched(server, served: Source, tmp_path: Path) -> None:
    half = len(server.content) // 2
    server.cuts = [half]
    prepare(Data(dataset="ade20k"), tmp_path / "data.json", threads=1)
    assert server.requests == [(None, None), (f"bytes={half}-", '"first"')]
    manifest = read_json(tmp_path / "data.json")
    sha256 = hashlib.sha256(server.content).hexdigest()
    assert manifest["archives"] == f"ADEChallengeData2016.zip (sha256 {sha256})"
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"ade20k"}
    assert {path.name for path in (tmp_path / "data/ade20k").iterdir()} == {"images", "annotations", "source.json"}


def test_folder_may_be_a_link_to_another_disk(server, served: Source, tmp_path: Path) -> None:
    large = tmp_path / "large/ade20k"
    large.mkdir(parents=True)
    (tmp_path / "link").symlink_to(large)
    fetch_dataset("ade20k", tmp_path / "link", 1)
    assert (tmp_path / "link/images").is_dir()
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in large.parent.iterdir()] == ["ade20k"]


def test_room_for_what_has_arrived_is_not_asked_for_again(server, served: Source, tmp_path: Path, full_disk) -> None:
    size = len(server.content)
    server.cuts = [size // 2, *[0] * (download.ATTEMPTS - 1)]
    failure(tmp_path / "data/ade20k")
    full_disk(2 * size - size // 2)
    fetch_dataset("ade20k", tmp_path / "data/ade20k", 1)


def test_no_room_to_unpack(server, served: Source, tmp_path: Path, full_disk) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/ADEChallengeData2016.zip").write_bytes(server.content)
    full_disk(100)
    assert "100B are free" in failure(tmp_path / "data/ade20k")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["ADEChallengeData2016.zip"]
