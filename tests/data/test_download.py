"""Downloads against a server on loopback: what has arrived is never asked for again, and never taken for the whole."""

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
from hostile import refusal

from paumer.data import download as module
from paumer.data.download import ATTEMPTS, download, require_space

CONTENT = np.random.default_rng(0).bytes(300_000)
HALF = 150_000
BY_HAND = "get the file, then name it in data.folder"
DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


@pytest.fixture
def target(server, tmp_path: Path) -> Path:
    server.content = CONTENT
    return tmp_path / "data" / "file.zip"


def part(target: Path) -> Path:
    return target.with_name("file.zip.part")


def get(server, target: Path, **options: Any) -> None:
    download(server.url, target, BY_HAND, **{"pause_seconds": 0, **options})


def failure(server, target: Path, **options: Any) -> str:
    """The one line with which a download fails; the file must not be there."""
    line = refusal(get, server, target, **options)
    assert not target.exists()
    assert server.url in line
    assert BY_HAND in line
    return line


def give_up_half_way(server, target: Path) -> None:
    """Leave the first half in the part file, as a call does that failed."""
    server.cuts = [HALF] + [0] * (ATTEMPTS - 1)
    assert "could not be fetched" in failure(server, target)
    assert part(target).read_bytes() == CONTENT[:HALF]
    server.requests.clear()
    server.sent.clear()


def test_file_arrives_and_nothing_else_stays(server, target: Path) -> None:
    get(server, target, checksums={"sha256": hashlib.sha256(CONTENT).hexdigest()})
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    get(server, target)  # it is there
    assert server.requests == [(None, None)]


@pytest.mark.parametrize("chunked", [False, True], ids=["known length", "unknown length"])
def test_lost_connection_goes_on_in_the_same_call(server, target: Path, chunked: bool, capsys) -> None:
    server.chunked, server.cuts = chunked, [HALF]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [(None, None), (f"bytes={HALF}-", '"first"')]
    assert server.sent == [HALF, len(CONTENT) - HALF]
    output = capsys.readouterr()
    assert "trying again" in output.out
    assert "fetching file.zip" in output.err


RESUMED: dict[str, tuple[dict, dict, str, list[int]]] = {  # before, after, what is asked for, and bytes of each answer
    "moved": ({}, {"moved": True}, '"first"', [HALF]),
    "passing trouble": ({}, {"statuses": [503, 429]}, '"first"', [HALF]),
    "no ranges": ({}, {"ranges": False}, '"first"', [2 * HALF]),
    "another version": ({}, {"headers": {"ETag": '"second"'}, "content": CONTENT[::-1]}, '"first"', [2 * HALF]),
    "shorter": ({}, {"content": CONTENT[: HALF // 2]}, '"first"', [HALF // 2]),  # status 416
    "another rest": ({}, {"shift": 1}, '"first"', [HALF - 1, 2 * HALF]),
    "unknown length": ({"chunked": True}, {}, '"first"', [HALF]),
    "tag": ({"headers": {"ETag": '"a"', "Last-Modified": DATE}}, {}, '"a"', [HALF]),
    "date": ({"headers": {"ETag": 'W/"a"', "Last-Modified": DATE}}, {}, DATE, [HALF]),
}


@pytest.mark.parametrize("name", RESUMED)
def test_next_call_goes_on_with_the_same_version(server, target: Path, name: str) -> None:
    before, after, asked, sent = RESUMED[name]
    vars(server).update(before)
    give_up_half_way(server, target)
    vars(server).update(after)
    get(server, target)
    assert target.read_bytes() == server.content
    assert server.requests[0] == (f"bytes={HALF}-", asked)
    assert server.sent == sent


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"a"'}])
def test_what_has_no_version_is_fetched_whole(server, target: Path, headers: dict[str, str]) -> None:
    server.headers, server.cuts = headers, [HALF]
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [(None, None)] * 2


@pytest.mark.parametrize("version", [None, "not JSON", '{"url": "http://elsewhere/", "validator": "a"}'])
def test_part_of_unknown_origin_is_not_used(server, target: Path, version: str | None) -> None:
    target.parent.mkdir()
    part(target).write_bytes(b"something else")
    if version is not None:
        target.with_name("file.zip.part.json").write_text(version)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [(None, None)]


def test_refusal_is_final(server, target: Path) -> None:
    server.content = None
    assert "status 404" in failure(server, target)
    assert len(server.requests) == 1


def test_wrong_checksum(server, target: Path) -> None:
    line = failure(server, target, checksums={"sha256": "0" * 64})
    assert hashlib.sha256(CONTENT).hexdigest() in line
    assert list(target.parent.iterdir()) == []  # going on from what arrived would fail for ever


def test_no_network_is_one_line_after_growing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    waits: list[float] = []
    monkeypatch.setattr(module, "sleep", waits.append)
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/data.zip"
        line = refusal(download, url, tmp_path / "data.zip", BY_HAND, pause_seconds=2)
    assert line.startswith(f"{url}: could not be fetched (<urlopen error [Errno ")
    assert line.endswith(f"run again, or {BY_HAND}")
    assert list(tmp_path.iterdir()) == []
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


def test_room_is_asked_for_where_it_is_needed(tmp_path: Path, full_disk) -> None:
    require_space(tmp_path / "not/there/yet", 1)
    full_disk(10)
    require_space(tmp_path, 10)
    line = refusal(require_space, tmp_path / "new", 11)
    assert line == f"{tmp_path / 'new'}: 11.0B are needed here and 10.0B are free; make room and run again"


def test_what_arrived_before_the_disk_was_full_is_kept(server, target: Path, small_files) -> None:
    with small_files(100_000):
        assert "file.zip.part: cannot be written ([Errno 27]" in refusal(get, server, target)
    arrived = part(target).stat().st_size
    assert 0 < arrived <= 100_000
    server.requests.clear()
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [(f"bytes={arrived}-", '"first"')]
