"""Reads files of any size as a stream of JSON values. One value is in memory at a time."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from ec_agent.errors import LogprobsError
from ec_agent.logs import packed, parquet
from ec_agent.logs.bounds import BoundError, Bounds, bounded_lines
from ec_agent.logs.splitting import Ending, elements_of, keys_of
from ec_agent.support.checks import cause_of, file_path

_FIRST_LINE = 1 << 20  # bytes read to recognise JSONL; with longer lines, the file name must end in .jsonl
_BOM = b"\xef\xbb\xbf"
_BLANKS = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
_NOT_JSON = (ValueError, RecursionError)  # the first covers bad JSON and bad UTF-8

_NO_PART = (b"event:", b"id:", b"retry:", b":", b"[DONE]")
"""Beginnings of those lines of a saved event stream that hold no part of an answer."""

_VALUES = (b"{", b"[", b"data:")
"""Beginnings of lines of JSONL, and of the data lines of a saved event stream."""

Trouble = Callable[[str, str], None]
"""A function that is called with the place of a record that cannot be read, and with what is wrong. It may raise."""


class Remainder(str):
    """A message about the rest of a file that cannot be read. It may hold any number of records."""

    __slots__ = ()


class JsonValue(NamedTuple):
    """One JSON value of a file.

    Attributes:
        where: its place in the file, in words.
        value: the value.
        size: size of its text, in bytes.
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
        path: path of the file; for standard input, of a temporary copy.
        label: name of the file in messages and results.
        advance: function that is called with the number of bytes each time some were read, to show progress.
        bounds: limits for the depth and the size of a record.
        cut: what is wrong with the rest of a packed file that could be unpacked only in part, or ``None``.
    """

    path: Path
    label: str
    advance: Callable[[int], None] = _ignore
    bounds: Bounds = field(default_factory=Bounds)
    cut: str | None = None

    def open(self, *, counted: bool = False) -> IO[bytes]:
        """Open the file, after its byte order mark if it has one.

        Args:
            counted: whether reading it is reported to ``advance``.
        """
        raw = _Counted(self.path, self.advance) if counted else io.FileIO(self.path)
        file = io.BufferedReader(raw, 1 << 16)
        if file.peek(3)[:3] == _BOM:
            file.read(3)
        return file

    def head(self, length: int) -> bytes:
        """Return the first ``length`` bytes."""
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
    """Make a source of a file. ``-`` means standard input, which is copied to a temporary file.

    A file that is packed with gzip is unpacked into a temporary file.

    Args:
        path: the file.
        advance: function that is called with the number of bytes each time some were read.
        bounds: limits for the depth and the size of a record. ``None`` means ``Bounds()``.

    Raises:
        LogprobsError: the file cannot be read, or is empty.
    """
    path = file_path("path", path, "a file, or - for standard input")
    with ExitStack() as stack:
        try:
            source = _source(path, advance, bounds or Bounds(), stack)
            blank = not _begins_with(source)
        except OSError as error:
            hint = "give a file, or - for standard input"
            raise LogprobsError(f"cannot read {path} ({cause_of(error)}); {hint}") from error
        if blank and source.cut:
            raise LogprobsError(f"{path} {source.cut}")
        if blank:
            raise LogprobsError(f"{path} is empty; give JSON or JSONL with one rollout per record")
        yield source


def _source(path: Path, advance: Callable[[int], None], bounds: Bounds, stack: ExitStack) -> Source:
    def temporary(name: str) -> Path:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ec_agent_"))) / name

    file = path
    if str(path) == "-":
        file = temporary("stdin")
        with file.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
    if not packed.is_packed(file):
        return Source(file, str(path), advance, bounds)
    whole = temporary(file.stem)  # without .gz: what the file is called tells lines from a document
    cut = packed.unpack(file, whole, advance)
    return Source(whole, str(path), _ignore, bounds, cut)


def values(source: Source, trouble: Trouble) -> Iterator[JsonValue]:
    """Yield the JSON values of a file: its lines, its documents, or the objects of the array that it holds.

    Args:
        source: the file.
        trouble: called for each value that cannot be read, with its place and what is wrong.
    """
    layout = layout_of(source)
    if layout == "rows":
        yield from _rows(source, trouble)
    elif layout == "array":
        yield from elements(source, None, trouble)
    elif layout == "lines" or not (yield from _documents(source, trouble)):
        yield from _lines(source, trouble)


def _rows(source: Source, trouble: Trouble) -> Iterator[JsonValue]:
    for number, row in enumerate(parquet.rows_of(source.path, source.label, source.bounds)):
        where = f"{source.label}, row {number}"
        if isinstance(row, BoundError):
            trouble(where, str(row))
        else:
            yield JsonValue(where, *row)


def _documents(source: Source, trouble: Trouble) -> Generator[JsonValue, None, bool]:
    """Yield the JSON documents of a file; there may be several, one after the other.

    Returns:
        ``False`` if the file does not begin with a JSON document. Reading it as lines then tells which line is wrong.
    """
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
        except _NOT_JSON as error:  # where the next document would begin is unknown, so the rest cannot be read
            trouble(f"{source.label}, after {number} documents", Remainder(f"is not JSON ({_brief(error)})"))
            return True


def _at(text: str, place: int) -> int:
    """Return the index of the first character from ``place`` on that is not white space."""
    return _BLANKS.match(text, place).end()  # type: ignore[union-attr]  # the pattern always matches


def _lines(source: Source, trouble: Trouble) -> Iterator[JsonValue]:
    with source.open(counted=True) as file:

        def place(number: int) -> str:
            return f"{source.label}, line {number}"

        for number, line in bounded_lines(file, source.bounds, lambda at, error: trouble(place(at), str(error))):
            text = line.strip()
            if text.startswith(b"data:"):  # a line of a saved event stream
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
    """Yield the elements of an array in one large JSON document.

    Args:
        source: the file.
        key: the key of the document whose value is the array. ``None`` if the document itself is the array.
        trouble: called for each element that cannot be read, and if the document is cut or followed by something else.
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
        return Remainder("is not JSON (it ends in the middle); check that the file is complete")
    if ending.rest:
        follows = ending.rest[:20].decode(errors="replace")
        return Remainder(
            f"is something after the array's end ({follows!r}); give one JSON document, or one value per line"
        )
    return None


