"""Chosen files out of a zip archive that is not trusted."""

import re
import shutil
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from paumer.data.space import require_space
from paumer.errors import summary
from paumer.files import require_plain
from paumer.progress import progress

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class UnfitArchiveError(Exception):
    """What is wrong with an archive, in one line; who fetched it knows what to do about it."""


@contextmanager
def opened_zip(archive: Path) -> Iterator[ZipFile]:
    """Open a zip archive.

    Raises:
        UnfitArchiveError: it is none, or proves to be broken while it is read.
    """
    try:
        with _damage():
            require_plain(archive)
            opened = ZipFile(archive)
        with opened:
            yield opened
    except (BadZipFile, EOFError, NotImplementedError, UnicodeDecodeError, zlib.error) as error:
        raise UnfitArchiveError(f"this is no sound zip archive ({summary(error)})") from None


def unpack(
    content: ZipFile, folder: Path, place: Callable[[str], PurePosixPath | None], largest: int, total: int
) -> None:
    """Write chosen members of an archive into a folder. Contents are checked by the checksums in the archive.

    Args:
        content: the archive.
        folder: where to write.
        place: the name of a member -> where to write it below `folder`, in plain names; None to leave it out.
        largest: bytes that one member may have.
        total: bytes that all chosen members may have together.

    Raises:
        UnfitArchiveError: a chosen member is no plain file, is too large, or has no place of its own in `folder`.
        PaumerError: the disk has no room for them.
    """
    chosen = [(member, target) for member in content.infolist() if (target := place(member.filename))]
    _check(chosen, largest, total)
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


def _check(chosen: list[tuple[ZipInfo, PurePosixPath]], largest: int, total: int) -> None:
    """Refuse an archive before anything of it is written."""
    taken = set()
    for member, target in chosen:
        name = ascii(member.filename)
        if not _is_plain_file(member):
            raise UnfitArchiveError(f"{name} in the archive is no plain file")
        if target in taken or not all(PLAIN_NAME.fullmatch(part) for part in target.parts):
            raise UnfitArchiveError(f"{name} in the archive has no place of its own at {str(target)!a}")
        if member.file_size > largest:
            raise UnfitArchiveError(f"{name} in the archive has {member.file_size} bytes, more than {largest}")
        taken.add(target)
    size = sum(member.file_size for member, _ in chosen)
    if size > total:
        raise UnfitArchiveError(f"the archive holds {size} bytes, more than {total}")


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
