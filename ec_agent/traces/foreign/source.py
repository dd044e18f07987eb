"""Files of any size as streams of JSON values, one in memory at a time."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from ec_agent.errors import LogprobsError
from ec_agent.support.checks import cause_of, file_path
from ec_agent.traces.foreign.bounds import BoundError, Bounds, bounded_lines
from ec_agent.traces.foreign.splitting import Ending, elements_of, keys_of

_FIRST_LINE = 1 << 20  # bytes; who has longer lines is asked for a file name that says so
_BOM = b"\xef\xbb\xbf"
_BLANKS = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_NOT_JSON = (ValueError, RecursionError)  # the first covers bad JSON and bad UTF-8

_NO_PART = (b"event:", b"id:", b"retry:", b":", b"[DONE]")
"""What begins the lines of a saved event stream that hold no part of an answer."""

_VALUES = (b"{", b"[", b"data:")
"""What begins the lines of JSONL."""

Trouble = Callable[[str, str], None]
"""Called with the place of a record that cannot be read, and with what is wrong; it may raise."""


class Remainder(str):
    """What is wrong with all that follows: how many records that is, nobody can tell."""

    __slots__ = ()


class JsonValue(NamedTuple):
    """One JSON value of a file.

    Attributes:
        where: its place, in words.
        value: what it is.
        size: of its text, in bytes.
    """

    where: str
    value: Any
    size: int


def _ignore(_: int) -> None:
    return


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A file to read rollouts from.

    Attributes:
        path: where its bytes are.
        label: what it is called in messages and results.
        advance: called with each number of bytes read on the way.
        bounds: how deep and how large a record may be.
    """

    path: Path
    label: str
    advance: Callable[[int], None] = _ignore
    bounds: Bounds = field(default_factory=Bounds)

    def open(self, *, counted: bool = False) -> IO[bytes]:
        """The bytes, less a mark of their order; reading them counts as progress if so asked."""
        raw = _Counted(self.path, self.advance) if counted else io.FileIO(self.path)
        file = io.BufferedReader(raw, 1 << 16)
        if file.peek(3)[:3] == _BOM:
            file.read(3)
        return file

    def head(self, length: int) -> bytes:
        """The first so many bytes."""
        with self.open() as file:
            return file.read(length)


class _Counted(io.FileIO):
    def __init__(self, path: Path, advance: Callable[[int], None]) -> None:
        super().__init__(path)
        self._advance = advance

    def readinto(self, buffer: Any) -> int:
        read = super().readinto(buffer) or 0
        self._advance(read)
        return read


@contextmanager
def opened(path: Path, advance: Callable[[int], None] = _ignore, bounds: Bounds | None = None) -> Iterator[Source]:
    """The file as a source; ``-`` is standard input, kept on disk meanwhile.

    Args:
        path: the file.
        advance: called with each number of bytes read on the way.
        bounds: how deep and how large a record may be; ``None`` is ``Bounds()``.

    Raises:
        LogprobsError: it cannot be read, or is empty.
    """
    path = file_path("path", path, "a file, or - for standard input")
    with tempfile.TemporaryDirectory(prefix="ec_agent_") if str(path) == "-" else _nowhere() as folder:
        source = Source(path if folder is None else Path(folder) / "stdin", str(path), advance, bounds or Bounds())
        try:
            if folder is not None:
                with source.path.open("wb") as copy:
                    shutil.copyfileobj(sys.stdin.buffer, copy)
            blank = not _begins_with(source)
        except OSError as error:
            hint = "give a file, or - for standard input"
            raise LogprobsError(f"cannot read {path} ({cause_of(error)}); {hint}") from error
        if blank:
            raise LogprobsError(f"{path} is empty; give JSON or JSONL with one rollout per record")
        yield source


@contextmanager
def _nowhere() -> Iterator[None]:
    yield None


def values(source: Source, trouble: Trouble) -> Iterator[JsonValue]:
    """The JSON values of a file: its lines or documents, one after the other, or the objects of one array."""
    layout = _layout(source)
    if layout == "array":
        yield from elements(source, None, trouble)
    elif layout == "lines" or not (yield from _documents(source, trouble)):
        yield from _lines(source, trouble)


