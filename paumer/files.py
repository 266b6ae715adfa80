"""Writing files whole or not at all, and reading them with errors for people."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from paumer.errors import PaumerError, summary

LEFTOVERS = ".*.part*"  # the names of what is being written, which a kill leaves behind
IN_WRITING = re.compile(r"/\.([^/]+)\.\w+\.part\b")
REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room within your quota",
    errno.EROFS: "make it writable, or write elsewhere",
    errno.EACCES: "allow writing there, or write elsewhere",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say what a full disk, a quota or a missing permission prevented.

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
    """Give a temporary name beside `path`; rename it to `path` when the block ends well, remove it otherwise.

    Raises:
        PaumerError: it cannot be written.
    """
    # The ending stays last: image and plot writers choose their format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`; it takes the place of `path` when the block ends well.

    Raises:
        PaumerError: it cannot be written.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        PaumerError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PaumerError(f"{path}: no such file; run the stage that writes it first") from None
    except (OSError, ValueError) as error:
        raise PaumerError(f"{path}: not readable as JSON ({error}); remove it and run its stage again") from None


def read_yaml(text_or_path: str) -> tuple[Any, str]:
    """Read settings from YAML text that holds a mapping, or from the file of that name.

    Returns:
        The content, and a name for it in error messages.

    Raises:
        PaumerError: the file is missing, or the text is not YAML.
    """
    inline = text_or_path.lstrip().startswith("{")
    origin = "settings" if inline else text_or_path
    try:
        text = text_or_path if inline else Path(text_or_path).read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except OSError as error:
        raise PaumerError(f"{text_or_path}: {error.strerror or error}; name a YAML file with settings") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise PaumerError(f"{origin}: not valid YAML ({problem}); mend it") from None
    if not isinstance(content, dict):
        raise PaumerError(f"{origin}: must hold keys and values, not {type(content).__name__}")
    return content, origin
