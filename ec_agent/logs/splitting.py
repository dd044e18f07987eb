"""Splits JSON documents of any size without parsing them as a whole: the elements of an array, the keys of an object.

Each element is then parsed separately, like a line of JSONL. So a damaged element does not affect the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ec_agent.logs.bounds import BoundError, Bounds, Depth

_PIECE = 1 << 16
_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:', re.DOTALL)
_LONGEST_KEY = 1 << 16
_BLANK = b" \t\r\n"
_CLOSING, _COMMA = frozenset(b"]}"), ord(",")


@dataclass(frozen=True, slots=True)
class Ending:
    """What follows the last complete element of an array.

    Attributes:
        cut: whether the file ends before the array does.
        rest: the first bytes after the array, if the array is the whole document.
    """

    cut: bool
    rest: bytes = b""


def elements_of(file: IO[bytes], bounds: Bounds, key: str | None = None) -> Iterator[bytes | BoundError | Ending]:
    """Yield the text of each element of an array, and at the end an ``Ending``.

    In place of an element that is too deep or too large, the error is yielded.

    Args:
        file: a file with one JSON document.
        bounds: limits for an element.
        key: the key of the document whose value is the array. ``None`` if the document itself is the array.
    """
    held = _HeldValue(bounds, 1 if key is None else 2)
    for text, kind, level in _stretches(file, held):
        if not held.inside:
            held.prefix += text[: _LONGEST_KEY - len(held.prefix)]
            if level == held.level and kind == ord("[") and held.names(key):
                held.inside = True
            if kind is not None and level <= 1:
                held.prefix.clear()
            continue
        held.take(text)
        if kind is None:
            continue
        if kind == _COMMA or held.error or held.text.strip(_BLANK):
            yield held.taken()
        if kind in _CLOSING:
            yield Ending(cut=False, rest=_next_bytes(file, held.unread) if key is None else b"")
            return
    yield held.error or Ending(cut=held.inside or held.depth.now != 0)


def keys_of(file: IO[bytes], bounds: Bounds) -> Iterator[str]:
    """Yield the keys of the first object: the document, its first line, or the first element of an array."""
    start = file.read(_PIECE)
    stripped = start.lstrip(_BLANK)
    nested = stripped[:1] == b"[" and stripped[1:].lstrip(_BLANK)[:1] == b"{"
    if not nested and stripped[:1] != b"{":
        return
    held = _HeldValue(bounds, 2 if nested else 1)
    prefix, named = bytearray(), True
    for text, kind, level in _stretches(file, held, start):
        if level > bounds.depth:
            return
        if not named:
            prefix += text[: _LONGEST_KEY - len(prefix)]
            if found := _KEY.match(prefix):
                named = True
                yield _text(found[1])
        if kind in _CLOSING and level < held.level:
            return
        if level == held.level and (kind == _COMMA or kind == ord("{")):
            prefix.clear()
            named = False


@dataclass(slots=True)
class _HeldValue:
    """The state of splitting an array. A *stretch* is a piece of text up to the next bracket or comma that matters.

    Attributes:
        bounds: limits for an element.
        level: level of nesting inside the array (or inside the object whose keys are read).
        inside: whether the array has begun.
        prefix: the text before the array since the last comma, which holds its key.
        text: the text of the current element so far.
        error: the error if the current element is too deep or too large. Its text is not kept then.
        unread: bytes that were read from the file after the last stretch.
        deepest: how many levels deep the last stretch goes within the element.
        depth: the nesting of all bytes so far.
    """

    bounds: Bounds
    level: int
    inside: bool = False
    prefix: bytearray = field(default_factory=bytearray)
    text: bytearray = field(default_factory=bytearray)
    error: BoundError | None = None
    unread: bytes = b""
    deepest: int = 0
    depth: Depth = field(default_factory=Depth)

    def names(self, key: str | None) -> bool:
        """Tell whether the array that begins here is the value of ``key``."""
        if key is None:
            return True
        found = _KEY.match(self.prefix)
        return found is not None and _text(found[1]) == key

    def take(self, text: bytes) -> None:
        """Add the next stretch to the current element."""
        if self.error is not None:
            return
        self.text += text
        try:
            self.bounds.check_depth(self.deepest)
            self.bounds.check_size(len(self.text))
        except BoundError as error:
            self.error = error
            self.text.clear()

    def taken(self) -> bytes | BoundError:
        """Return the complete element, or its error, and begin the next one."""
        whole = self.error or bytes(self.text)
        self.text, self.error = bytearray(), None
        return whole


def _stretches(file: IO[bytes], held: _HeldValue, start: bytes = b"") -> Iterator[tuple[bytes, int | None, int]]:
    """Yield the file in stretches: the bytes, the bracket or comma that ends them, and the level after it.

    Brackets and commas inside an element do not end a stretch. At the end of the bytes that were read at once, a
    stretch ends without a bracket or comma (``None``). ``held.deepest`` and ``held.unread`` are set for each stretch.
    """
    while piece := start or file.read(_PIECE):
        start = b""
        places, kinds, levels = held.depth.marks(piece)
        ends_element = (levels == held.level) & ((kinds == ord("]")) | (kinds == ord("}")))
        matters = np.flatnonzero((levels <= held.level) & ~ends_element)
        begin = first = 0
        for mark in matters.tolist():
            end = int(places[mark])
            held.deepest = _deepest(levels[first:mark], held.level)
            held.unread = piece[end + 1 :]
            yield piece[begin:end], int(kinds[mark]), int(levels[mark])
            begin, first = end + 1, mark + 1
        held.deepest = _deepest(levels[first:], held.level)
        held.unread = b""
        yield piece[begin:], None, held.depth.now


def _deepest(levels: NDArray[np.int64], level: int) -> int:
    return int(levels.max()) - level if len(levels) else 0


def _next_bytes(file: IO[bytes], unread: bytes) -> bytes:
    """Return the next bytes of the file, from the first one that is not white space."""
    while not unread.strip(_BLANK) and (piece := file.read(_PIECE)):
        unread = piece
    return unread.strip(_BLANK)[:_LONGEST_KEY]


def _text(key: bytes) -> str:
    try:
        return str(json.loads(key))
    except ValueError:
        return key.decode(errors="replace")
