"""Downloads against a server on loopback: what has arrived is never asked for again, and never taken for the whole."""

import errno
import hashlib
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from paumer.data import download as module
from paumer.data.download import ATTEMPTS, download, require_space
from paumer.system.errors import PaumerError
from paumer.system.files import disk_errors

CONTENT = np.random.default_rng(0).bytes(300_000)
HALF = 150_000
BY_HAND = "get the file, then name it in data.folder"


@pytest.fixture
def target(server, tmp_path: Path) -> Path:
    server.content = CONTENT
    return tmp_path / "data" / "file.zip"


def part(target: Path) -> Path:
    return target.with_name("file.zip.part")


def get(server, target: Path, **options: Any) -> None:
    download(server.url, target, BY_HAND, pause_seconds=0, **options)


def failure(server, target: Path, **options: Any) -> str:
    """The one line with which a download fails; the file must not be there."""
    with pytest.raises(PaumerError) as caught:
        get(server, target, **options)
    assert not target.exists()
    line = str(caught.value)
    assert "\n" not in line
    assert server.url in line
    assert BY_HAND in line
    return line


def give_up_half_way(server, target: Path) -> None:
    """Leave the first half in the part file, as a call does that failed."""
    server.cuts = [HALF] + [0] * (ATTEMPTS - 1)
    assert f"{HALF} of {len(CONTENT)} bytes arrived" in failure(server, target)
    assert part(target).read_bytes() == CONTENT[:HALF]
    server.requests.clear()
    server.sent.clear()


def test_file_arrives_and_nothing_else_stays(server, target: Path) -> None:
    get(server, target, checksums={"sha256": hashlib.sha256(CONTENT).hexdigest()})
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    get(server, target)  # it is there
    assert server.requests == [(None, None)]


def test_lost_connection_goes_on_in_the_same_call(server, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.cuts = [HALF]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [(None, None), (f"bytes={HALF}-", '"first"')]
    assert server.sent == [HALF, len(CONTENT) - HALF]
    output = capsys.readouterr()
    assert "trying again" in output.out
    assert "fetching file.zip" in output.err


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({"moved": True}, HALF),
        ({"ranges": False}, 2 * HALF),
        ({"headers": {"ETag": '"second"'}, "content": CONTENT[::-1]}, 2 * HALF),
        ({"statuses": [503, 429]}, HALF),
    ],
    ids=["redirection", "no ranges", "another version", "passing trouble"],
)
def test_servers_that_change_before_the_rest_is_asked_for(server, target: Path, changes, sent: int) -> None:
    give_up_half_way(server, target)
    vars(server).update(changes)
    get(server, target)
    assert target.read_bytes() == server.content
    assert server.sent == [sent]


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({"ETag": '"a"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, '"a"'),
        ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"ETag": 'W/"a"'}, None),
        ({}, None),
    ],
    ids=["strong", "date", "weak", "none"],
)
def test_next_call_asks_for_the_rest_of_the_same_version(server, target: Path, headers, condition) -> None:
    server.headers = headers
    give_up_half_way(server, target)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [(f"bytes={HALF}-", condition)]
    assert server.sent == [len(CONTENT) - HALF]


def test_another_version_of_a_weak_tag_is_fetched_whole(server, target: Path) -> None:
    server.headers = {"ETag": 'W/"first"'}
    give_up_half_way(server, target)
    server.headers, server.content = {"ETag": 'W/"second"'}, CONTENT[::-1]
    get(server, target)
    assert target.read_bytes() == CONTENT[::-1]


def test_part_beyond_the_file_starts_over(server, target: Path) -> None:
    give_up_half_way(server, target)
    server.content = CONTENT[: HALF // 2]  # status 416
    get(server, target)
    assert target.read_bytes() == CONTENT[: HALF // 2]
    assert [asked for asked, _ in server.requests] == [f"bytes={HALF}-", None]


@pytest.mark.parametrize("memory", [None, "not JSON", '{"url": "http://elsewhere/", "etag": "", "last_modified": ""}'])
def test_part_of_unknown_origin_is_not_used(server, target: Path, memory: str | None) -> None:
    target.parent.mkdir()
    part(target).write_bytes(b"something else")
    if memory is not None:
        target.with_name("file.zip.part.json").write_text(memory)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [(None, None)]


def test_body_of_unknown_length(server, target: Path) -> None:
    server.chunked = True
    server.cuts = [HALF]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.sent == [HALF, len(CONTENT) - HALF]


def test_body_of_unknown_length_that_ends_too_soon_is_no_success(server, target: Path) -> None:
    server.chunked = True
    server.cuts = [HALF, 0, 0, 0]
    assert "could not be fetched" in failure(server, target)
    assert part(target).read_bytes() == CONTENT[:HALF]


def test_refusal_is_final(server, target: Path) -> None:
    server.content = None
    assert "status 404" in failure(server, target)
    assert len(server.requests) == 1


def test_wrong_checksum(server, target: Path) -> None:
    line = failure(server, target, checksums={"sha256": "0" * 64})
    assert hashlib.sha256(CONTENT).hexdigest() in line
    assert list(target.parent.iterdir()) == []  # going on from what arrived would fail for ever


def test_no_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/data.zip"
        with pytest.raises(PaumerError) as caught:
            download(url, tmp_path / "data.zip", BY_HAND, pause_seconds=0)
    assert str(caught.value).startswith(f"{url}: could not be fetched (<urlopen error [Errno ")
    assert str(caught.value).endswith(f"run again, or {BY_HAND}")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_waits_grow(server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(module, "sleep", waits.append)
    server.statuses = [500] * ATTEMPTS
    with pytest.raises(PaumerError, match="status 500"):
        download(server.url, target, BY_HAND, pause_seconds=2)
    assert waits == [2, 4, 8]


def test_killed_process_goes_on(server, target: Path) -> None:
    server.cuts, server.stall = [HALF], Event()
    code = "import sys, pathlib; from paumer.data.download import download; "
    code += "download(sys.argv[1], pathlib.Path(sys.argv[2]), 'by hand')"
    with subprocess.Popen([sys.executable, "-c", code, server.url, str(target)], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (part(target).exists() and part(target).stat().st_size):
            time.sleep(0.05)
        process.kill()
    server.stall.set()
    arrived = part(target).stat().st_size
    assert 0 < arrived <= HALF
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests[1:] == [(f"bytes={arrived}-", '"first"')]


# Full disks: refused beforehand, and one line in the middle


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
