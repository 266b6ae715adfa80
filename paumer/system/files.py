"""Write files whole or not at all, and read them with one-line errors; the files of an experiment."""

import codecs
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paumer.system.errors import PaumerError, summary

MANIFEST, WEIGHTS, RUN = "data.json", "model.safetensors", "run.json"
NAME_KEPT = 48  # characters of a name that its temporary file keeps: names must not exceed 255 bytes
LEFTOVERS = ".*.part*"  # names of temporary files, which a killed process leaves behind
IN_WRITING = re.compile(r"/\.([^/]+)\.\w+\.part\b")
LFS, PAGE = "version https://git-lfs.github.com/spec/", re.compile(r"<(!doctype html|!--|html|head|body|\?xml)", re.I)
BEGINNING = 256  # bytes that tell text from other files
REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room within your quota",
    errno.EROFS: "make it writable, or write elsewhere",
    errno.EACCES: "allow writing there, or write elsewhere",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn errors of the disk, such as a full one or a missing permission, into one line.

    Raises:
        PaumerError: the block raised OSError.
    """
    try:
        yield
    except OSError as error:
        problem = f"[Errno {error.errno}] {error.strerror}" if error.strerror else summary(error)
        remedy = REMEDIES.get(error.errno or 0, "mend that")
        shown = IN_WRITING.sub(r"/\1", str(path))
        raise PaumerError(f"{shown}: cannot be written ({problem}); {remedy} and run again") from None


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; rename it to `path` if the block succeeds, remove it otherwise.

    Raises:
        PaumerError: it cannot be written.
    """
    # The ending stays last: image and plot writers choose their format by it.
    temporary = path.with_name(f".{path.stem[-NAME_KEPT:]}.{os.getpid()}.part{path.suffix}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; it replaces `path` if the block succeeds.

    Raises:
        PaumerError: it cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[-NAME_KEPT:]}.", suffix=".part", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def require_writable(path: Path, *endings: str) -> None:
    """Check before long work that a file can be written after it.

    Args:
        path: the future file.
        endings: allowed endings of its name, the usual one first; none: any.

    Raises:
        PaumerError: it is a folder, its name has another ending, or its folder cannot be written to.
    """
    if path.is_dir():
        raise PaumerError(f"{path}: is a folder; name a file, as {path / 'name'}{''.join(endings[:1])}")
    if endings and path.suffix.lower() not in endings:
        known = f"the ending {endings[0]}" if len(endings) == 1 else f"one of the endings {', '.join(endings)}"
        raise PaumerError(f"{path}: name it {path.with_suffix(endings[0]).name}, with {known}")
    require_folder(path.parent)


def require_folder(path: Path) -> None:
    """Check before long work that files can be written to a folder, which need not exist yet.

    Raises:
        PaumerError: it or its parent is a file, or may not be written to.
    """
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir():
        raise PaumerError(f"{there}: is a file; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PaumerError(f"{there}: cannot be written to; {REMEDIES[errno.EACCES]}")


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_bytes(path: Path) -> bytes:
    """Read a file whole.

    Raises:
        OSError: it is missing, may not be read, or is no plain file: opening a pipe would block.
    """
    require_plain(path)
    return path.read_bytes()


def require_plain(path: Path) -> None:
    """Refuse folders, pipes and devices.

    Raises:
        OSError: it is one.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no plain file")


def stamp(path: Path) -> tuple[int, int, int]:
    """Size, and times of modification and of any change in nanoseconds; they differ when the content does.

    Programs may set the time of modification, as copies do, but on POSIX not that of any change.

    Raises:
        OSError: there is no such file.
    """
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def name_below(path: Path, folder: Path) -> str:
    """A path relative to a folder, much faster than `relative_to`."""
    return str(path).removeprefix(f"{folder}{os.sep}")


def hidden(path: Path, folder: Path) -> bool:
    """Whether a path below a folder is hidden, or in a hidden folder: `._a.png`, `.ipynb_checkpoints/a.png`."""
    return f"{os.sep}." in os.sep + name_below(path, folder)


def same_stem(path: Path) -> list[Path]:
    """Files beside a path with its name and any ending, sorted."""
    return sorted(other for other in path.parent.glob(f"{glob.escape(path.stem)}.*") if other.stem == path.stem)


def require_fetched(path: Path) -> None:
    """Refuse a placeholder of a file that was never fetched.

    Raises:
        PaumerError: it is a pointer of Git LFS, or a web page.
        OSError: it cannot be read.
    """
    text = text_at_start(path)
    if text.startswith(LFS):
        raise PaumerError(f"{path}: is a pointer of Git LFS in the place of the file; fetch that by `git lfs pull`")
    if PAGE.match(text):
        raise PaumerError(f"{path}: is a web page in the place of the file; download the file itself")


def text_at_start(path: Path) -> str:
    """The beginning of a file as text in one line; empty for a binary file.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(BEGINNING)
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)  # the last character may be cut
    except UnicodeDecodeError:
        return ""
    words = " ".join(text.split())
    return words if words.isprintable() else ""


