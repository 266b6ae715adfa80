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

from paumer.data import download as module
from paumer.data.download import ATTEMPTS, download
from paumer.system.errors import PaumerError

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
    assert server.requests == [(None, None)]


def test_file_that_is_there_is_not_asked_for(server, target: Path) -> None:
    get(server, target)
    get(server, target)
    assert len(server.requests) == 1


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


def test_rest_is_asked_for_behind_a_redirection_too(server, target: Path) -> None:
    server.moved = True
    give_up_half_way(server, target)
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.requests == [(f"bytes={HALF}-", '"first"')]


@pytest.mark.parametrize("weak", [False, True])
def test_another_version_is_fetched_whole(server, target: Path, weak: bool) -> None:
    server.headers = {"ETag": 'W/"first"' if weak else '"first"'}
    give_up_half_way(server, target)
    server.headers = {"ETag": 'W/"second"' if weak else '"second"'}
    server.content = CONTENT[::-1]
    get(server, target)
    assert target.read_bytes() == CONTENT[::-1]


def test_server_without_ranges_starts_over(server, target: Path) -> None:
    give_up_half_way(server, target)
    server.ranges = False
    get(server, target)
    assert target.read_bytes() == CONTENT
    assert server.sent == [len(CONTENT)]


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


def test_passing_trouble_of_the_server(server, target: Path) -> None:
    server.statuses = [503, 429]
    get(server, target)
    assert target.read_bytes() == CONTENT


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


def test_folder_that_cannot_be_written(server, target: Path) -> None:
    target.parent.write_text("a file in place of the folder")
    with pytest.raises(PaumerError, match="cannot be written"):
        get(server, target)


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
