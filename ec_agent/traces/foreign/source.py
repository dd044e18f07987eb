"""Files of any size as streams of JSON values, one in memory at a time."""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import ijson

from ec_agent.errors import LogprobsError
from ec_agent.traces.foreign.bounds import BoundedFile, BoundError, Bounds, bounded_lines

_FIRST_LINE = 1 << 20  # bytes; who has longer lines is asked for a file name that says so
_BOM = b"\xef\xbb\xbf"
_NOT_JSON = (ValueError, RecursionError)  # the first covers bad JSON and bad UTF-8

Trouble = Callable[[str, str], None]
"""Called with the place of a record that cannot be read, and with what is wrong; it may raise."""


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
    with tempfile.TemporaryDirectory(prefix="ec_agent_") if str(path) == "-" else _nowhere() as folder:
        source = Source(path if folder is None else Path(folder) / "stdin", str(path), advance, bounds or Bounds())
        try:
            if folder is not None:
                with source.path.open("wb") as copy:
                    shutil.copyfileobj(sys.stdin.buffer, copy)
            blank = not _begins_with(source)
        except OSError as error:
            hint = "give a file, or - for standard input"
            raise LogprobsError(f"cannot read {path} ({error}); {hint}") from error
        if blank:
            raise LogprobsError(f"{path} is empty; give JSON or JSONL with one rollout per record")
        yield source


@contextmanager
def _nowhere() -> Iterator[None]:
    yield None


def values(source: Source, trouble: Trouble) -> Iterator[tuple[str, Any]]:
    """The JSON values of a file with their places: the lines of JSONL, the objects of an array, or the one document."""
    layout = _layout(source)
    if layout == "array":
        yield from elements(source, "item", trouble)
        return
    if layout == "document":
        try:
            source.bounds.check_size(source.path.stat().st_size)
            with source.open(counted=True) as file:
                whole = source.bounds.parsed(file.read())
        except BoundError as error:
            trouble(source.label, str(error))
            return
        except _NOT_JSON:
            pass  # taken for lines, the place of the fault can be told
        else:
            yield source.label, whole
            return
    with source.open(counted=True) as file:

        def place(number: int) -> str:
            return f"{source.label}, line {number}"

        for number, line in bounded_lines(file, source.bounds, lambda at, error: trouble(place(at), str(error))):
            if line.strip():
                try:
                    value = source.bounds.parsed(line)
                except BoundError as error:
                    trouble(place(number), str(error))
                except _NOT_JSON as error:
                    trouble(place(number), f"is not JSON ({error}); give one JSON value per line")
                else:
                    yield place(number), value


def elements(source: Source, prefix: str, trouble: Trouble) -> Iterator[tuple[str, Any]]:
    """The elements of an array in one large JSON document.

    Args:
        source: the file.
        prefix: where the array's elements are, as ijson writes it: ``item``, ``samples.item``.
        trouble: told if the document ends in the middle; what came before was given.
    """
    number = 0
    with source.open(counted=True) as file:
        bounded = BoundedFile(file, source.bounds)
        try:
            for number, value in enumerate(ijson.items(bounded, prefix, use_float=True), start=1):
                bounded.begin_record()
                yield f"{source.label}, record {number - 1}", value
        except BoundError as error:
            trouble(f"{source.label}, record {number},", str(error))
        except (ijson.JSONError, *_NOT_JSON) as error:
            trouble(f"{source.label}, after {number} records", f"is not JSON ({_brief(error)}); see that it is whole")


def first_keys(source: Source) -> Iterator[str]:
    """The keys of the first object in the file, be it the document, a line, or an element of an array; else none.

    They end where that object is not JSON, or is beyond the source's bounds: who reads it says so.
    """
    with source.open() as file:
        try:
            level = None
            for prefix, event, value in ijson.parse(BoundedFile(file, source.bounds), multiple_values=True):
                if level is None and event == "start_map" and prefix in ("", "item"):
                    level = prefix
                elif level is None and event != "start_array":
                    return
                elif event == "map_key" and prefix == level:
                    yield value
                elif event == "end_map" and prefix == level:
                    return
        except (ijson.JSONError, *_NOT_JSON):
            return


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
            return "lines" if any(line.strip() for line in file) else whole
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
