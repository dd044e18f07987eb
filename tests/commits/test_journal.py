"""Journals: an intent before, an outcome after, and of two that claim one attempt only the first."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from contextlib import asynccontextmanager

import pytest
from langchain_core.messages import ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.types import Command
from naming import named

from ec_agent import ConfigError, Journal, MemoryJournal, SQLiteJournal
from ec_agent.commits.journal import check_journal
from ec_agent.commits.saver_journal import SaverJournal

SYNC = ("memory", "sqlite", "saver", "sqlite_saver")
ASYNC = ("memory", "sqlite", "saver", "async_sqlite_saver")


class Sync:
    """Calls a journal's sync methods."""

    def __init__(self, journal):
        self.journal = journal

    async def __call__(self, name, *args):
        return getattr(self.journal, name)(*args)


class Async(Sync):
    """Calls a journal's async methods."""

    async def __call__(self, name, *args):
        return await getattr(self.journal, f"a{name}")(*args)


@asynccontextmanager
async def opened(kind, folder):
    if kind == "memory":
        yield MemoryJournal()
    elif kind == "sqlite":
        yield SQLiteJournal(folder / "commits.sqlite")
    elif kind == "saver":
        yield SaverJournal(InMemorySaver(), "thread")
    elif kind == "sqlite_saver":
        with SqliteSaver.from_conn_string(str(folder / "run.sqlite")) as saver:
            yield SaverJournal(saver, "thread")
    else:
        async with AsyncSqliteSaver.from_conn_string(str(folder / "run.sqlite")) as saver:
            yield SaverJournal(saver, "thread")


@pytest.fixture(params=[(Sync, kind) for kind in SYNC] + [(Async, kind) for kind in ASYNC], ids=lambda p: p[1])
async def ask(request, tmp_path):
    driver, kind = request.param
    async with opened(kind, tmp_path) as journal:
        yield driver(journal)


def intent(by, **more):
    return {"tool": "send", "args": "{'to': 'ann'}", "at": 1.5, "by": by, **more}


async def plain(ask, key="k"):
    return [(entry.intent, entry.outcome) for entry in await ask("read", key)]


async def test_a_new_key_has_no_attempts(ask):
    assert await ask("read", "k") == []


async def test_an_intent_is_open_until_its_outcome_is_noted(ask):
    assert await ask("claim", "k", 0, intent("me"))
    assert await plain(ask) == [(intent("me"), None)]
    await ask("note", "k", 0, {"status": "done", "value": 3})
    assert await plain(ask) == [(intent("me"), {"status": "done", "value": 3})]


async def test_the_first_claim_stands(ask):
    assert await ask("claim", "k", 0, intent("me"))
    assert not await ask("claim", "k", 0, intent("you"))
    assert await plain(ask) == [(intent("me"), None)]


async def test_a_late_claim_does_not_change_the_outcome(ask):
    await ask("claim", "k", 0, intent("me"))
    await ask("note", "k", 0, {"status": "done", "value": "sent"})
    assert not await ask("claim", "k", 0, intent("you"))
    assert await plain(ask) == [(intent("me"), {"status": "done", "value": "sent"})]


async def test_attempts_follow_each_other(ask):
    for attempt in range(12):  # as text, "10" would come before "2"
        assert await ask("claim", "k", attempt, intent(f"run {attempt}"))
        await ask("note", "k", attempt, {"status": "paused"})
    assert [entry[0]["by"] for entry in await plain(ask)] == [f"run {attempt}" for attempt in range(12)]
    assert not await ask("claim", "k", 11, intent("late"))
    assert await ask("claim", "k", 12, intent("next"))


async def test_keys_do_not_mix(ask):
    await ask("claim", "k", 0, intent("me"))
    await ask("claim", "k/search/1", 0, intent("you"))
    await ask("note", "k", 0, {"status": "done", "value": 1})
    assert await plain(ask, "k/search/1") == [(intent("you"), None)]


