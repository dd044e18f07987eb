"""JSON documents of any size, taken apart in their bytes: the elements of an array, the keys of an object.

What is taken out is parsed on its own, as a line of JSONL is: ``NaN`` and ``Infinity`` are read, and what is no JSON
costs that one element.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np
from numpy.typing import NDArray

from ec_agent.traces.foreign.bounds import BoundError, Bounds, Depth

_PIECE = 1 << 16
_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:', re.DOTALL)
_LONGEST_KEY = 1 << 16
_BLANK = b" \t\r\n"
_CLOSING, _COMMA = frozenset(b"]}"), ord(",")


@dataclass(frozen=True, slots=True)
class Ending:
    """What stands after the last whole element of an array.

    Attributes:
        cut: the file ends before the array does.
        rest: the beginning of what follows the array where that is the document.
    """

    cut: bool
    rest: bytes = b""


def elements_of(file: IO[bytes], bounds: Bounds, key: str | None = None) -> Iterator[bytes | BoundError | Ending]:
    """The texts of an array's elements, each an error in its place where it is too deep or too large; last the ending.

    Args:
        file: one JSON document.
        bounds: what an element may be.
        key: the array is the value of this key of the document; ``None`` where it is the document.
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
    """The keys of the first object, be it the document, its first line, or the first element of an array."""
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
    """What is being looked at.

    Attributes:
        bounds: what an element may be.
        level: that inside of the array, or of the object.
        inside: whether the array has begun.
        prefix: what stands before it, since the last comma.
        text: the element, so far.
        error: what is wrong with it; its text is not kept then.
        unread: what was read from the file beyond the last stretch.
        deepest: how many levels within the element the last stretch reaches.
        depth: of all that was read.
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
        """Whether what begins here is what is looked for."""
        if key is None:
            return True
        found = _KEY.match(self.prefix)
        return found is not None and _text(found[1]) == key

    def take(self, text: bytes) -> None:
        """The next stretch of the element."""
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
        """The element as a whole; the next begins."""
        whole = self.error or bytes(self.text)
        self.text, self.error = bytearray(), None
        return whole


def _stretches(file: IO[bytes], held: _HeldValue, start: bytes = b"") -> Iterator[tuple[bytes, int | None, int]]:
    """The bytes up to each mark that matters, with that mark and the level there; ``None`` at the end of a piece.

    What matters are brackets that open a level up to the one held, or leave it, and its commas. How deep each stretch
    goes into an element is told to ``held``.
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
    """What follows, from its first byte that is not blank."""
    while not unread.strip(_BLANK) and (piece := file.read(_PIECE)):
        unread = piece
    return unread.strip(_BLANK)[:_LONGEST_KEY]


def _text(key: bytes) -> str:
    try:
        return str(json.loads(key))
    except ValueError:
        return key.decode(errors="replace")
