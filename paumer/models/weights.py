"""Files of tensors that are not trusted: reading one runs none of it, and takes no more memory than its size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import torch
from safetensors.torch import load_file
from torch import Tensor

from paumer.files import require_fetched, require_plain

LARGEST_FACTOR = 20  # trained weights hardly shrink; what unpacks to more is a bomb
SMALL = 64 * 2**20  # bytes that are no matter, such as those of a small network that starts at zeros


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; its header is compared with its size before anything is read.

    Raises:
        OSError, SafetensorError: the file is missing or damaged.
        PaumerError: it was never fetched.
    """
    require_plain(path)
    require_fetched(path)
    return load_file(path)


def read_tensors(path: Path) -> Any:
    """Read what `torch.save` wrote of tensors, numbers, text, and lists and mappings of these; refuse all else.

    Raises:
        Exception: of many kinds; the file is missing, damaged or unsafe.
    """
    refuse_bomb(path)
    return torch.load(path, weights_only=True, map_location="cpu")


def refuse_bomb(path: Path) -> None:
    """Refuse an archive (of torch, or of NumPy arrays) that unpacks to far more than it has bytes.

    Raises:
        OSError, BadZipFile: the file is missing, or no sound archive.
        ValueError: it is a bomb.
        PaumerError: it was never fetched.
    """
    require_plain(path)
    require_fetched(path)
    if not is_zipfile(path):
        return
    with ZipFile(path) as archive:
        size = sum(member.file_size for member in archive.infolist())
    if size > max(SMALL, LARGEST_FACTOR * path.stat().st_size):
        raise ValueError(f"it unpacks to {size} bytes")


def require_weights(weights: Mapping[str, Any]) -> None:
    """Refuse what are no weights: numbers that are not real, and tensors that repeat few values many times.

    Raises:
        ValueError: one is.
    """
    for name, value in weights.items():
        if isinstance(value, Mapping):  # some publish several networks in one file
            require_weights(value)
        elif isinstance(value, Tensor) and not value.is_floating_point():
            raise ValueError(f"{name} is {value.dtype}, no weights")
        elif isinstance(value, Tensor) and value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"{name} claims more values than the file holds")
