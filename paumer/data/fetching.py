"""Datasets that are fetched as one archive of a public repository: what it must hold, and fetching it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from paumer.data.download import download, sha256_of
from paumer.data.unpacking import UnfitArchiveError, opened_zip, unpack
from paumer.errors import PaumerError, summary
from paumer.files import read_json, write_json, writing_folder

SOURCE_FILE = "source.json"
LARGEST_FILE = 8 * 2**20
LARGEST_TOTAL = 2 * 2**30


@dataclass(frozen=True)
class Source:
    """An archive that `git archive` wrote, as GitHub offers it, and what is known of it.

    Attributes:
        url: where the zip archive is.
        commit: the commit it must be of; `git archive` writes that into the archive's comment.
        place: the name of a member -> where it lies in the dataset's folder; None for what is not of the dataset.
        files: folder of the dataset -> how many files it must hold.
        digests: folder -> what `digest` must give for it, where that is known.
    """

    url: str
    commit: str
    place: Callable[[str], PurePosixPath | None]
    files: Mapping[str, int]
    digests: Mapping[str, str]


def fetch(source: Source, folder: Path, terms: Mapping[str, str], by_hand: str) -> None:
    """Fetch a dataset into `folder`, unless it was fetched before; the folder appears whole or not at all.

    Args:
        source: where from.
        folder: where to; the archive lies beside it meanwhile.
        terms: licence and citation, which are printed and stored beside the data.
        by_hand: what to do without a network, for error messages.

    Raises:
        PaumerError: there is no network, the archive is not what it should be, or the folder holds something else.
    """
    described = read_source(folder)
    if described is not None and described.get("commit") == source.commit:
        return
    if described is None and folder.exists() and any(folder.iterdir()):
        raise PaumerError(
            f"{folder}: holds files that were not fetched; remove them, or name this folder in data.folder"
        )
    print(f"fetching {source.url}", *(f"{name}: {text}" for name, text in terms.items()), sep="\n", flush=True)
    archive = folder.with_name(f"{folder.name}.zip")
    download(source.url, archive, by_hand)
    try:
        _install(source, archive, folder, terms)
    except UnfitArchiveError as error:
        archive.unlink()
        raise PaumerError(f"{source.url}: {error}; run again to fetch it anew, or {by_hand}") from None
    except OSError as error:
        raise PaumerError(f"{folder}: cannot be written ({summary(error)}); mend that and run again") from None
    archive.unlink()


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


def _install(source: Source, archive: Path, folder: Path, terms: Mapping[str, str]) -> None:
    """Unpack an archive into the dataset's folder and check what it holds."""
    with opened_zip(archive) as content, writing_folder(folder) as temporary:
        comment = content.comment.decode(errors="replace")
        if comment != source.commit:
            raise UnfitArchiveError(f"the archive is of commit {comment[:40]!r}, not {source.commit}")
        unpack(content, temporary, source.place, LARGEST_FILE, LARGEST_TOTAL)
        _check(source, temporary)
        described = {"url": source.url, "commit": source.commit, "sha256": sha256_of(archive)}
        write_json(temporary / SOURCE_FILE, {**described, **terms})


def _check(source: Source, folder: Path) -> None:
    """Compare the number of files, and contents where they are known."""
    for name, expected in source.files.items():
        found = len(list((folder / name).glob("*")))
        if found != expected:
            raise UnfitArchiveError(f"the archive holds {found} files for {name}, not {expected}")
    for name, known in source.digests.items():
        if digest(folder / name) != known:
            raise UnfitArchiveError(f"the files of {name} in the archive are not the known ones")
