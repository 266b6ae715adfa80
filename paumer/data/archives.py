"""Datasets that are fetched as zip archives: their description, extraction, and checks of the contents."""

import hashlib
import re
import shutil
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import OpenerDirector
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from paumer.data.download import arrived, checksum, download, require_space
from paumer.system.errors import PaumerError, summary
from paumer.system.files import read_json, require_plain, write_json, writing_folder
from paumer.system.locks import lock, lock_path
from paumer.system.progress import progress

SOURCE_FILE = "source.json"
LARGEST_TOTAL = 2 * 2**30
LARGEST_FACTOR = 4  # an archive of images hardly shrinks them


class InvalidArchiveError(Exception):
    """An archive is damaged, hostile or of other contents; the message is one line without a remedy."""


@dataclass(frozen=True)
class Origin:
    """Where an archive is fetched from.

    Attributes:
        url: its address.
        size: approximate bytes; 0 where unknown.
        checksums: algorithm of hashlib -> expected digest.
        opener: sends the requests, where a login is needed.
    """

    url: str
    size: int = 0
    checksums: Mapping[str, str] = field(default_factory=dict)
    opener: OpenerDirector | None = None


@dataclass(frozen=True)
class Archive:
    """A zip archive and its expected contents.

    Attributes:
        name: file name while it is kept, beside the dataset's folder.
        members: matches the names of members that are extracted; its group is the path below the dataset's folder, so
            it must match no path upwards.
        files: glob pattern below the dataset's folder -> expected number of files.
        digests: folder -> expected `digest`, where known.
        commit: expected commit, which `git archive` writes into the comment; None for other archives.
        origin: its address; None where it is known only after login.
    """

    name: str
    members: re.Pattern[str]
    files: Mapping[str, int]
    digests: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    origin: Origin | None = None

    def member_path(self, name: str) -> str | None:
        """Path of a member below the dataset's folder; None for members that are not extracted."""
        found = self.members.fullmatch(name)
        return found[1] if found else None


@dataclass(frozen=True)
class Source:
    """The archives that make up a dataset.

    Attributes:
        version: stored beside the data, which is fetched again when it changes.
        archives: the archives.
        log_in: archive names -> origins, for archives without one.
    """

    version: str
    archives: tuple[Archive, ...]
    log_in: Callable[[Collection[str]], Mapping[str, Origin]] | None = None


def fetch(source: Source, folder: Path, terms: Mapping[str, str], manual_instructions: str) -> None:
    """Fetch a dataset into `folder`, unless that has this version; the folder appears complete or not at all.

    Args:
        source: the archives.
        folder: the dataset's folder; archives are kept beside it meanwhile, incomplete ones also after a failure.
        terms: licence and citation, which are printed and stored beside the data.
        manual_instructions: what to do without a network, for error messages.

    Raises:
        PaumerError: network, login or disk space is missing, an archive is invalid, or the folder holds other files.
    """
    described = read_source(folder)
    if described is not None and described.get("version") == source.version:
        return
    if described is None and folder.exists() and any(folder.iterdir()):
        raise PaumerError(
            f"{folder}: holds files that were not fetched; remove them, or name this folder in data.folder"
        )
    print(f"fetching {folder}", *(f"{name}: {text}" for name, text in terms.items()), sep="\n", flush=True)
    with lock(lock_path(folder), f"{folder}: another process fetches this dataset"):
        paths = {archive.name: folder.with_name(archive.name) for archive in source.archives}
        _download(source, paths, manual_instructions)
        with writing_folder(folder) as temporary:
            fetched = [
                _install(archive, paths[archive.name], temporary, manual_instructions) for archive in source.archives
            ]
            write_json(temporary / SOURCE_FILE, {"version": source.version, "archives": fetched, **terms})
        for path in paths.values():
            path.unlink()


