from __future__ import annotations

import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from ec_agent.environments import sqlite as module
from ec_agent.environments.sqlite import SQLiteCopies
from ec_agent.errors import ConfigError, PromotionError

MODES = pytest.mark.parametrize("mode", ["delete", "wal"])


def make(path, mode="delete", rows=3, filler=0):
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute(f"PRAGMA journal_mode={mode}").fetchone()[0] == mode
        db.execute("BEGIN")
        db.execute("CREATE TABLE stock(id INTEGER PRIMARY KEY, version INTEGER, filler BLOB)")
        db.executemany("INSERT INTO stock(version, filler) VALUES (0, ?)", [(bytes(filler),)] * rows)
        db.execute("COMMIT")
    return path


def write(path_or_copy, version):
    connect = path_or_copy.connect if hasattr(path_or_copy, "connect") else lambda: sqlite3.connect(path_or_copy)
    with closing(connect()) as db:
        db.execute("UPDATE stock SET version = ?", (version,))
        db.commit()


def versions(db):
    return {row[0] for row in db.execute("SELECT DISTINCT version FROM stock")}


def read(path):
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return versions(db)


def in_another_process(path, sql):
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


@pytest.fixture
def kept(tmp_path):
    """Where copies are kept; whatever a test does, nothing may be left in it."""
    directory = tmp_path / "kept"
    directory.mkdir()
    yield directory
    assert list(directory.iterdir()) == []


@pytest.fixture
def shop(tmp_path, kept):
    return make(tmp_path / "shop ?#%41.db")


# Copies


