"""A small SQLite shop to copy and to change, and processes to change it from and to kill."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager

import pytest

MODES = pytest.mark.parametrize("mode", ["delete", "wal"])


def make(path, mode="delete", rows=3, filler=0):
    """A database whose stock is all of version 0; gives its path."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute(f"PRAGMA journal_mode={mode}").fetchone()[0] == mode
        db.execute("BEGIN")
        db.execute("CREATE TABLE stock(id INTEGER PRIMARY KEY, version INTEGER, filler BLOB)")
        db.executemany("INSERT INTO stock(version, filler) VALUES (0, ?)", [(bytes(filler),)] * rows)
        db.execute("COMMIT")
    return path


def write(path_or_copy, version):
    """Set the version of the whole stock."""
    connect = path_or_copy.connect if hasattr(path_or_copy, "connect") else lambda: sqlite3.connect(path_or_copy)
    with closing(connect()) as db:
        db.execute("UPDATE stock SET version = ?", (version,))
        db.commit()


def versions(db):
    return {row[0] for row in db.execute("SELECT DISTINCT version FROM stock")}


def read(path):
    """The versions in a database that must be sound."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return versions(db)


def in_another_process(path, sql):
    """Change the database in a process that ends at once, its WAL left as it is."""
    code = (
        f"import sqlite3; db = sqlite3.connect({str(path)!r}); db.execute('PRAGMA wal_autocheckpoint=0');"
        f"db.execute({sql!r}); db.commit(); import os; os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@contextmanager
def forked(work):
    """Run ``work`` in a child that never comes back to pytest; ends with it gone."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def running(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
