"""The tests' databases and files are kept in memory, where there is room: a small commit mostly waits for the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

MEMORY = Path("/dev/shm")
NAME = "ec-agent-tests-"
ROOM = 4 << 30
NEW = 60  # seconds; a folder that was made just now may not be locked yet


def settle(config: Any) -> None:
    """Name a folder in memory as the place for temporary files, and remove it with the run.

    Workers inherit it from their controller. Who sets TMPDIR chooses the place, and finds there what tests left.
    """
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK):
        return
    forget_what_was_killed(MEMORY)
    state = os.statvfs(MEMORY)
    if state.f_bavail * state.f_frsize < ROOM or state.f_flag & os.ST_NOEXEC:
        return
    home = tempfile.TemporaryDirectory(prefix=NAME, dir=MEMORY, ignore_cleanup_errors=True)
    hold(home.name)
    config.add_cleanup(home.cleanup)
    os.environ["TMPDIR"] = tempfile.tempdir = home.name


def hold(folder: str | Path) -> None:
    """Lock a folder until this process ends, however it ends.

    Raises:
        BlockingIOError: another process holds it.
    """
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        raise


def forget_what_was_killed(memory: Path) -> None:
    """Remove the folders of runs that were killed; else they would take memory until the machine is started anew."""
    for folder in memory.glob(f"{NAME}*"):
        with contextlib.suppress(OSError):  # somebody else's, in use, or removed by another run
            if folder.stat().st_mtime < time.time() - NEW:
                hold(folder)
                shutil.rmtree(folder)
