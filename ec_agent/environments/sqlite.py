"""An environment for SQLite: each rollout works on a copy of the database, and the winner's copy replaces it."""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ec_agent.errors import ConfigError, PromotionError
from ec_agent.support.checks import file_path, is_file, is_folder, or_none, repr_of, seconds
from ec_agent.support.private_files import make_private

_PREFIX = "ec-agent-copy-"
_TOKEN = re.compile(r"(?P<base>[0-9a-f]{64}):(?P<path>.+)", re.DOTALL)
# Header fields that a backup, a commit or a change of journal mode rewrites without a change of content: file format
# versions, change counter, schema cookie, version-valid-for and library version (sqlite.org/fileformat2.html, 1.3).
_BOOKKEEPING = ((18, 20), (24, 28), (40, 44), (92, 100))


@dataclass(frozen=True)
class DatabaseCopy:
    """One rollout's own copy of the database.

    Attributes:
        path: the copy's file.
        base: digest of the database's content when the copy was taken.
    """

    path: Path
    base: str

    @property
    def token(self) -> str:
        """A text with which ``SQLiteCopies.reopen`` finds the copy again, also in another process."""
        return f"{self.base}:{self.path}"

    def connect(self) -> sqlite3.Connection:
        """Open a new connection to the copy, for the calling thread only.

        The caller commits and closes it: ``with closing(copy.connect()) as db: ...; db.commit()``.

        Raises:
            PromotionError: the copy has been removed.
        """
        self._must_exist()
        return sqlite3.connect(_uri(self.path), uri=True)

    def _must_exist(self) -> None:
        if not self.path.is_file():
            raise PromotionError(f"the copy {self.path} is gone; use it only inside its with block, or take a new one")


class SQLiteCopies:
    """Gives each rollout a copy of an SQLite database, and replaces the database by the winner's copy.

    ::

        world = SQLiteCopies("shop.db")
        best_of_n(agent, environment=world, promote=world.promote)

    Args:
        path: the database file. Other processes may use it at the same time, in any journal mode.
        directory: where the copies are kept; ``None`` is the system's directory for temporary files.
        timeout: seconds to wait for a lock that another process holds on the database.

    Raises:
        ConfigError: ``path`` is not a database, ``directory`` not a directory or ``timeout`` negative.
    """

    def __init__(
        self, path: str | PathLike[str], *, directory: str | PathLike[str] | None = None, timeout: float = 5.0
    ) -> None:
        given = file_path("path", path, "the file of an SQLite database")
        kept = or_none("directory", directory, file_path, "a directory, or None") or Path(tempfile.gettempdir())
        self.timeout = seconds("timeout", timeout, "the seconds to wait for a lock, 0 or more", least=0)
        try:
            self.path, self.directory = given.resolve(), kept.resolve()
        except (OSError, RuntimeError) as error:  # symbolic links in a circle
            raise ConfigError(f"path or directory cannot be followed ({error}); give others") from error
        if not is_file(self.path):
            what = "is a directory" if is_folder(self.path) else "does not exist"
            raise ConfigError(f"path {str(path)!r} {what}; give the file of an SQLite database")
        if not is_folder(self.directory):
            raise ConfigError(f"directory {str(directory)!r} is not a directory; create it, or give None")
        # Check the file through SQLite, not by open(): closing a plain file handle drops the locks that this process
        # holds on the file (POSIX).
        try:
            with closing(self._connect(self.path)) as source:
                source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            if "locked" not in str(error):  # if it is locked, it is a database
                raise ConfigError(f"path {str(path)!r}: {error}; give the file of an SQLite database") from error

    @contextmanager
    def __call__(self, index: int, input: Any) -> Iterator[DatabaseCopy]:
        """Take a copy for one rollout. Leaving the ``with`` block removes it; any thread may leave it.

        Raises:
            PromotionError: the database could not be copied.
        """
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self.directory), self.path.name)
        try:
            with self._explained("copied"), closing(self._connect(self.path)) as source:
                base = _backup(source, path)
            yield DatabaseCopy(path, base)
        except GeneratorExit:  # the block was never left: keep the copy, for reopen() may need it
            raise
        except BaseException:
            _remove(path)
            raise
        _remove(path)

    @contextmanager
    def reopen(self, token: str) -> Iterator[DatabaseCopy]:
        """Open the copy that a killed process left behind. Leaving the ``with`` block removes it.

        Raises:
            ConfigError: ``token`` is not the token of a copy.
            PromotionError: the copy no longer exists.
        """
        match = _TOKEN.fullmatch(token) if isinstance(token, str) and "\0" not in token else None
        # Leaving removes the copy's directory. A forged token must not make that any other directory.
        if match is None or not Path(match["path"]).parent.name.startswith(_PREFIX):
            raise ConfigError(f"token {repr_of(token)} names no copy; give the .token of a DatabaseCopy")
        copy = DatabaseCopy(Path(match["path"]), match["base"])
        copy._must_exist()
        try:
            yield copy
        except GeneratorExit:
            raise
        except BaseException:
            _remove(copy.path)
            raise
        _remove(copy.path)

    def promote(self, copy: DatabaseCopy) -> None:
        """Replace the content of the database by the committed content of ``copy``, in one transaction.

        Other processes see either the old content or the new, never a mixture, and their open connections stay valid.
        Promoting a copy twice has the same effect as once. If the copy was not changed, the database is not written.

        Raises:
            PromotionError: the database was changed since the copy was taken, is locked by others for longer than
                ``timeout``, or cannot be written; or the copy is gone or empty. The database is left as it was.
        """
        copy._must_exist()
        note = copy.path.with_name("promoted")
        with self._explained("replaced"), _scratch(copy) as frozen:
            with closing(self._connect(copy.path)) as winner:
                new = _backup(winner, frozen)
            # The note tells that this very content was promoted before. The database may have changed since then, so
            # its content does not tell; and a repeated promotion must not fail or undo those changes.
            if new == copy.base or (note.exists() and note.read_text() == new):
                return
            with closing(self._connect(frozen)) as content, closing(self._connect(self.path)) as target:
                content.execute("PRAGMA journal_mode=DELETE")  # the copy's journal mode is not part of its content
                if content.execute("PRAGMA page_count").fetchone()[0] < 2:
                    raise PromotionError(f"{copy.path} has no tables left; empty {self.path} yourself if that is meant")
                self._replace(target, content, lambda source: self._check(source, copy, new))
        with suppress(OSError):  # the promotion has succeeded, even if the note cannot be written
            note.write_text(new)

    def _replace(
        self, target: sqlite3.Connection, content: sqlite3.Connection, check: Callable[[sqlite3.Connection], None]
    ) -> None:
        """Overwrite ``target`` with ``content``, if ``check`` finds it unchanged under the lock of the writing."""
        # SQLite's backup writes its target in one exclusive transaction with a journal: readers wait or see the old
        # content, and a crash rolls it back. But the backup always begins that transaction itself. A check before it
        # could be outdated when it begins, so the check must run under a lock that is held until the commit:
        target.execute("BEGIN EXCLUSIVE")
        wal = target.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        if not wal:
            # locking_mode=EXCLUSIVE keeps the lock until the connection is closed. It is set only once the lock is
            # held: set earlier, two processes would each keep a shared lock and wait for the other's.
            target.execute("PRAGMA locking_mode=EXCLUSIVE")
        target.execute("COMMIT")
        if not wal:
            check(target)
            content.backup(target, progress=_refuse_to_wait)
            return

        # In WAL mode that lock cannot be had while others have the database open. But there a second connection can
        # read while the backup holds the write lock, which it does from its first page on. So check after the first
        # page; an exception rolls the backup back.
        def check_once(status: int, remaining: int, total: int) -> None:
            _refuse_to_wait(status, remaining, total)
            if remaining == total - 1:
                with closing(self._connect(self.path)) as source:
                    check(source)

        content.execute("BEGIN")
        content.execute("SELECT count(*) FROM sqlite_master").fetchone()  # one read lock for all steps
        content.backup(target, pages=1, progress=check_once)

    def _check(self, source: sqlite3.Connection, copy: DatabaseCopy, new: str) -> None:
        with _scratch(copy) as path:
            if _backup(source, path) not in (copy.base, new):
                raise PromotionError(
                    f"{self.path} was changed by others since the copy {copy.path} was taken, and promoting it would "
                    "undo that; nothing was written: run the rollouts again on the changed database"
                )

    def _connect(self, path: Path) -> sqlite3.Connection:
        return sqlite3.connect(_uri(path), uri=True, timeout=self.timeout, isolation_level=None)

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise PromotionError(
                f"{self.path} could not be {action}: {error}; it is as it was. If it is locked, end the transaction "
                f"that holds it or give a longer timeout (now {self.timeout} s)"
            ) from error


