"""How deep and how large a record of a file may be: what somebody sent must not take all memory.

Both are seen in the bytes, before a parser makes objects of them. A parser keeps something for each level that it is
in, and ten to twenty times a record's bytes as objects.
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
"""Deeper than this Python's own parser may fail, whatever is asked for."""

MAX_RECORD = 256 << 20
MAX_RATIO = 200
"""A packed record is no log beyond this: of logprobs, which are mostly digits, a tenth remains at best."""

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
        self.check_text(text.encode(errors="replace") if isinstance(text, str) else text)
        return json.loads(text)

    def check_text(self, raw: bytes) -> None:
        """See that JSON text may be parsed.

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
    """How deep JSON text nests, given in pieces. Its memory does not grow with the depth.

    Attributes:
        now: the level after what was given.
        inside: whether that is inside a string.
        escaped: whether a backslash at its end belongs to what follows.
    """

    now: int = 0
    inside: bool = False
    escaped: bool = False

    def marks(self, piece: bytes) -> tuple[NDArray[np.intp], NDArray[np.uint8], NDArray[np.int64]]:
        """The brackets and commas outside of strings in the next piece: their places, what they are, the levels there.

        The level of a bracket is that after it.
        """
        if self.escaped and piece:
            piece = b" " + piece[1:]
        if b"\\" in piece:  # what one stands before is no mark; outside of strings there is none in JSON
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
        """The deepest level in the next piece."""
        before = self.now
        levels = self.marks(piece)[2]
        return max(before, int(levels.max())) if len(levels) else before


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
