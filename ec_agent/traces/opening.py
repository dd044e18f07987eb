"""Opens the trace store that a name belongs to: a SQLite file by its path, a PostgreSQL database by its URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ec_agent.traces.places import is_url

if TYPE_CHECKING:
    from ec_agent.traces.base import TraceStoreProtocol

LONGEST_HEAD = 16
"""Number of bytes at the beginning of a file that :func:`is_sqlite` needs."""


def open_store(place: str | Path, *, create: bool = False, timeout: float = 60.0) -> TraceStoreProtocol:
    """Open a trace store.

    Args:
        place: the path of a trace file, or ``postgresql://...``; ``TraceStore`` says more.
        create: whether to make the store if it is missing.
        timeout: seconds to wait while another process is writing.

    Raises:
        TraceError: the store is missing, is not a trace store, was written by a newer version, or cannot be reached.
        ConfigError: ``timeout`` is not a number of seconds, or the URL cannot be read.
    """
    from ec_agent.traces.sql.store import TraceStore  # here, because it imports LangChain, which takes time

    return TraceStore(place, create=create, timeout=timeout)


def is_there(place: str | Path) -> bool:
    """Tell whether something exists under this name. :func:`open_store` may still refuse it.

    Raises:
        TraceError: the server of a URL cannot be reached.
    """
    if is_url(place):
        from ec_agent.traces.postgres import holds_something

        return holds_something(str(place))
    return Path(place).exists()


def is_sqlite(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes is a SQLite database, and so may be a trace store."""
    return head.startswith(b"SQLite format 3\0")