def _uri(path: Path) -> str:
    return f"{path.as_uri()}?mode=rw"  # rw: a missing file must not become a new, empty database


@contextmanager
def _scratch(copy: DatabaseCopy) -> Iterator[Path]:
    # Beside the copy, so that what a killed process leaves is removed with the copy.
    with tempfile.TemporaryDirectory(dir=copy.path.parent) as home:
        yield Path(home, "scratch.db")


def _backup(source: sqlite3.Connection, path: Path) -> str:
    """Copy the committed content of ``source`` into the new file ``path``, and return a digest of that content.

    Two digests tell whether a database was changed in between. SQLite's own counters cannot tell: ``data_version`` is
    valid for one connection only, and in WAL mode a commit need not change the file's change counter. A backup reads
    through the journal or the WAL, so it copies the committed pages in every journal mode.
    """
    make_private(path)
    with closing(sqlite3.connect(path)) as target:
        source.backup(target, progress=_refuse_to_wait)
    with path.open("rb") as file:
        header = bytearray(file.read(100))
        for start, stop in _BOOKKEEPING:
            header[start:stop] = bytes(stop - start)
        digest = hashlib.sha256(header)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _refuse_to_wait(status: int, remaining: int, total: int) -> None:
    # Without this, Connection.backup would retry for ever. When this is called, the connection's timeout has passed.
    if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise sqlite3.OperationalError("database is locked")


def _remove(path: Path) -> None:
    # Remove the database file before its WAL or journal. Left without these, it could pass for a complete copy.
    path.unlink(missing_ok=True)
    for _ in range(20):  # a tool that still runs may create a journal in the directory at the same time
        shutil.rmtree(path.parent, ignore_errors=True)
        if not path.parent.exists():
            return
        time.sleep(0.05)
    shutil.rmtree(path.parent)
