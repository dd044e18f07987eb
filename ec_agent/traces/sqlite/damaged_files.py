"""Turns the errors of reading a damaged or foreign trace file into ``TraceError``."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ec_agent.errors import EcAgentError, TraceError
from ec_agent.support.escaping import clipped

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Errors that arise when objects are made from rows of a file that we did not write. ``ValueError`` includes pydantic's
errors and ``PlainError``."""


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
        raise TraceError(_odd(path, what, error)) from error
    except (EcAgentError, sqlite3.Error, *UNREADABLE) as error:
        raise TraceError(_odd(path, what, error)) from error


def _odd(path: Path, what: str, error: Exception) -> str:
    return (
        f"{path} cannot be read: {what} is not what ec_agent writes ({clipped(error, 200)}); the file is damaged, or "
        "another program changed it: restore it from a copy"
    )
