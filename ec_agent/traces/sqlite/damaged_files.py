"""Turns the errors of reading a damaged or foreign trace file into ``TraceError``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ec_agent.errors import TraceError
from ec_agent.support.escaping import clipped
from ec_agent.traces.sql.unreadable_rows import UNREADABLE, odd


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn each error of reading inside the ``with`` block into a ``TraceError``.

    Args:
        path: the file.
        what: what is being read, for the error, such as ``rollout 12``.

    Raises:
        TraceError: the file cannot be read, or the rows are not what ec_agent writes.
    """
    try:
        yield
    except TraceError:
        raise
    except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
        # "no such table" and "no such column" mean that the file is not ours; it is readable.
        if not isinstance(error, sqlite3.OperationalError) or "no such" not in str(error):
            raise TraceError(
                f"{path} cannot be read ({clipped(error, 200)}); check the disk, the permissions and which other "
                "processes use the file; use a store only while it is open, and in the thread that opened it"
            ) from error
        raise odd(str(path), what, error) from error
    except (sqlite3.Error, *UNREADABLE) as error:
        raise odd(str(path), what, error) from error
