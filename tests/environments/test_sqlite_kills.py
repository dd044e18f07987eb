"""Readers and resumed runs find all old or all new, at whatever moment a process is killed."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from shops import MODES, forked, make, read, running, versions, write

from ec_agent.environments.sqlite import SQLiteCopies


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


def written(journal):
    """Bytes in the journal; below 0 where there is none: SQLite may remove it at any moment."""
    try:
        return journal.stat().st_size
    except FileNotFoundError:
        return -1


@pytest.mark.whole_form("eighteen kills; a reader in another process is in the short form")
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
                while written(journal) < goal and running(pid):
                    pass
                if version >= 10:
                    time.sleep(0.001 * 2 ** (version - 10))  # up to 256 ms
            left = written(journal) > 0
            content = read(shop)
            assert content in ({version - 1}, {version})
            old += content == {version - 1}
            half_written += left and content == {version - 1}
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


def test_a_killed_promotions_files_go_with_the_copy(shop, kept, monkeypatch):
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