def files_below(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """Files below a folder with these endings, sorted, without hidden ones.

    Broken links and pipes are included: reading them is an error, which skipping them would hide.

    Raises:
        PaumerError: a folder in it is a link, which is not followed.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(parent, name) for name in folders):
            if path.is_symlink():
                raise PaumerError(
                    f"{path}: links to a folder, which is not followed; move the folder here, or remove it"
                )
        found += [Path(parent, name) for name in names if name.lower().endswith(endings) and not name.startswith(".")]
    return sorted(found)


def read_json(path: Path, **needed: type) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        needed: required keys, with the types of their values.

    Raises:
        PaumerError: the file is missing, is no JSON object, or lacks a key.
    """
    remedy = "remove it and run its stage again"
    try:
        content = json.loads(read_bytes(path))
    except FileNotFoundError:
        raise PaumerError(f"{path}: no such file; run the stage that writes it first") from None
    except (OSError, ValueError, RecursionError) as error:
        raise PaumerError(f"{path}: not readable as JSON ({summary(error)}); {remedy}") from None
    if not isinstance(content, dict):
        raise PaumerError(f"{path}: must hold keys and values, not {type(content).__name__}; {remedy}")
    for key, kind in needed.items():
        if not isinstance(content.get(key), kind):
            found = f"holds {type(content[key]).__name__} under" if key in content else "has no"
            raise PaumerError(f"{path}: {found} key {key!r}: it is damaged or of another version; {remedy}")
    return content


class ExperimentFiles:
    """Paths of the files of an experiment below its folder `results/EXPERIMENT`; they need not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / MANIFEST
        self.accuracy, self.flops, self.bounds = (folder / f"{name}.csv" for name in ("accuracy", "flops", "bounds"))
        self.throughput, self.rounds = folder / "throughput.csv", folder / "throughput_rounds.csv"
        self.machine = folder / "machine.json"
        self.tables, self.figures = folder / "tables", folder / "figures"
        self.main = self.tables / "main.csv"

    @property
    def runs(self) -> list[Path]:
        """Folders of the finished runs, `runs/BACKBONE/RECIPE/seedK`, sorted by name."""
        return sorted(path.parent for path in self.folder.glob(f"runs/*/*/seed*/{RUN}"))


def experiment_of(path: Path, remedy: str = "name a file of results/EXPERIMENT") -> ExperimentFiles:
    """The experiment whose folder a file is in.

    Raises:
        PaumerError: no folder above the file has a `data.json`; the text ends with `remedy`.
    """
    for folder in path.resolve().parents:
        if (folder / MANIFEST).exists():
            return ExperimentFiles(folder)
    raise PaumerError(f"{path}: no {MANIFEST} in a folder above it; {remedy}")


def sha256(path: Path) -> str:
    """The checksum of a file.

    Raises:
        PaumerError: it is missing.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PaumerError(f"{path}: {error.strerror or error}; run the stage that writes it first") from None


def data_checksums(manifest: Path) -> dict[str, str]:
    """The checksum of every split that a manifest describes."""
    splits = read_json(manifest).get("splits")
    described = splits.items() if isinstance(splits, dict) else ()
    return {name: str(split["sha256"]) for name, split in described if isinstance(split, dict) and "sha256" in split}
