"""A promotion puts the winner's content in place, or leaves the database as it was and says why."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from shops import MODES, make, read, versions, write

from ec_agent.environments.sqlite import SQLiteCopies
from ec_agent.errors import PromotionError


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


def test_a_copy_in_wal_mode_keeps_the_sources_mode(shop, kept):
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


def test_an_open_exclusive_transaction_ends_in_an_error(shop, kept):
    world = SQLiteCopies(shop, directory=kept, timeout=0.1)
    with world(0, {}) as copy, closing(copy.connect()) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(PromotionError, match="locked"):
            world.promote(copy)


def test_a_missing_source_is_not_created(shop, kept):
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
def test_a_winner_may_have_another_page_size(tmp_path, kept, mode):
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
