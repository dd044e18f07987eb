"""What others changed meanwhile is noticed, however they did it, and is never overwritten."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing

import pytest
from shops import MODES, in_another_process, make, read, write

from ec_agent.environments import sqlite as module
from ec_agent.environments.sqlite import SQLiteCopies
from ec_agent.errors import PromotionError


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
def test_a_foreign_change_is_found_after_reopen(tmp_path, kept, mode, sql):
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
def test_rewriting_the_same_content_is_no_change(tmp_path, kept, mode):
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
def test_a_last_moment_change_is_not_overwritten(tmp_path, kept, mode, monkeypatch):
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
def test_one_of_several_promotions_wins(tmp_path, kept, mode):
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
