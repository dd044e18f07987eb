"""How deep and how large a record of a file may be: what somebody sent must not take all memory.

Both are seen in the bytes, before a parser makes objects of them. A parser keeps something for each level that it is in
(ijson the whole path, the standard library a call on the stack), and ten to twenty times a record's bytes as objects.
"""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import IO, Any

import numpy as np

from ec_agent.errors import LogprobsError

MAX_DEPTH = 200
MOST_DEPTH = 500
"""Deeper than this Python's own parser may fail, whatever is asked for."""

MAX_RECORD = 256 << 20
MAX_RATIO = 200
"""A packed record is no log beyond this: of logprobs, which are mostly digits, a tenth remains at best."""

_SMALL = 16 << 20
_MEGABYTE = 1 << 20
_PIECE = 1 << 16

_MARKS = b'"[]{}'
_OTHERS = bytes(set(range(256)) - set(_MARKS))
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1


class BoundError(LogprobsError):
    """A record is too deep or too large."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a record may be.

    Attributes:
        depth: so many levels of arrays and objects within each other.
        record: bytes, unpacked; ``None`` for ``MAX_RECORD``, and of a packed file also ``MAX_RATIO`` times its packed
            size where that is more than 16 MB.
    """

    depth: int = MAX_DEPTH
    record: int | None = None

    @property
    def most(self) -> int:
        """The most bytes of a record."""
        return MAX_RECORD if self.record is None else self.record

    def check_size(self, size: int, packed: int | None = None) -> None:
        """See that a record of so many bytes may be read.

        Args:
            size: in bytes; of a packed one when unpacked.
            packed: its bytes in the file; ``None`` where it is not packed.

        Raises:
            BoundError: it may not.
        """
        most = self.most
        if packed is not None and self.record is None:
            most = min(most, max(_SMALL, MAX_RATIO * packed))
        if size > most:
            unpacked = "" if packed is None else f", {size:,} bytes packed into {packed:,}"
            raise BoundError(
                f"is a record of more than {most // _MEGABYTE:,} MB{unpacked}; a larger --max-record reads it, if you "
                "trust the file and have ten times as much memory"
            )

    def check_depth(self, depth: int) -> None:
        """See that JSON of that depth may be read.

        Raises:
            BoundError: it may not.
        """
        if depth > self.depth:
            raise BoundError(
                f"nests more than {self.depth} levels deep, which no log of a model does; --max-depth allows up to "
                f"{MOST_DEPTH}"
            )

    def parsed(self, text: str | bytes) -> Any:
        """The value of JSON text.

        Raises:
            BoundError: it is too large or too deep.
            ValueError: it is no JSON.
        """
        raw = text.encode(errors="replace") if isinstance(text, str) else text
        self.check_size(len(raw))
        if raw.count(b"[") + raw.count(b"{") > self.depth:
            depth = Depth()
            for start in range(0, len(raw), _PIECE):
                self.check_depth(depth.within(raw[start : start + _PIECE]))
        return json.loads(text)


@dataclass(slots=True)
class Depth:
    """How deep JSON text nests, given in pieces. Its memory does not grow with the depth.

    Attributes:
        now: the level after what was given.
        inside: whether that is inside a string.
        rest: a backslash at its end, that belongs to what follows.
    """

    now: int = 0
    inside: bool = False
    rest: bytes = b""

    def within(self, piece: bytes) -> int:
        """The deepest level in the next piece."""
        piece = self.rest + piece
        self.rest = b"\\" if (len(piece) - len(piece.rstrip(b"\\"))) % 2 else b""
        piece = piece[: len(piece) - len(self.rest)]
        if b"\\" in piece:  # what one stands before is no mark; outside of strings there is none in JSON
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        # Two quotes side by side have no bracket between them, and what follows is inside or outside as before.
        marks = np.frombuffer(piece.translate(None, _OTHERS).replace(b'""', b""), np.uint8)
        if not len(marks):
            return self.now
        steps = _STEPS[marks]
        quotes = marks == ord('"')
        if self.inside or quotes.any():
            inside = np.logical_xor.accumulate(quotes) ^ self.inside
            steps[inside] = 0
            self.inside = bool(inside[-1])
        levels = self.now + np.cumsum(steps, dtype=np.int64)
        before, self.now = self.now, int(levels[-1])
        return max(before, int(levels.max()))


class BoundedFile:
    """A file of JSON that a parser reads in pieces, and that stops at what is too deep or too large.

    Args:
        file: its bytes.
        bounds: what a record may be.
    """

    def __init__(self, file: IO[bytes], bounds: Bounds) -> None:
        self._file, self._bounds = file, bounds
        self._depth, self._read = Depth(), 0

    def begin_record(self) -> None:
        """What is read from now on is of the next record."""
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes. What stands before the first level that is too deep is given before the error.

        Raises:
            BoundError: the record that they are of is too deep or too large.
        """
        piece = self._file.read(size)
        self._read += len(piece)
        self._bounds.check_size(self._read)
        before = replace(self._depth)
        if (depth := self._depth.within(piece)) <= self._bounds.depth:
            return piece
        fits = bisect(range(1, len(piece) + 1), self._bounds.depth, key=lambda end: replace(before).within(piece[:end]))
        if not fits:
            self._bounds.check_depth(depth)
        self._file = BytesIO(piece[fits:])  # the error comes with the next bytes
        self._depth = before
        before.within(piece[:fits])
        return piece[:fits]


def bounded_lines(
    file: IO[bytes], bounds: Bounds, too_large: Callable[[int, BoundError], None]
) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers from 1; those that are too large are reported and skipped."""
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
