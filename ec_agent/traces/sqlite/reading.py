"""Around what reads a trace file: it may be damaged, or from somebody else; its rows are data until looked at."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ec_agent.errors import EcAgentError, TraceError
from ec_agent.support.escaping import clipped

UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What making objects of rows raises where these are not ours; ``ValueError`` covers pydantic's and ``PlainError``."""


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Inside, rows that are not what ec_agent writes are an error of ours.

    Args:
        path: the file.
        what: is read: ``rollout 12``.

    Raises:
        TraceError: it cannot be read.
    """
    try:
        yield
    except TraceError:
        raise
    except (sqlite3.OperationalError, sqlite3.ProgrammingError) as error:
        if not isinstance(error, sqlite3.OperationalError) or "no such" not in str(error):  # a table, or a column
            raise TraceError(
                f"{path} cannot be read ({clipped(error, 200)}); see to its disk, to its rights and to who else uses "
                "it, and use a store open, in its own thread"
            ) from error
        raise TraceError(_odd(path, what, error)) from error
    except (EcAgentError, sqlite3.Error, *UNREADABLE) as error:
        raise TraceError(_odd(path, what, error)) from error


def _odd(path: Path, what: str, error: Exception) -> str:
    return (
        f"{path} cannot be read: {what} is not what ec_agent writes ({clipped(error, 200)}); the file is damaged, or "
        "another program changed it: restore it from a copy, or leave it"
    )