def _documents(source: Source, trouble: Trouble) -> Generator[JsonValue, None, bool]:
    """The document of a file, or several; false where not even the first is one: read as lines, its place is told."""
    try:
        source.bounds.check_size(source.path.stat().st_size)
        with source.open(counted=True) as file:
            whole = file.read()
        source.bounds.check_text(whole)
        text = whole.decode(json.detect_encoding(whole), "surrogatepass")  # as json.loads does
        del whole
        value, end = _DECODER.raw_decode(text, _at(text, 0))
    except BoundError as error:
        trouble(source.label, str(error))
        return True
    except _NOT_JSON:
        return False
    several = _at(text, end) < len(text)
    if not several and isinstance(value, list) and value and isinstance(value[0], dict):  # in UTF-16, say
        for number, element in enumerate(value):
            yield JsonValue(f"{source.label}, record {number}", element, end // len(value))
        return True
    number, begin = 0, 0
    while True:
        yield JsonValue(f"{source.label}, document {number}" if several else source.label, value, end - begin)
        number, begin = number + 1, _at(text, end)
        if begin == len(text):
            return True
        try:
            value, end = _DECODER.raw_decode(text, begin)
        except _NOT_JSON as error:
            trouble(f"{source.label}, after {number} documents", Remainder(f"is not JSON ({_brief(error)})"))
            return True


def _at(text: str, place: int) -> int:
    """Where something stands that is not blank."""
    return _BLANKS.match(text, place).end()  # type: ignore[union-attr]  # it matches nothing, too


def _lines(source: Source, trouble: Trouble) -> Iterator[JsonValue]:
    with source.open(counted=True) as file:

        def place(number: int) -> str:
            return f"{source.label}, line {number}"

        for number, line in bounded_lines(file, source.bounds, lambda at, error: trouble(place(at), str(error))):
            text = line.strip()
            if text.startswith(b"data:"):  # of a saved event stream
                text = text[5:].strip()
            if not text or text.startswith(_NO_PART):
                continue
            try:
                value = source.bounds.parsed(text)
            except BoundError as error:
                trouble(place(number), str(error))
            except _NOT_JSON as error:
                trouble(place(number), f"is not JSON ({error}); give one JSON value per line")
            else:
                yield JsonValue(place(number), value, len(line))


def elements(source: Source, key: str | None, trouble: Trouble) -> Iterator[JsonValue]:
    """The elements of an array in one large JSON document.

    Args:
        source: the file.
        key: the array is the value of this key of the document; ``None`` where it is the document.
        trouble: told of each that cannot be read, and if the document ends in the middle or goes on after its end.
    """
    number = 0
    with source.open(counted=True) as file:
        for each in elements_of(file, source.bounds, key):
            if isinstance(each, Ending):
                if fault := _fault(each):
                    trouble(f"{source.label}, after {number} records", fault)
                return
            where = f"{source.label}, record {number}"
            number += 1
            if isinstance(each, BoundError):
                trouble(f"{where},", str(each))
                continue
            try:
                value = json.loads(each)
            except _NOT_JSON as error:
                trouble(where, f"is not JSON ({_brief(error)})")
            else:
                yield JsonValue(where, value, len(each))


def _fault(ending: Ending) -> Remainder | None:
    if ending.cut:
        return Remainder("is not JSON (it ends in the middle); see that it is whole")
    if ending.rest:
        follows = ending.rest[:20].decode(errors="replace")
        return Remainder(
            f"is something after the array's end ({follows!r}); give one JSON document, or one value a line"
        )
    return None


def first_keys(source: Source) -> Iterator[str]:
    """The keys of the first object in the file, be it the document, a line, or an element of an array; else none."""
    with source.open() as file:
        yield from keys_of(file, source.bounds)


def _layout(source: Source) -> Literal["lines", "array", "document"]:
    if source.path.suffix in (".jsonl", ".ndjson"):
        return "lines"
    objects = _begins_with(source) == b"[" and _begins_with(source, skip=1) == b"{"
    whole: Literal["array", "document"] = "array" if objects else "document"
    with source.open() as file:
        first = file.readline(_FIRST_LINE)
        if not first.endswith(b"\n"):  # one line in all, or a very long one
            return whole if objects or len(first) < _FIRST_LINE else "lines"
        if _is_json(first):
            # An array of objects may be the document, and what follows may be something else.
            begins = _VALUES if objects else b""
            return "lines" if any(text.startswith(begins) for line in file if (text := line.strip())) else whole
        # A bad first line of JSONL, or the first of a document over many lines.
        return "lines" if not objects and _is_record(file.readline(_FIRST_LINE)) else whole


def _begins_with(source: Source, skip: int = 0) -> bytes:
    """The first byte that is no white space; or the one so many further on."""
    with source.open() as file:
        while chunk := file.read(1 << 16):
            if chunk := chunk.lstrip():
                rest = chunk[skip:] if skip == 0 else chunk[skip:].lstrip() or file.read(1 << 16).lstrip()
                return rest[:1]
    return b""


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except _NOT_JSON:
        return False
    return True


def _is_record(text: bytes) -> bool:
    return text.lstrip()[:1] in (b"{", b"[") and _is_json(text)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:80]
