"""Full disks: refused beforehand, and one line in the middle."""

import errno
from pathlib import Path

import pytest

from paumer.config import Data, Scenes
from paumer.data.download import download, require_space
from paumer.data.preparation import fetch_dataset, prepare
from paumer.system.errors import PaumerError
from paumer.system.files import disk_errors


def test_room_is_asked_for_where_it_is_needed(tmp_path: Path, full_disk) -> None:
    require_space(tmp_path / "not/there/yet", 1)
    full_disk(10)
    require_space(tmp_path, 10)
    with pytest.raises(PaumerError, match=r"new: 11\.0B are needed here and 10\.0B are free; make room and run again"):
        require_space(tmp_path / "new", 11)


def test_errors_of_the_disk_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(PaumerError) as caught, disk_errors(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")
    line = f"{tmp_path / 'file'}: cannot be written ([Errno 28] No space left on device); make room and run again"
    assert str(caught.value) == line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_disk_in_the_middle_of_a_download(server, tmp_path: Path) -> None:
    server.content = b"content"
    part = tmp_path / "file.zip.part"
    part.symlink_to("/dev/full")
    with pytest.raises(PaumerError) as caught:
        download(server.url, tmp_path / "file.zip", "by hand")
    assert "file.zip.part: cannot be written ([Errno 28] No space left on device); make room" in str(caught.value)
    assert not (tmp_path / "file.zip").exists()


def test_what_arrived_before_the_disk_was_full_is_kept(server, tmp_path: Path, small_files) -> None:
    server.content = bytes(range(256)) * 1000
    with small_files(100_000), pytest.raises(PaumerError, match="cannot be written"):
        download(server.url, tmp_path / "file.zip", "by hand")
    arrived = (tmp_path / "file.zip.part").stat().st_size
    assert 0 < arrived <= 100_000
    server.requests.clear()
    download(server.url, tmp_path / "file.zip", "by hand")
    assert (tmp_path / "file.zip").read_bytes() == server.content
    assert server.requests == [(f"bytes={arrived}-", '"first"')]


def test_full_disk_while_scenes_are_drawn(tmp_path: Path, small_files) -> None:
    data = Data(folder=str(tmp_path / "scenes"), scenes=Scenes(train_images=2, val_images=1, height=64, width=64))
    with small_files(1000), pytest.raises(PaumerError, match="scenes: cannot be written"):
        prepare(data, tmp_path / "data.json", threads=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["scenes", "folder", "imagenet"])
def test_only_some_datasets_are_fetched(tmp_path: Path, name: str) -> None:
    with pytest.raises(PaumerError, match=f"{name}: no dataset that is fetched; use cityscapes, camvid, ade20k"):
        fetch_dataset(name, tmp_path / "data", 1)
    assert list(tmp_path.iterdir()) == []