@MODES
def test_copies_and_source_do_not_see_each_other(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as first, world(1, {}) as second:
        write(first, 1)
        write(second, 2)
        assert (read(first.path), read(second.path), read(shop)) == ({1}, {2}, {0})
        assert first.token != second.token


def test_odd_characters_in_the_path_name_no_other_file(shop, kept):
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        write(copy, 1)
        world.promote(copy)
    assert read(shop) == {1}
    assert sorted(path.name for path in shop.parent.iterdir()) == sorted([kept.name, shop.name])


def test_a_wal_source_in_use_is_copied_with_what_is_only_in_the_wal(tmp_path, kept):
    shop = make(tmp_path / "shop.db", "wal")
    with closing(sqlite3.connect(shop, isolation_level=None)) as reader, closing(sqlite3.connect(shop)) as writer:
        reader.execute("BEGIN")
        assert versions(reader) == {0}  # a snapshot that keeps the WAL from being moved into the file
        writer.execute("UPDATE stock SET version = 1")
        writer.commit()
        writer.execute("UPDATE stock SET version = 2")  # not committed
        with SQLiteCopies(shop, directory=kept)(0, {}) as copy:
            assert read(copy.path) == {1}


def test_each_connect_is_a_new_connection_of_the_calling_thread(shop, kept):
    seen = []
    with SQLiteCopies(shop, directory=kept)(0, {}) as copy, closing(copy.connect()) as mine:

        def work():
            with closing(copy.connect()) as db:
                seen.append((db is not mine, versions(db)))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [(True, {0})]


def test_a_copy_may_be_left_by_another_thread(shop, kept):
    manager = SQLiteCopies(shop, directory=kept)(0, {})
    write(manager.__enter__(), 1)
    thread = threading.Thread(target=manager.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert list(kept.iterdir()) == []


@MODES
def test_nothing_is_left_after_a_failing_body_with_an_open_transaction(tmp_path, kept, mode):
    world = SQLiteCopies(make(tmp_path / "shop.db", mode), directory=kept)
    opened = []

    def body():
        with world(0, {}) as copy:
            opened.append(copy.connect())
            opened[0].execute("UPDATE stock SET version = 1")
            assert len(list(copy.path.parent.iterdir())) > 1  # a journal or a WAL
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        body()
    assert list(kept.iterdir()) == []
    opened[0].close()


def test_nothing_is_left_while_a_tool_goes_on_writing(shop, kept):
    with SQLiteCopies(shop, directory=kept)(0, {}) as copy:
        home = copy.path.parent

        def tool():
            with suppress(FileNotFoundError):
                while True:
                    (home / "shop.db-journal").touch()
                    time.sleep(0.001)

        thread = threading.Thread(target=tool)
        thread.start()
    thread.join()


def test_nothing_is_left_when_the_copy_fails_half_way(tmp_path, kept):
    shop = make(tmp_path / "shop.db", rows=200, filler=4000)
    world = SQLiteCopies(shop, directory=kept)
    os.truncate(shop, 300_000)  # the header still promises the pages behind
    with pytest.raises(PromotionError, match="could not be copied"), world(0, {}):
        pass


def test_nothing_is_left_when_the_database_stays_locked(shop, kept):
    world = SQLiteCopies(shop, directory=kept, timeout=0.1)
    with closing(sqlite3.connect(shop, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(PromotionError, match=r"could not be copied: database is locked.*now 0\.1 s"), world(0, {}):
            pass
        SQLiteCopies(shop, directory=kept, timeout=0.1)  # what is locked is a database


def test_a_copy_that_was_left_cannot_be_used(shop, kept):
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        write(copy, 1)
    with pytest.raises(PromotionError, match="gone"):
        copy.connect()
    with pytest.raises(PromotionError, match="gone"):
        world.promote(copy)
    with pytest.raises(PromotionError, match="gone"), world.reopen(copy.token):
        pass
    assert read(shop) == {0}


# Promotion


@MODES
def test_promote_replaces_the_content_under_open_connections(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept)
    with closing(sqlite3.connect(shop)) as other, world(0, {}) as copy:
        assert versions(other) == {0}
        with closing(copy.connect()) as db:
            db.executescript("UPDATE stock SET version = 1; CREATE TABLE orders(id); INSERT INTO orders VALUES (7)")
        world.promote(copy)
        assert not Path(f"{shop}-journal").exists()
        assert versions(other) == {1}
        assert other.execute("SELECT id FROM orders").fetchall() == [(7,)]
        other.execute("INSERT INTO orders VALUES (8)")
        other.commit()
    with closing(sqlite3.connect(shop)) as db:
        assert db.execute("SELECT id FROM orders").fetchall() == [(7,), (8,)]
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "shop.db"]


def test_a_copy_in_wal_mode_does_not_change_the_mode_of_the_source(shop, kept):
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy, closing(copy.connect()) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("UPDATE stock SET version = 1")
        db.commit()
        world.promote(copy)  # the content is still in the copy's WAL
        assert read(shop) == {1}
    with closing(sqlite3.connect(shop)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"


@MODES
def test_a_smaller_winner_shrinks_the_database(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode, rows=100, filler=4000)
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        with closing(copy.connect()) as db:
            db.execute("DELETE FROM stock WHERE id > 2")
            db.commit()
            db.execute("VACUUM")
        world.promote(copy)
    assert read(shop) == {0}
    assert shop.stat().st_size < 20_000


@MODES
def test_promoting_twice_is_harmless(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        write(copy, 1)
        world.promote(copy)
        world.promote(copy)
        (copy.path.parent / "promoted").unlink()  # as if killed right after the transaction
        world.promote(copy)
        with SQLiteCopies(shop, directory=kept).reopen(copy.token) as again:
            world.promote(again)
            assert read(shop) == {1}
            write(shop, 2)
            world.promote(again)  # others went on from the promoted content
            assert read(shop) == {2}


@MODES
def test_a_change_by_others_is_not_overwritten(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept)
    with closing(sqlite3.connect(shop)) as other, world(0, {}) as copy:
        write(copy, 1)
        other.execute("UPDATE stock SET version = 9 WHERE id = 1")
        other.commit()
        with pytest.raises(PromotionError, match="changed by others"):
            world.promote(copy)
        assert read(shop) == {0, 9}
        assert read(copy.path) == {1}  # still there to look at


@MODES
@pytest.mark.parametrize("sql", ["UPDATE stock SET version = 9", "PRAGMA user_version = 9", "CREATE TABLE orders(id)"])
def test_a_change_from_another_process_is_found_after_reopen(tmp_path, kept, mode, sql):
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        write(copy, 1)
        header = shop.read_bytes()[:100]
        in_another_process(shop, sql)
        if mode == "wal":
            assert shop.read_bytes()[:100] == header  # no counter in the file tells
        with (
            SQLiteCopies(shop, directory=kept).reopen(copy.token) as again,
            pytest.raises(PromotionError, match="chang"),
        ):
            world.promote(again)
    assert 1 not in read(shop)


@MODES
def test_what_does_not_change_the_content_is_no_change(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        write(copy, 1)
        with closing(sqlite3.connect(shop)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            db.execute("UPDATE stock SET version = 9")
            db.rollback()
            db.execute(f"PRAGMA journal_mode={'delete' if mode == 'wal' else 'wal'}")
        world.promote(copy)
    assert read(shop) == {1}


def test_an_unchanged_winner_leaves_the_changes_of_others(shop, kept):
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        write(shop, 9)
        world.promote(copy)
    assert read(shop) == {9}


@MODES
def test_a_change_in_the_last_moment_is_not_overwritten(tmp_path, kept, mode, monkeypatch):
    # A writer that tries again and again must get in before the check or after the promotion, never between.
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept)
    real, refused = SQLiteCopies._check, []

    def check_then_write(self, source, copy, new):
        real(self, source, copy, new)
        with closing(sqlite3.connect(shop, timeout=0)) as other:
            try:
                other.execute("UPDATE stock SET version = 9")
                other.commit()
            except sqlite3.OperationalError as error:
                refused.append(str(error))

    monkeypatch.setattr(SQLiteCopies, "_check", check_then_write)
    with world(0, {}) as copy:
        write(copy, 1)
        world.promote(copy)
    assert read(shop) == {1}
    assert refused == ["database is locked"]


@MODES
def test_of_promotions_at_once_one_wins(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept, timeout=10)
    outcomes = []

    def work(version):
        with world(version, {}) as copy:
            write(copy, version)
            barrier.wait()
            try:
                world.promote(copy)
                outcomes.append(version)
            except PromotionError as error:
                outcomes.append("changed" if "changed by others" in str(error) else str(error))

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=work, args=(version,)) for version in range(1, 5)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("changed") == 3
    assert read(shop) == set(outcomes) - {"changed"}
    assert time.monotonic() - started < 8  # they waited for each other's work, not for a timeout


@MODES
def test_a_locked_source_is_left_as_it_was(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept, timeout=0.1)
    with world(0, {}) as copy, closing(sqlite3.connect(shop, isolation_level=None)) as other:
        write(copy, 1)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(PromotionError, match=r"locked.*longer timeout"):
            world.promote(copy)
        other.execute("ROLLBACK")
        assert read(shop) == {0}
        world.promote(copy)
        assert read(shop) == {1}


def test_a_copy_with_an_exclusive_transaction_open_is_not_waited_for_for_ever(shop, kept):
    world = SQLiteCopies(shop, directory=kept, timeout=0.1)
    with world(0, {}) as copy, closing(copy.connect()) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(PromotionError, match="locked"):
            world.promote(copy)


def test_a_source_that_is_gone_is_not_made_anew(shop, kept):
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        write(copy, 1)
        shop.unlink()
        with pytest.raises(PromotionError, match="could not be replaced: unable to open"):
            world.promote(copy)
        with pytest.raises(PromotionError, match="could not be copied: unable to open"), world(1, {}):
            pass
    assert not shop.exists()


@MODES
def test_a_winner_without_content_is_refused(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        with closing(copy.connect()) as db:
            db.execute("DROP TABLE stock")
            db.execute("VACUUM")
        with pytest.raises(PromotionError, match="no tables left"):
            world.promote(copy)
    assert read(shop) == {0}


@MODES
def test_a_winner_with_another_page_size(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode, rows=30, filler=4000)
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        with closing(copy.connect()) as db:
            db.executescript("UPDATE stock SET version = 1; PRAGMA journal_mode=DELETE; PRAGMA page_size=1024; VACUUM")
        if mode == "wal":  # SQLite cannot change the page size of a database in WAL mode
            with pytest.raises(PromotionError, match="could not be replaced"):
                world.promote(copy)
        else:
            world.promote(copy)
            world.promote(copy)
    assert read(shop) == ({0} if mode == "wal" else {1})


@MODES
def test_a_reader_in_another_process_sees_all_old_or_all_new(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode, rows=1500, filler=2000)
    world = SQLiteCopies(shop, directory=kept)
    out, into = os.pipe()

    def look():
        with closing(sqlite3.connect(shop, timeout=30)) as db:  # one connection through all promotions
            while True:
                os.write(into, f"{sorted(versions(db))}\n".encode())

    with forked(look):
        os.close(into)
        text = os.read(out, 65536).decode()  # it is at work
        for version in range(1, 6):
            with world(0, {}) as copy:
                write(copy, version)
                world.promote(copy)
            while f"[{version}]\n" not in text:
                assert select.select([out], [], [], 10)[0]
                text += os.read(out, 65536).decode()
    os.close(out)
    assert set(text[: text.rindex("\n")].split("\n")) == {f"[{version}]" for version in range(6)}


@MODES
def test_a_kill_at_any_moment_leaves_all_old_or_all_new(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode, rows=1500, filler=4000)
    journal = Path(f"{shop}-{'wal' if mode == 'wal' else 'journal'}")
    size = shop.stat().st_size
    world = SQLiteCopies(shop, directory=kept)
    old = half_written = 0
    for version in range(1, 19):
        with world(0, {}) as copy:
            write(copy, version)
            with forked(lambda copy=copy: world.promote(copy)) as pid:
                # The child is killed on leaving: when it has written this share of the journal or the WAL, and from
                # the tenth time on at moments around the commit that follows.
                goal = size * min(version - 1, 9) // 10
                while not (journal.exists() and journal.stat().st_size >= goal) and running(pid):
                    pass
                if version >= 10:
                    time.sleep(0.001 * 2 ** (version - 10))  # up to 256 ms
            left = journal.exists() and journal.stat().st_size > 0
            content = read(shop)
            assert content in ({version - 1}, {version})
            old += content == {version - 1}
            half_written += bool(left and content == {version - 1})
            world.promote(copy)  # as the resumed run does
            assert read(shop) == {version}
    assert old
    assert half_written  # some kills did hit a transaction under way


def test_a_copy_outlives_a_killed_process(shop, kept):
    out, into = os.pipe()
    world = SQLiteCopies(shop, directory=kept)

    def rollout():
        with world(0, {}) as copy:
            write(copy, 1)
            os.write(into, copy.token.encode())
            time.sleep(60)

    with forked(rollout):
        token = os.read(out, 65536).decode()
    assert len(list(kept.iterdir())) == 1
    with SQLiteCopies(shop, directory=kept).reopen(token) as copy:
        assert copy.token == token
        assert read(copy.path) == {1}
        world.promote(copy)
    assert read(shop) == {1}
    assert list(kept.iterdir()) == []
    os.close(out)
    os.close(into)


def test_what_a_killed_promotion_leaves_goes_with_the_copy(shop, kept, monkeypatch):
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        write(copy, 1)

        def die(self, *args):
            os.kill(os.getpid(), signal.SIGKILL)

        with monkeypatch.context() as patched:
            patched.setattr(SQLiteCopies, "_replace", die)
            pid = os.fork()
            if pid == 0:
                world.promote(copy)
                os._exit(1)
            assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        assert len(list(copy.path.parent.iterdir())) == 2
    assert read(shop) == {0}


# Arguments


def test_wrong_arguments(tmp_path):
    text = tmp_path / "text.db"
    text.write_text("no database " * 100)
    shop = make(tmp_path / "shop.db")
    missing = tmp_path / "missing.db"
    for arguments, match in [
        ({"path": missing}, "does not exist; give the file"),
        ({"path": ":memory:"}, "does not exist; give the file"),
        ({"path": tmp_path}, "is a directory; give the file"),
        ({"path": text}, "file is not a database; give the file"),
        ({"path": shop, "directory": missing}, "is not a directory; create it"),
        ({"path": shop, "timeout": -1}, "timeout is -1; give the seconds"),
    ]:
        with pytest.raises(ConfigError, match=match):
            SQLiteCopies(**arguments)
    assert not missing.exists()


def test_a_token_that_names_no_copy_removes_nothing(shop, kept, tmp_path):
    world = SQLiteCopies(shop, directory=kept)
    for token in ["", "what", f"{'0' * 64}:{shop}"]:
        with pytest.raises(ConfigError, match="names no copy; give"), world.reopen(token):
            pass
    assert shop.exists()


def test_a_relative_path_means_the_same_file_later(shop, kept, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    world = SQLiteCopies(shop.name, directory="kept")
    monkeypatch.chdir("/")
    with world(0, {}) as copy:
        write(copy, 1)
        world.promote(copy)
    assert read(shop) == {1}


def test_the_digest_leaves_out_only_bookkeeping(shop, tmp_path):
    def digest(name):
        with closing(sqlite3.connect(module._uri(shop), uri=True)) as db:
            return module._backup(db, tmp_path / name)

    first = digest("a")
    assert digest("b") == first
    with closing(sqlite3.connect(shop)) as db:
        db.execute("PRAGMA application_id = 5")
        db.commit()
    assert digest("c") != first
