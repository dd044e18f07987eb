"""Which store of traces a name is of. There is one kind today, the SQLite file; a second one is told from it here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ec_agent.traces.base import TraceStoreProtocol

LONGEST_HEAD = 16
"""So many bytes of a file are enough for :func:`is_trace_file`."""


def open_store(place: str | Path, *, create: bool = False, timeout: float = 60.0) -> TraceStoreProtocol:
    """Open a store of traces.

    Args:
        place: where it is: the path of a trace file.
        create: make it where it is missing.
        timeout: seconds to wait for another process that writes.

    Raises:
        TraceError: it is missing, is no store of traces, or is one of a newer version.
        ConfigError: the timeout is no number of seconds.
    """
    from ec_agent.traces.sqlite.store import TraceStore  # which loads LangChain: other logs need not wait for it

    return TraceStore(place, create=create, timeout=timeout)


def is_there(place: str | Path) -> bool:
    """Whether there is something of that name, which :func:`open_store` may still refuse."""
    return Path(place).exists()


def is_trace_file(head: bytes) -> bool:
    """Whether a file that begins so may be a store of traces."""
    return head.startswith(b"SQLite format 3\0")
