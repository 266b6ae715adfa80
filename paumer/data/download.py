"""Download of one file over HTTP(S) that goes on where it stopped, whatever stopped it.

Disks: whether there is room for what is about to be written.
"""

import hashlib
import re
import shutil
from collections.abc import Iterator, Mapping
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from time import sleep
from urllib.error import HTTPError
from urllib.request import OpenerDirector, Request, build_opener

from tqdm import tqdm

from paumer.system.errors import PaumerError, summary
from paumer.system.files import disk_errors, read_json, write_json
from paumer.system.progress import progress


def require_space(folder: Path, needed: int) -> None:
    """Refuse to begin what cannot end well.

    Args:
        folder: where it will be written; it need not be there yet.
        needed: bytes.

    Raises:
        PaumerError: fewer bytes are free.
    """
    present = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(present).free
    if free < needed:
        wanted, found = (tqdm.format_sizeof(count, "B", 1000) for count in (needed, free))
        raise PaumerError(f"{folder}: {wanted} are needed here and {found} are free; make room and run again")


ATTEMPTS = 4
PAUSE_SECONDS = 1.0
SILENCE_SECONDS = 60.0
BLOCK_BYTES = 2**20
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class _IncompleteError(Exception):
    """The file did not arrive whole; another attempt may bring the rest."""


def download(
    url: str,
    target: Path,
    manual_instructions: str,
    checksums: Mapping[str, str] | None = None,
    opener: OpenerDirector | None = None,
    pause_seconds: float = PAUSE_SECONDS,
) -> None:
    """Fetch a file, unless it is there already.

    What has arrived lies in `<target>.part` until the file is whole, and survives a lost connection and a kill: the
    next attempt, or the next call, asks for the rest alone. `<target>.part.json` remembers which version it is of.

    Args:
        url: where the file is.
        target: where to write it.
        manual_instructions: what to do without a network, for error messages.
        checksums: algorithm of hashlib -> what its bytes must give, where that is known.
        opener: asks the server, with cookies for instance; an anonymous one by default.
        pause_seconds: time to wait before the second attempt; it doubles before each further one.

    Raises:
        PaumerError: the file cannot be fetched, cannot be written, or is another one.
    """
    if target.exists():
        return
    part = _Part(url, target)
    with disk_errors(part.path):
        target.parent.mkdir(parents=True, exist_ok=True)
        _receive_whole(url, part, manual_instructions, opener or build_opener(), pause_seconds)
        for algorithm, expected in (checksums or {}).items():
            found = checksum(part.path, algorithm)
            if found != expected:
                part.remove()
                wrong = f"brought a file of {algorithm} {found}, not {expected}"
                raise PaumerError(f"{url}: {wrong}; run again, or {manual_instructions}")
        part.path.replace(target)
        part.remove()


def arrived(target: Path) -> int:
    """How many bytes of a file have arrived and wait for the rest."""
    return _Part("", target).size


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """A checksum of a file by an algorithm of hashlib, as hexadecimal digits."""
    with path.open("rb") as file:
        # Some systems refuse old algorithms where security hangs on them.
        return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()


class _Part:
    """What has arrived of a file, and the version of the file that it belongs to."""

    def __init__(self, url: str, target: Path) -> None:
        self.url = url
        self.path = target.with_name(f"{target.name}.part")
        self.memory = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def range_headers(self) -> dict[str, str]:
        """Headers that ask for the rest of just this version; none where all of the file is needed."""
        version = self._version()
        if version is None or not self.size:
            return {}
        headers = {"Range": f"bytes={self.size}-"}
        # A weak ETag must not stand in If-Range (RFC 9110, 13.1.5); the answer's is compared instead.
        strong = version["etag"] if not version["etag"].startswith("W/") else ""
        validator = strong or version["last_modified"]
        return headers | ({"If-Range": validator} if validator else {})

    def begin(self, answer: HTTPResponse) -> int | None:
        """Make ready for the body of an answer: its bytes are to be appended.

        Returns:
            How many bytes the whole file has; None if the server does not tell.

        Raises:
            _IncompleteError: the answer does not go on where this part ends.
        """
        arriving = {
            "url": self.url,
            "etag": answer.headers.get("ETag", ""),
            "last_modified": answer.headers.get("Last-Modified", ""),
        }
        if answer.status == 206:
            found = CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != self.size or not self._fits(arriving):
                self.remove()
                raise _IncompleteError("the server sent something else than the rest of the file")
            if found[2] != "*":
                return int(found[2])
            return None if answer.length is None else self.size + answer.length
        self.path.write_bytes(b"")
        write_json(self.memory, arriving)
        return answer.length

    def remove(self) -> None:
        """Forget what has arrived."""
        self.path.unlink(missing_ok=True)
        self.memory.unlink(missing_ok=True)

    def _fits(self, arriving: dict[str, str]) -> bool:
        """Whether an answer is of the version that is here, as far as both tell (a partial answer may tell less)."""
        version = self._version() or {}
        return all(not value or version.get(name) in ("", value) for name, value in arriving.items())

    def _version(self) -> dict[str, str] | None:
        """What the answer said that the part began with; None where that is unknown, or was another address."""
        try:
            version = read_json(self.memory)
        except PaumerError:
            return None
        return version if version.get("url") == self.url else None


def _receive_whole(
    url: str, part: _Part, manual_instructions: str, opener: OpenerDirector, pause_seconds: float
) -> None:
    """Receive a file, in several attempts if need be."""
    problem = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            seconds = pause_seconds * 2 ** (attempt - 1)
            print(f"{url}: {problem}; trying again in {seconds:g} s", flush=True)
            sleep(seconds)
        try:
            with _ask(url, part, manual_instructions, opener) as answer:
                _receive(answer, part)
            return
        except _IncompleteError as error:
            problem = str(error)
    raise PaumerError(f"{url}: could not be fetched ({problem}); run again, or {manual_instructions}")


def _ask(url: str, part: _Part, manual_instructions: str, opener: OpenerDirector) -> HTTPResponse:
    """Ask for what is missing of a file."""
    try:
        return opener.open(Request(url, headers=part.range_headers()), timeout=SILENCE_SECONDS)
    except HTTPError as error:
        if error.code == 416:  # nothing lies beyond what is here: it is of another version
            part.remove()
        elif error.code < 500 and error.code != 429:
            raise PaumerError(f"{url}: the server refuses it (status {error.code}); {manual_instructions}") from None
        raise _IncompleteError(f"status {error.code}") from None
    except (OSError, HTTPException) as error:
        raise _IncompleteError(summary(error)) from None


def _receive(answer: HTTPResponse, part: _Part) -> None:
    """Append the body of an answer to the part."""
    total = part.begin(answer)
    require_space(part.path.parent, (total or 0) - part.size)
    title = f"fetching {part.path.stem}"
    with part.path.open("ab") as file, progress(title=title, total=total, done=part.size, in_bytes=True) as bar:
        for block in _blocks(answer):
            file.write(block)
            bar.update(len(block))
    if total is not None and part.size != total:
        raise _IncompleteError(f"{part.size} of {total} bytes arrived")


def _blocks(answer: HTTPResponse) -> Iterator[bytes]:
    """The body of an answer as it arrives."""
    try:
        while block := answer.read1(BLOCK_BYTES):
            yield block
    except (OSError, HTTPException) as error:
        raise _IncompleteError(summary(error)) from None
