"""Unpacks ``.gz`` files into a temporary file, so that the readers see what is in them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

from ec_agent.logs.bounds import MAX_RATIO

MAGIC = b"\x1f\x8b"
_PIECE = 1 << 18
_SMALL = 16 << 20
_DAMAGED = (OSError, EOFError, zlib.error)  # the first covers gzip.BadGzipFile


def is_packed(path: Path) -> bool:
    """Tell whether a file is packed with gzip, from its first bytes."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def unpack(path: Path, to: Path, advance: Callable[[int], None]) -> str | None:
    """Unpack a file.

    Args:
        path: the packed file.
        to: the file to write.
        advance: function that is called with the number of bytes of the packed file each time some were read.

    Returns:
        ``None``, or what is wrong with the file. What could be unpacked before that place is in ``to``.
    """
    most = max(_SMALL, MAX_RATIO * path.stat().st_size)
    size = told = 0
    with path.open("rb") as packed, gzip.GzipFile(fileobj=packed) as unpacked, to.open("wb") as copy:
        while True:
            try:
                piece = unpacked.read1(_PIECE)
            except _DAMAGED as error:
                return f"is damaged or cut off ({error}), and what comes after this place cannot be read; pack it again"
            if not piece:
                return None
            size += len(piece)
            if size > most:
                return (
                    f"unpacks to more than {MAX_RATIO} times its size, which no log does; if you trust it, unpack it "
                    "with gunzip first"
                )
            copy.write(piece)
            advance(packed.tell() - told)
            told = packed.tell()
