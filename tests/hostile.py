"""Files that mean harm or are exotic, and how they are refused."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paumer.system.errors import PaumerError


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The one printable line by which a call refuses its input."""
    with pytest.raises(PaumerError) as caught:
        call(*arguments, **options)
    line = str(caught.value)
    assert line.isprintable()
    return line


def files(folder: Path) -> set[str]:
    """The names of all that lies below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def png_that_declares(width: int, height: int) -> bytes:
    """A PNG of a few bytes that declares any size."""
    return _png(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), bytes(1000))


def grey_png(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits a pixel, which Pillow does not write; a row must fill whole bytes."""
    spread = (values[..., None] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(spread.reshape(len(values), -1).astype(np.uint8), axis=1)
    header = struct.pack(">IIBBBBB", values.shape[1], len(values), bits, 0, 0, 0, 0)
    return _png(header, b"".join(b"\x00" + row.tobytes() for row in rows))


def _png(header: bytes, pixels: bytes) -> bytes:
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(pixels), b"IEND": b""}
    written = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks.items()
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


def saved(image: Any, form: str, **options: Any) -> bytes:
    """A Pillow image as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def no_plain_files(path: Path) -> dict[str, Callable[[], None]]:
    """What may stand in the place of a file: how to put it at `path`."""
    return {
        "a folder": path.mkdir,
        "a pipe": lambda: os.mkfifo(path),
        "a link to nothing": lambda: path.symlink_to("nowhere"),
        "a link to itself": lambda: path.symlink_to(path.name),
        "an empty file": path.touch,
    }


NO_PLAIN_FILES = ("a folder", "a pipe", "a link to nothing", "a link to itself", "an empty file")