def read_source(folder: Path) -> dict[str, Any] | None:
    """Version, archives and terms of a fetched dataset; None for one that was not fetched."""
    path = folder / SOURCE_FILE
    return read_json(path) if path.exists() else None


def digest(folder: Path) -> str:
    """SHA-256 over name and content of all files of a folder, sorted by name."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def _download(source: Source, paths: Mapping[str, Path], manual_instructions: str) -> None:
    """Download missing archives; where all exist, neither network nor login is needed."""
    missing = {archive.name: archive.origin for archive in source.archives if not paths[archive.name].exists()}
    unknown = [name for name, origin in missing.items() if origin is None]
    known = source.log_in(unknown) if source.log_in and unknown else {}
    origins = {name: origin or known[name] for name, origin in missing.items()}
    # Each needs space twice: as an archive, and extracted.
    needed = sum(max(0, 2 * origin.size - arrived(paths[name])) for name, origin in origins.items())
    require_space(next(iter(paths.values())).parent, needed)
    for name, origin in origins.items():
        print(f"fetching {origin.url}", flush=True)
        download(origin.url, paths[name], manual_instructions, origin.checksums, origin.opener)


def _install(archive: Archive, path: Path, folder: Path, manual_instructions: str) -> dict[str, str]:
    """Extract an archive into the dataset's folder and check the contents; returns its name and sha256."""
    try:
        unpack(archive, path, folder)
    except InvalidArchiveError as error:
        path.unlink()
        raise PaumerError(f"{path}: {error}; run again to fetch it anew, or {manual_instructions}") from None
    return {"name": archive.name, "sha256": checksum(path)}


def unpack(archive: Archive, path: Path, folder: Path) -> None:
    """Extract what an archive holds of its dataset into a folder, and check that it is all of it.

    Raises:
        InvalidArchiveError: the archive is damaged, too large, of another commit, or of other files than it should be.
        PaumerError: the disk has too little space.
    """
    try:
        with _damage():
            require_plain(path)
            opened = ZipFile(path)
        with opened as content:
            comment = content.comment.decode(errors="replace")
            if archive.commit not in (None, comment):
                raise InvalidArchiveError(f"the archive is of commit {comment[:40]!r}, not {archive.commit}")
            _extract(archive, content, folder, max(LARGEST_TOTAL, LARGEST_FACTOR * path.stat().st_size))
    except (BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError, zlib.error) as error:
        raise InvalidArchiveError(f"this is no sound zip archive ({summary(error)})") from None
    for pattern, expected in archive.files.items():
        found = len(list(folder.glob(pattern)))
        if found != expected:
            raise InvalidArchiveError(f"the archive holds {found} files for {pattern}, not {expected}")
    for name, known in archive.digests.items():
        if digest(folder / name) != known:
            raise InvalidArchiveError(f"the files of {name} in the archive are not the known ones")


def _extract(archive: Archive, content: ZipFile, folder: Path, most: int) -> None:
    """Write the members that belong to the dataset, of `most` bytes together; zipfile compares their CRC."""
    chosen = {target: member for member in content.infolist() if (target := archive.member_path(member.filename))}
    size = sum(member.file_size for member in chosen.values())
    if size > most:
        raise InvalidArchiveError(f"the archive holds {size} bytes, more than {most}")
    require_space(folder, size)
    for target, member in progress(chosen.items(), title=f"unpacking {archive.name}", total=len(chosen)):
        if member.flag_bits & 1 or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise InvalidArchiveError(f"{target} in the archive is encrypted, or not compressed by DEFLATE")
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        with _damage():
            source = content.open(member)
        # zipfile reads no more than the size the archive states, which is within the limit.
        with source, (folder / target).open("wb") as file:
            shutil.copyfileobj(source, file)


@contextmanager
def _damage() -> Iterator[None]:
    """Turn OSError into BadZipFile while nothing is written: damaged archives hold offsets outside the file."""
    try:
        yield
    except OSError as error:
        raise BadZipFile(summary(error)) from None
