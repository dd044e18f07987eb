"""Files for their owner's eyes: traces, journals, logs, copies and reports hold what users and models said.

They are made with the rights 600, whatever the umask lets through. A file that was there keeps the rights its owner
gave it. What SQLite puts beside a database (``-wal``, ``-shm``, ``-journal``) has the rights of the database.
"""

from __future__ import annotations

import os
from pathlib import Path

RIGHTS = 0o600


def owner_only(path: str, flags: int) -> int:
    """For ``open(..., opener=owner_only)``: a file that is made by it is its owner's alone."""
    return os.open(path, flags, RIGHTS)


def make_private(path: str | Path) -> None:
    """Make an empty file that is its owner's alone, for a library that opens files by itself; one that is there stays.

    Raises:
        OSError: it cannot be made.
    """
    try:
        # Where a link leads: to make the file at its end is what opening it would do.
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, RIGHTS))
    except FileExistsError:
        return
