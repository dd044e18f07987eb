"""Makes files that only their owner can read: traces, journals, logs and reports hold what users and models wrote.

New files get the permissions 600, whatever the umask is. A file that exists keeps its permissions. The files that
SQLite puts beside a database (``-wal``, ``-shm``, ``-journal``) get the permissions of the database.
"""

from __future__ import annotations

import os
from pathlib import Path

RIGHTS = 0o600


def owner_only(path: str, flags: int) -> int:
    """Open a file; if it is new, only its owner can read and write it. Use it as ``open(..., opener=owner_only)``."""
    return os.open(path, flags, RIGHTS)


def make_private(path: str | Path) -> None:
    """Make an empty file that only its owner can read and write, for a library that will open it by itself.

    A file that exists is left as it is.

    Raises:
        OSError: the file cannot be made.
    """
    try:
        # If the path is a link to a missing file, make that file, as open() would; O_EXCL alone would refuse the link.
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_WRONLY, RIGHTS))
    except FileExistsError:
        return
