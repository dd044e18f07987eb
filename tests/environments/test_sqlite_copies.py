"""Copies of a database are apart, are gone when they are left, and can be reopened only while they are there."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing, suppress

import pytest
from shops import MODES, make, read, versions, write

from ec_agent.environments.sqlite import SQLiteCopies
from ec_agent.errors import ConfigError, PromotionError


@MODES
def test_copies_and_source_are_separate(tmp_path, kept, mode):
    shop = make(tmp_path / "shop.db", mode)
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as first, world(1, {}) as second:
        write(first, 1)
        write(second, 2)
        assert (read(first.path), read(second.path), read(shop)) == ({1}, {2}, {0})
        assert first.token != second.token


def test_odd_characters_in_the_path_are_kept(shop, kept):
    world = SQLiteCopies(shop, directory=kept)
    with world(0, {}) as copy:
        write(copy, 1)
        world.promote(copy)
    assert read(shop) == {1}
    assert sorted(path.name for path in shop.parent.iterdir()) == sorted([kept.name, shop.name])


def test_a_copy_includes_what_only_the_wal_has(tmp_path, kept):
    shop = make(tmp_path / "shop.db", "wal")
    with closing(sqlite3.connect(shop, isolation_level=None)) as reader, closing(sqlite3.connect(shop)) as writer:
        reader.execute("BEGIN")
        assert versions(reader) == {0}  # a snapshot that keeps the WAL from being moved into the file
        writer.execute("UPDATE stock SET version = 1")
        writer.commit()
        writer.execute("UPDATE stock SET version = 2")  # not committed
        with SQLiteCopies(shop, directory=kept)(0, {}) as copy:
            assert read(copy.path) == {1}


def test_each_connect_opens_a_connection_for_its_thread(shop, kept):
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
def test_nothing_is_left_after_a_failing_transaction(tmp_path, kept, mode):
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


def test_nothing_is_left_while_a_tool_still_writes(shop, kept):
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


def test_nothing_is_left_when_copying_fails(tmp_path, kept):
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


def test_a_removed_copy_cannot_be_used(shop, kept):
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


# Arguments


def test_wrong_arguments_are_refused(tmp_path):
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


def test_a_forged_token_removes_nothing(shop, kept, tmp_path):
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
