"""Disks: whether there is room for what is about to be written."""

import shutil
from pathlib import Path

from tqdm import tqdm

from paumer.errors import PaumerError


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