def first_keys(source: Source) -> Iterator[str]:
    """Yield the keys of the file's first object: the document, its first line, or the first element of an array.

    Of a Parquet file these are the columns.
    """
    if source.head(4) == parquet.MAGIC:
        yield from parquet.columns_of(source.path, source.label)
        return
    with source.open() as file:
        yield from keys_of(file, source.bounds)


def first_values(source: Source) -> Iterator[Any]:
    """Yield the first JSON values of the file, to recognise it. What is read here is read again later."""
    yield from (each.value for each in values(replace(source, advance=_ignore), lambda where, problem: None))


def layout_of(source: Source) -> Literal["rows", "lines", "array", "document"]:
    """Find out whether a file is Parquet, JSONL, one array of objects, or another JSON document, from its beginning."""
    if source.head(4) == parquet.MAGIC:
        return "rows"
    if source.path.suffix in (".jsonl", ".ndjson"):
        return "lines"
    objects = _begins_with(source) == b"[" and _begins_with(source, skip=1) == b"{"
    whole: Literal["array", "document"] = "array" if objects else "document"
    with source.open() as file:
        first = file.readline(_FIRST_LINE)
        if not first.endswith(b"\n"):  # the file has only one line, or the first one is very long
            return whole if objects or len(first) < _FIRST_LINE else "lines"
        if _is_json(first):
            # If the first line is an array of objects, it may be the whole document. It is one line of several only if
            # other lines hold JSON, too.
            begins = _VALUES if objects else b""
            return "lines" if any(text.startswith(begins) for line in file if (text := line.strip())) else whole
        # The first line is not JSON: it is a damaged line of JSONL, or the beginning of a document of many lines.
        return "lines" if not objects and _is_record(file.readline(_FIRST_LINE)) else whole


def _begins_with(source: Source, skip: int = 0) -> bytes:
    """Return the first byte that is not white space, or with ``skip=1`` the next such byte after it."""
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
