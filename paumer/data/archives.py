"""Datasets that are fetched as zip archives: what these must hold, and fetching them.

Chosen files out of a zip archive that is not trusted.
"""

import hashlib
import re
import shutil
import stat
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.request import OpenerDirector
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from paumer.data.download import arrived, checksum, download, require_space
from paumer.system.errors import PaumerError, summary
from paumer.system.files import read_json, require_plain, write_json, writing_folder
from paumer.system.locks import lock, lock_path
from paumer.system.progress import progress

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class InvalidArchiveError(Exception):
    """What is wrong with an archive, in one line; who fetched it knows what to do about it."""


@contextmanager
def opened_zip(archive: Path) -> Iterator[ZipFile]:
    """Open a zip archive.

    Raises:
        InvalidArchiveError: it is none, or proves to be broken while it is read.
    """
    try:
        with _damage():
            require_plain(archive)
            opened = ZipFile(archive)
        with opened:
            yield opened
    except (BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError, zlib.error) as error:
        raise InvalidArchiveError(f"this is no sound zip archive ({summary(error)})") from None


def unpack(
    content: ZipFile, folder: Path, member_path: Callable[[str], PurePosixPath | None], largest: int, total: int
) -> None:
    """Write chosen members of an archive into a folder. Contents are checked by the checksums in the archive.

    Args:
        content: the archive.
        folder: where to write.
        member_path: member name -> path below `folder`, of plain names; None to leave the member out.
        largest: bytes that one member may have.
        total: bytes that all chosen members may have together.

    Raises:
        InvalidArchiveError: a chosen member is no plain file, is too large, or has no place of its own in `folder`.
        PaumerError: the disk has no room for them.
    """
    chosen = [(member, target) for member in content.infolist() if (target := member_path(member.filename))]
    _check_member(chosen, largest, total)
    require_space(folder, sum(member.file_size for member, _ in chosen))
    for member, target in progress(chosen, title=f"unpacking {Path(content.filename or 'archive').name}"):
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        with _damage():
            source = content.open(member)
        # zipfile reads no more than the size the archive states, which is within the limits.
        with source, path.open("xb") as file:
            shutil.copyfileobj(source, file)


@contextmanager
def _damage() -> Iterator[None]:
    """Where nothing is written, OSError is the archive's: damaged ones name places in the file that it has not."""
    try:
        yield
    except OSError as error:
        raise BadZipFile(summary(error)) from None


def _check_member(chosen: list[tuple[ZipInfo, PurePosixPath]], largest: int, total: int) -> None:
    """Refuse an archive before anything of it is written."""
    taken = set()
    for member, target in chosen:
        name = ascii(member.filename)
        if not _is_plain_file(member):
            raise InvalidArchiveError(f"{name} in the archive is no plain file")
        if target in taken or not all(PLAIN_NAME.fullmatch(part) for part in target.parts):
            raise InvalidArchiveError(f"{name} in the archive has no place of its own at {str(target)!a}")
        if member.file_size > largest:
            raise InvalidArchiveError(f"{name} in the archive has {member.file_size} bytes, more than {largest}")
        taken.add(target)
    size = sum(member.file_size for member, _ in chosen)
    if size > total:
        raise InvalidArchiveError(f"the archive holds {size} bytes, more than {total}")


def _is_plain_file(member: ZipInfo) -> bool:
    """Whether a member is a file, neither encrypted nor packed in a rare way."""
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive comes from a system without kinds
    encrypted = member.flag_bits & 1
    return (
        kind in (0, stat.S_IFREG)
        and not member.is_dir()
        and not encrypted
        and member.compress_type in (ZIP_STORED, ZIP_DEFLATED)
    )


SOURCE_FILE = "source.json"
LARGEST_FILE = 32 * 2**20
LARGEST_TOTAL = 2 * 2**30
LARGEST_FACTOR = 4  # an archive of images hardly shrinks them


@dataclass(frozen=True)
class Origin:
    """Where an archive is fetched from.

    Attributes:
        url: its address.
        size: about how many bytes it has; 0 where that is unknown.
        checksums: algorithm of hashlib -> what its bytes must give.
        opener: asks the server, where that takes a login.
    """

    url: str
    size: int = 0
    checksums: Mapping[str, str] = field(default_factory=dict)
    opener: OpenerDirector | None = None


