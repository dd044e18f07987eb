"""Journals that cannot be used say so, as an error of ours, before anything is done."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from naming import named

from ec_agent import (
    CommitUncertain,
    ConfigError,
    EcAgentError,
    JournalError,
    MemoryJournal,
    SaverJournal,
    SQLiteJournal,
    best_of_n,
    commit_tool,
)
from ec_agent.commits.at_most_once import Once
from ec_agent.support.plans import Step, adrive, drive
from ec_agent.testing import Reply, ScriptedChatModel

INTENT = {"tool": "send", "args": "{}", "at": 1.0, "by": "me"}
CALLS = [("read", "k"), ("claim", "k", 1, INTENT), ("note", "k", 0, {"status": "done", "value": 1})]


def no_database(path):
    path.write_bytes(b"no database" * 200)
    return


def damaged(path):
    SQLiteJournal(path).claim("k", 0, INTENT)
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (os.path.getsize(path) - 4096))
    return


def another_table(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE commits (hash TEXT, author TEXT)")
    return


def locked(path):
    SQLiteJournal(path).claim("k", 0, INTENT)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    return other


@pytest.fixture(params=[no_database, damaged, another_table, locked], ids=lambda f: f.__name__)
def spoilt(request, tmp_path):
    """A file that is no good as a journal."""
    path = tmp_path / "commits.sqlite"
    held = request.param(path)
    yield path
    if held is not None:
        held.close()


def ask(api, target, name, *args):
    return getattr(target, name)(*args) if api == "sync" else asyncio.run(getattr(target, f"a{name}")(*args))


@pytest.mark.parametrize("call", CALLS, ids=lambda c: c[0])
@pytest.mark.parametrize("api", ["sync", "async"])
def test_a_file_that_cannot_be_used(spoilt, call, api):
    with pytest.raises(JournalError, match=r"commits.sqlite cannot be used \(.*\); (give another|another process)"):
        ask(api, SQLiteJournal(spoilt, timeout=0.05), *call)


def test_a_damaged_entry_is_an_error(tmp_path):
    path = tmp_path / "c.sqlite"
    SQLiteJournal(path).claim("k", 0, INTENT)
    for kind, blob in (("msgpack", b"\xc1\xff"), ("nonsense", b""), ("json", b"[1, 2]")):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE commits SET intent_type = ?, intent = ?", (kind, blob))
        with pytest.raises(JournalError, match="cannot be used"):
            SQLiteJournal(path).read("k")


def test_an_outcome_without_an_intent_is_an_error(tmp_path):
    with pytest.raises(JournalError, match="no longer has attempt 0 of 'k'"):
        SQLiteJournal(tmp_path / "c.sqlite").note("k", 0, {"status": "done", "value": 1})


@pytest.mark.parametrize("call", CALLS, ids=lambda c: c[0])
def test_a_checkpointer_that_fails(tmp_path, call):
    name, *args = call
    with SqliteSaver.from_conn_string(str(tmp_path / "s.sqlite")) as saver:
        SaverJournal(saver, "t").claim("k", 0, INTENT)
        saver.conn.execute("DROP TABLE writes")
        with pytest.raises(JournalError, match=r"the checkpointer.* failed \(OperationalError"):
            getattr(SaverJournal(saver, "t"), name)(*args)


@pytest.mark.parametrize("call", CALLS, ids=lambda c: c[0])
def test_an_async_checkpointer_that_fails(tmp_path, call):
    name, *args = call

    async def ask():
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "s.sqlite")) as saver:
            await SaverJournal(saver, "t").aclaim("k", 0, INTENT)
            await saver.conn.execute("DROP TABLE writes")
            with pytest.raises(JournalError, match=r"the checkpointer.* failed \(OperationalError"):
                await getattr(SaverJournal(saver, "t"), f"a{name}")(*args)

    asyncio.run(ask())


@pytest.mark.parametrize("limit", [0, -1, "x", 1.5, None, True], ids=named)
def test_a_senseless_limit_is_refused(limit):
    with pytest.raises(ConfigError, match=r"limit is .*a whole number from 1"):
        MemoryJournal(limit=limit)


@pytest.mark.parametrize("timeout", [-1, "x", None, True, float("nan"), float("inf")], ids=named)
def test_a_senseless_timeout_is_refused(tmp_path, timeout):
    with pytest.raises(ConfigError, match=r"timeout is .*give seconds, 0 or more"):
        SQLiteJournal(tmp_path / "c.sqlite", timeout=timeout)


def acting(journal, sent):
    @commit_tool
    @tool
    def send(text: str) -> str:
        """Send."""
        sent.append(text)
        return "sent"

    def script(messages, index):
        sent.append("asked") if index is not None else None
        calls = [] if messages[-1].type == "tool" else [("send", {"text": f"x{index}"})]
        return Reply("r", calls, [2.0, 0.1, 0.1] if index else [0.1, 0.1, 2.0])

    return best_of_n(create_agent(ScriptedChatModel(script), [send]), n=2, on_commit="execute", journal=journal)


@pytest.mark.parametrize("api", ["sync", "async"])
def test_an_unreadable_journal_fails_before_any_rollout(spoilt, api):
    sent = []
    node = acting(SQLiteJournal(spoilt, timeout=0.05), sent)
    with pytest.raises(EcAgentError, match="cannot be used"):
        ask(api, node, "invoke", {"messages": "q"})
    assert sent == []


@pytest.mark.parametrize("api", ["sync", "async"])
def test_with_an_unwritable_journal_nothing_is_sent(tmp_path, api):
    class Full(SQLiteJournal):
        def claim(self, *args):
            with self._open():
                raise sqlite3.OperationalError("database or disk is full")

    sent = []
    node = acting(Full(tmp_path / "c.sqlite"), sent)
    with pytest.raises(JournalError, match="disk is full"):
        ask(api, node, "invoke", {"messages": "q"})
    assert set(sent) == {"asked"}


@pytest.mark.parametrize("api", ["sync", "async"])
def test_a_done_action_not_written_names_its_key(tmp_path, api):
    class Lost(SQLiteJournal):
        def note(self, *args):
            with self._open():
                raise sqlite3.OperationalError("disk I/O error")

    done = []

    async def wait():
        done.append(1)

    plan = Once(Lost(tmp_path / "c.sqlite")).plan("k", "send", {"to": "ann"}, Step(lambda: done.append(1), wait))
    with pytest.raises(CommitUncertain, match=r"was carried out, but .*disk I/O error.*settle_commit\(journal, 'k'"):
        drive(plan) if api == "sync" else asyncio.run(adrive(plan))
    assert done == [1]


def test_more_actions_than_the_limit_are_all_done():
    journal, done = MemoryJournal(limit=1), []

    def both(key):
        inner = Once(journal).plan("inner", "send", 1, Step(lambda: done.append("inner"), None))
        if key == "outer":
            return Once(journal).plan("outer", "send", 0, Step(lambda: drive(inner) or done.append("outer"), None))
        return None

    drive(both("outer"))
    assert done == ["inner", "outer"]
    assert len(journal._entries) <= 2


def test_a_memory_journal_drops_finished_entries_first():
    journal = MemoryJournal(limit=2)
    journal.claim("open", 0, INTENT)
    journal.claim("over", 0, INTENT)
    journal.note("over", 0, {"status": "done", "value": 1})
    journal.claim("next", 0, INTENT)
    assert journal.read("over") == []
    assert len(journal.read("open")) == 1
