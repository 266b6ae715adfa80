"""Disks: whether there is room for what is about to be written, and what to say when writing fails."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from paumer.errors import PaumerError, summary


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


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say what a full disk, a quota or a missing permission prevented.

    Raises:
        PaumerError: the block raised OSError.
    """
    try:
        yield
    except OSError as error:
        raise PaumerError(f"{path}: cannot be written ({summary(error)}); mend that and run again") from None
