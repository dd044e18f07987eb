"""Limits for the depth and the size of a record, so that a hostile or damaged file cannot fill the memory.

Both are checked in the bytes, before the parser makes objects of them. The objects take ten to twenty times as much
memory as the bytes, and the parser needs memory for each level of nesting.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ec_agent.errors import LogprobsError

MAX_DEPTH = 200
MOST_DEPTH = 500
"""The highest limit that a user can set. Python's parser may fail for deeper JSON."""

MAX_RECORD = 256 << 20
MAX_RATIO = 200
"""How many times larger a record may get by unpacking. Logprobs are mostly digits, which can be packed to a tenth, so a
record that grows more than this is not a log."""

_SMALL = 16 << 20
_MEGABYTE = 1 << 20
_PIECE = 1 << 16

_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1
_IS_MARK = np.zeros(256, np.bool_)
_IS_MARK[list(b'"[]{},')] = True


class BoundError(LogprobsError):
    """A record is too deep or too large."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits for a record.

    Attributes:
        depth: how many levels of arrays and objects may be nested.
        record: largest size in bytes, after unpacking. ``None`` means ``MAX_RECORD``. A packed record must then also
            not exceed ``MAX_RATIO`` times its packed size, unless it is smaller than 16 MB.
    """

    depth: int = MAX_DEPTH
    record: int | None = None

    @property
    def most(self) -> int:
        """Largest size of a record, in bytes."""
        return MAX_RECORD if self.record is None else self.record

    def check_size(self, size: int, packed: int | None = None) -> None:
        """Check that a record of this size may be read.

        Args:
            size: its size in bytes, after unpacking.
            packed: its size in bytes in the file, or ``None`` if it is not packed.

        Raises:
            BoundError: it is too large.
        """
        most = self.most
        if packed is not None and self.record is None:
            most = min(most, max(_SMALL, MAX_RATIO * packed))
        if size > most:
            unpacked = "" if packed is None else f", {size:,} bytes packed into {packed:,}"
            raise BoundError(
                f"is a record of more than {most // _MEGABYTE:,} MB{unpacked}; if you trust the file and have ten "
                "times as much memory, give a larger --max-record"
            )

    def check_depth(self, depth: int) -> None:
        """Check that JSON of this depth may be read.

        Raises:
            BoundError: it is too deep.
        """
        if depth > self.depth:
            raise BoundError(
                f"nests more than {self.depth} levels deep, which no log of a model does; --max-depth allows up to "
                f"{MOST_DEPTH}"
            )

    def parsed(self, text: str | bytes) -> Any:
        """Return the value of JSON text.

        Raises:
            BoundError: it is too large or too deep.
            ValueError: it is not JSON.
        """
        self.check_text(text.encode(errors="replace") if isinstance(text, str) else text)
        return json.loads(text)

    def check_text(self, raw: bytes) -> None:
        """Check that JSON text is neither too large nor too deep.

        Raises:
            BoundError: it is too large or too deep.
        """
        self.check_size(len(raw))
        if raw.count(b"[") + raw.count(b"{") > self.depth:
            depth = Depth()
            for start in range(0, len(raw), _PIECE):
                self.check_depth(depth.within(raw[start : start + _PIECE]))


@dataclass(slots=True)
class Depth:
    """Follows the nesting of JSON text that comes in pieces. Its memory does not grow with the depth.

    Attributes:
        now: the level of nesting after the pieces so far.
        inside: whether the pieces so far end inside a string.
        escaped: whether they end with a backslash that belongs to the next character.
    """

    now: int = 0
    inside: bool = False
    escaped: bool = False

    def marks(self, piece: bytes) -> tuple[NDArray[np.intp], NDArray[np.uint8], NDArray[np.int64]]:
        """Find the brackets and commas outside of strings in the next piece.

        Returns:
            Three arrays with one entry for each: its index in the piece, the byte itself, and the level after it.
        """
        if self.escaped and piece:
            piece = b" " + piece[1:]
        if b"\\" in piece:  # escaped quotes do not end a string, so they are replaced by spaces
            piece = piece.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
        if piece:
            self.escaped = piece.endswith(b"\\")
        text = np.frombuffer(piece, np.uint8)
        places = np.flatnonzero(_IS_MARK[text])
        kinds = text[places]
        quotes = kinds == ord('"')
        inside = np.logical_xor.accumulate(quotes) ^ self.inside
        if len(inside):
            self.inside = bool(inside[-1])
        outside = ~(inside | quotes)
        places, kinds = places[outside], kinds[outside]
        levels = self.now + np.cumsum(_STEPS[kinds], dtype=np.int64)
        if len(levels):
            self.now = int(levels[-1])
        return places, kinds, levels

    def within(self, piece: bytes) -> int:
        """Return the deepest level in the next piece."""
        before = self.now
        levels = self.marks(piece)[2]
        return max(before, int(levels.max())) if len(levels) else before


def bounded_lines(
    file: IO[bytes], bounds: Bounds, too_large: Callable[[int, BoundError], None]
) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers from 1. Lines that are too large are reported and skipped.

    Args:
        file: the open file.
        bounds: the limits.
        too_large: called with the number of a line that is too large, and with the error.
    """
    number = 0
    while line := file.readline(bounds.most + 1):
        number += 1
        size = len(line)
        if size <= bounds.most:
            yield number, line
            continue
        while not line.endswith(b"\n") and (line := file.readline(_MEGABYTE)):
            size += len(line)
        try:
            bounds.check_size(size)
        except BoundError as error:
            too_large(number, error)