async def test_a_tools_answer_is_read_back_equal(ask):
    message = ToolMessage("sent", tool_call_id="c1", artifact={"n": 1}, status="error")
    command = Command(update={"messages": [message]}, goto="next")
    for attempt, value in enumerate((message, command, [message, command], None)):
        await ask("claim", "k", attempt, intent("me"))
        await ask("note", "k", attempt, {"status": "done", "value": value})
    assert [outcome["value"] for _, outcome in await plain(ask)] == [message, command, [message, command], None]


async def test_any_text_can_be_a_key(ask):
    for key in ("", "a/b c|d:e", "ключ", "x" * 500):
        assert await ask("claim", key, 0, intent(key))
        assert await plain(ask, key) == [(intent(key), None)]


@pytest.mark.parametrize("kind", ["memory", "sqlite", "saver", "sqlite_saver"])
async def test_one_of_several_threads_wins_an_attempt(kind, tmp_path):
    racers = 16
    async with opened(kind, tmp_path) as journal:
        for attempt in range(5):
            line = threading.Barrier(racers)

            def claim(number, attempt=attempt, line=line):
                line.wait()
                return journal.claim("k", attempt, intent(number))

            with concurrent.futures.ThreadPoolExecutor(racers) as pool:
                won = list(pool.map(claim, range(racers)))
            assert sum(won) == 1
            assert journal.read("k")[attempt].intent["by"] == won.index(True)
            journal.note("k", attempt, {"status": "paused"})


@pytest.mark.parametrize("kind", ASYNC)
async def test_one_of_several_tasks_wins_an_attempt(kind, tmp_path):
    async with opened(kind, tmp_path) as journal:
        won = await asyncio.gather(*(journal.aclaim("k", 0, intent(number)) for number in range(16)))
        assert sum(won) == 1
        assert (await journal.aread("k"))[0].intent["by"] == won.index(True)


def test_two_journals_of_one_file_share_entries(tmp_path):
    one, two = SQLiteJournal(tmp_path / "c.sqlite"), SQLiteJournal(str(tmp_path / "c.sqlite"))
    assert one.claim("k", 0, intent("one"))
    assert not two.claim("k", 0, intent("two"))
    two.note("k", 0, {"status": "done", "value": "sent"})
    assert one.read("k")[0].outcome == {"status": "done", "value": "sent"}


def test_a_file_is_made_when_it_is_first_used(tmp_path):
    journal = SQLiteJournal(tmp_path / "c.sqlite")
    assert not (tmp_path / "c.sqlite").exists()
    journal.claim("k", 0, intent("me"))
    assert (tmp_path / "c.sqlite").exists()


def test_deleting_a_thread_deletes_its_journal():
    saver = InMemorySaver()
    one, two = SaverJournal(saver, "one"), SaverJournal(saver, "two")
    assert one.claim("k", 0, intent("me"))
    assert two.read("k") == []
    saver.delete_thread("one")
    assert one.read("k") == []


def test_a_journal_in_memory_does_not_grow_for_ever():
    journal = MemoryJournal(limit=2)
    for key in ("a", "b", "c"):
        journal.claim(key, 0, intent("me"))
    assert journal.read("a") == []
    assert len(journal.read("b")) == len(journal.read("c")) == 1


@pytest.mark.parametrize("path", [None, 3, b"c.sqlite", True], ids=named)
def test_a_bad_path_is_refused(path):
    with pytest.raises(ConfigError, match=r"the journal's path is .*give a file name"):
        SQLiteJournal(path)


def test_a_path_where_no_file_can_be_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "no such folder" / "c.sqlite", str(tmp_path)):
        with pytest.raises(ConfigError, match="give a file in a folder that exists"):
            SQLiteJournal(path)


class Half:
    """A journal without async methods."""

    def read(self, key): ...
    def claim(self, key, attempt, intent): ...
    def note(self, key, attempt, outcome): ...


@pytest.mark.parametrize("journal", [SQLiteJournal, MemoryJournal, "commits.sqlite", 3, Half(), {}], ids=named)
def test_anything_but_a_journal_is_refused(journal):
    with pytest.raises(ConfigError, match=r"journal is .*give SQLiteJournal"):
        check_journal(journal)


def test_a_users_own_journal_class_is_accepted():
    class Own(MemoryJournal):
        pass

    check_journal(Own())
    check_journal(None)
    assert isinstance(Own(), Journal)