@dataclass(frozen=True)
class Archive:
    """A zip archive and what it must hold.

    Attributes:
        name: of the file that it is kept in meanwhile, beside the dataset's folder.
        members: matches the names of members that are extracted; its group is the path below the dataset's folder.
        files: pattern below the dataset's folder -> how many files must match it.
        digests: folder -> what `digest` must give for it, where that is known.
        commit: the commit it must be of; `git archive` writes that into the archive's comment. None for others.
        origin: where from; None where only a login tells.
    """

    name: str
    members: re.Pattern[str]
    files: Mapping[str, int]
    digests: Mapping[str, str] = field(default_factory=dict)
    commit: str | None = None
    origin: Origin | None = None

    def member_path(self, name: str) -> PurePosixPath | None:
        """Path of a member below the dataset's folder; None for members that are not extracted."""
        found = self.members.fullmatch(name)
        return PurePosixPath(found[1]) if found else None


@dataclass(frozen=True)
class Source:
    """What a dataset is fetched as.

    Attributes:
        version: remembered beside the data, which is fetched anew when this changes.
        archives: the archives; together they are the dataset.
        log_in: names of archives -> their origins, for archives that have none of their own.
    """

    version: str
    archives: tuple[Archive, ...]
    log_in: Callable[[Collection[str]], Mapping[str, Origin]] | None = None


def fetch(source: Source, folder: Path, terms: Mapping[str, str], manual_instructions: str) -> None:
    """Fetch a dataset into `folder`, unless it was fetched before; the folder appears whole or not at all.

    Args:
        source: where from.
        folder: where to; the archives lie beside it meanwhile, and what has arrived of them survives a failure.
        terms: licence and citation, which are printed and stored beside the data.
        manual_instructions: what to do without a network, for error messages.

    Raises:
        PaumerError: there is no network, login or room, an archive is not what it should be, or the folder holds
            something else.
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
    """Where a fetched dataset came from; None for one that was not fetched."""
    path = folder / SOURCE_FILE
    return read_json(path) if path.exists() else None


def digest(folder: Path) -> str:
    """SHA-256 over name and content of all files of a folder, sorted by name."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def _download(source: Source, paths: Mapping[str, Path], manual_instructions: str) -> None:
    """Bring the archives that are not there; with all of them there, no network and no login is needed."""
    missing = {archive.name: archive.origin for archive in source.archives if not paths[archive.name].exists()}
    unknown = [name for name, origin in missing.items() if origin is None]
    known = source.log_in(unknown) if source.log_in and unknown else {}
    origins = {name: origin or known[name] for name, origin in missing.items()}
    # Each is written twice: as an archive, and unpacked.
    needed = sum(max(0, 2 * origin.size - arrived(paths[name])) for name, origin in origins.items())
    require_space(next(iter(paths.values())).parent, needed)
    for name, origin in origins.items():
        print(f"fetching {origin.url}", flush=True)
        download(origin.url, paths[name], manual_instructions, origin.checksums, origin.opener)


def _install(archive: Archive, path: Path, folder: Path, manual_instructions: str) -> dict[str, str]:
    """Unpack an archive into the dataset's folder and check what it held; tell which archive it was."""
    try:
        with opened_zip(path) as content:
            comment = content.comment.decode(errors="replace")
            if archive.commit not in (None, comment):
                raise InvalidArchiveError(f"the archive is of commit {comment[:40]!r}, not {archive.commit}")
            total = max(LARGEST_TOTAL, LARGEST_FACTOR * path.stat().st_size)
            unpack(content, folder, archive.member_path, LARGEST_FILE, total)
        _check(archive, folder)
    except InvalidArchiveError as error:
        path.unlink()
        raise PaumerError(f"{path}: {error}; run again to fetch it anew, or {manual_instructions}") from None
    return {"name": archive.name, "sha256": checksum(path)}


def _check(archive: Archive, folder: Path) -> None:
    """Compare the number of files, and contents where they are known."""
    for pattern, expected in archive.files.items():
        found = len(list(folder.glob(pattern)))
        if found != expected:
            raise InvalidArchiveError(f"the archive holds {found} files for {pattern}, not {expected}")
    for name, known in archive.digests.items():
        if digest(folder / name) != known:
            raise InvalidArchiveError(f"the files of {name} in the archive are not the known ones")
