"""Resumable download of one file over HTTP(S), and checking free disk space beforehand."""

import hashlib
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
    """Require free disk space.

    Args:
        folder: where files will be written; it need not exist yet.
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


class _IncompleteError(Exception):
    """The file is incomplete; another attempt may succeed."""


def download(
    url: str,
    target: Path,
    manual_instructions: str,
    checksums: Mapping[str, str] | None = None,
    opener: OpenerDirector | None = None,
    pause_seconds: float = PAUSE_SECONDS,
) -> None:
    """Download a file, unless it exists.

    Bytes are kept in `<target>.part` until the file is complete, also after a lost connection or a kill; the next
    attempt or call requests the rest, where the server said by which validator (ETag or date) it knows the version.

    Args:
        url: address of the file.
        target: path of the file to write.
        manual_instructions: what to do without a network, for error messages.
        checksums: algorithm of hashlib -> expected hexadecimal digest.
        opener: sends the requests, with cookies for instance; anonymous by default.
        pause_seconds: pause before the second attempt, doubled before each further one.

    Raises:
        PaumerError: the file cannot be fetched or written, or its checksum differs.
    """
    if target.exists():
        return
    part = _Part(url, target)
    with disk_errors(part.path):
        target.parent.mkdir(parents=True, exist_ok=True)
        _receive_whole(part, manual_instructions, opener or build_opener(), pause_seconds)
        for algorithm, expected in (checksums or {}).items():
            found = checksum(part.path, algorithm)
            if found != expected:
                part.remove()
                wrong = f"brought a file of {algorithm} {found}, not {expected}"
                raise PaumerError(f"{url}: {wrong}; run again, or {manual_instructions}")
        part.path.replace(target)
        part.remove()


def arrived(target: Path) -> int:
    """Bytes of an incomplete download that are on disk."""
    return _Part("", target).size


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """A checksum of a file by an algorithm of hashlib, as hexadecimal digits."""
    with path.open("rb") as file:
        # Some systems refuse old algorithms unless they are declared not to be used for security.
        return hashlib.file_digest(file, partial(hashlib.new, algorithm, usedforsecurity=False)).hexdigest()


class _Part:
    """An incomplete file on disk, `<target>.part`, and the version it is of, `<target>.part.json`."""

    def __init__(self, url: str, target: Path) -> None:
        self.url = url
        self.path = target.with_name(f"{target.name}.part")
        self.version = target.with_name(f"{target.name}.part.json")

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size if self.path.exists() else 0

    def headers(self) -> dict[str, str]:
        """Headers that request the rest of this version; none where the whole file is needed."""
        try:
            version = read_json(self.version, url=str, validator=str)
        except PaumerError:
            return {}
        known = version["url"] == self.url and version["validator"] and self.size
        return {"Range": f"bytes={self.size}-", "If-Range": version["validator"]} if known else {}

    def begin(self, response: HTTPResponse) -> None:
        """Prepare for appending the body of a response: the rest of the file, or the whole.

        Raises:
            _IncompleteError: what comes does not continue this part.
        """
        if response.status == 206:
            if not response.headers.get("Content-Range", "").startswith(f"bytes {self.size}-"):
                self.remove()
                raise _IncompleteError("the server sent something else than the rest of the file")
            return
        tag = response.headers.get("ETag", "")
        # If-Range must not hold a weak tag (RFC 9110, 13.1.5).
        validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
        self.path.write_bytes(b"")
        write_json(self.version, {"url": self.url, "validator": validator})

    def remove(self) -> None:
        """Delete the part."""
        self.path.unlink(missing_ok=True)
        self.version.unlink(missing_ok=True)


def _receive_whole(part: _Part, manual_instructions: str, opener: OpenerDirector, pause_seconds: float) -> None:
    """Receive a file in up to `ATTEMPTS` attempts."""
    problem = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            seconds = pause_seconds * 2 ** (attempt - 1)
            print(f"{part.url}: {problem}; trying again in {seconds:g} s", flush=True)
            sleep(seconds)
        try:
            with _ask(part, manual_instructions, opener) as response:
                _receive(response, part)
            return
        except _IncompleteError as error:
            problem = str(error)
    raise PaumerError(f"{part.url}: could not be fetched ({problem}); run again, or {manual_instructions}")


def _ask(part: _Part, manual_instructions: str, opener: OpenerDirector) -> HTTPResponse:
    """Request the missing bytes of a file."""
    try:
        return opener.open(Request(part.url, headers=part.headers()), timeout=SILENCE_SECONDS)
    except HTTPError as error:
        if error.code == 416:  # the file is shorter than the part: another version
            part.remove()
        elif error.code < 500 and error.code != 429:
            refusal = f"the server refuses it (status {error.code})"
            raise PaumerError(f"{part.url}: {refusal}; {manual_instructions}") from None
        raise _IncompleteError(f"status {error.code}") from None
    except (OSError, HTTPException) as error:
        raise _IncompleteError(summary(error)) from None


def _receive(response: HTTPResponse, part: _Part) -> None:
    """Append the body of a response to the part."""
    part.begin(response)
    total = None if response.length is None else part.size + response.length
    require_space(part.path.parent, response.length or 0)
    title = f"fetching {part.path.stem}"
    with part.path.open("ab") as file, progress(title=title, total=total, done=part.size, in_bytes=True) as bar:
        for block in _blocks(response):
            file.write(block)
            bar.update(len(block))
    if total is not None and part.size != total:
        raise _IncompleteError(f"{part.size} of {total} bytes arrived")


def _blocks(response: HTTPResponse) -> Iterator[bytes]:
    """The body of a response in blocks, with connection errors as `_IncompleteError`."""
    try:
        while block := response.read1(BLOCK_BYTES):
            yield block
    except (OSError, HTTPException) as error:
        raise _IncompleteError(summary(error)) from None
