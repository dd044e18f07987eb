"""The formats of logs by name. Their readers are imported when a file is read, so ``--help`` stays fast."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, cast

from ec_agent.errors import LogprobsError

if TYPE_CHECKING:
    from ec_agent.logs.base import Found, Reader
    from ec_agent.logs.source import Source, Trouble

READERS = (
    *("traces", "otel", "inspect", "langsmith", "reference", "spans", "checkpoints", "llm"),
    *("conversation", "responses"),
)
"""The names of the formats. The module of the same name in this package has the format's ``READER``."""

_TRIED = (
    *("otel", "spans", "checkpoints", "llm", "traces", "inspect", "langsmith", "reference"),
    *("conversation", "responses"),
)
"""The order in which they are tried. ``traces`` accepts every database, to say what is wrong with it, and the last one
accepts every file."""


def found_in(source: Source, trouble: Trouble, format: str | None = None) -> Iterator[Found]:
    """Read the rollouts in a file, one at a time.

    Args:
        source: the file.
        trouble: called for each record that cannot be read, with its place and what is wrong. The record is skipped.
        format: a name in ``READERS``. ``None`` means to recognise the format from the content.

    Raises:
        LogprobsError: there is no format of that name.
        TraceError: the file is a trace store, but cannot be read.
    """
    if format is not None and format not in READERS:
        raise LogprobsError(f"unknown format {format!r}; the formats are {', '.join(READERS)}")
    names = _TRIED if format is None else (format,)
    readers = (cast("Reader", import_module(f"ec_agent.logs.{name}").READER) for name in names)
    reader = next(reader for reader in readers if format is not None or reader.knows(source))
    found = reader.read(source, trouble)
    return found if source.cut is None else _and_then(found, source.label, source.cut, trouble)


def _and_then(found: Iterator[Found], label: str, cut: str, trouble: Trouble) -> Iterator[Found]:
    from ec_agent.logs.source import Remainder  # NumPy comes with it

    yield from found
    trouble(label, Remainder(cut))
