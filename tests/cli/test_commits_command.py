"""``ec-agent commits``: what is listed of a journal and of a checkpointer's database, and how it is settled."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent import CommitError, CommitUncertain, ConfigError, JournalError, SQLiteJournal, best_of_n, commit_tool
from ec_agent.cli.app import app
from ec_agent.testing import Reply, ScriptedChatModel

THREAD = {"configurable": {"thread_id": "customer 7"}}


def run(*words):
    return CliRunner().invoke(app, ["commits", *map(str, words)])


def lines(*words):
    done = run(*words, "--json")
    assert done.exception is None, done.exception
    return [json.loads(line) for line in done.stdout.splitlines()]


class Shop:
    """A graph whose tool dies once; its commits are in a file: the checkpointer's, or a journal."""

    def __init__(self, folder, kind):
        self.sent, self.dies = [], True
        self.checkpoints = folder / "checkpoints.sqlite"
        self.file = folder / "commits.sqlite" if kind == "journal" else self.checkpoints
        self.journal = SQLiteJournal(self.file) if kind == "journal" else None

    def go(self, given):
        @commit_tool
        @tool
        def send(text: str) -> str:
            """Send."""
            if self.dies:
                raise KeyboardInterrupt
            self.sent.append(text)
            return f"sent {text}"

        def script(messages, index):
            if messages[-1].type == "tool":
                return Reply("end", entropies=[0.1] * 4)
            return Reply(
                "r", [("send", {"text": f"\x1b[31m{index}"})], [2.0 if p == 2 - index else 0.1 for p in range(4)]
            )

        node = best_of_n(
            create_agent(ScriptedChatModel(script), [send]), n=2, on_commit="execute", journal=self.journal
        )
        builder = StateGraph(MessagesState)
        builder.add_node("solve", node)
        builder.add_edge(START, "solve")
        with SqliteSaver.from_conn_string(str(self.checkpoints)) as saver:
            return builder.compile(checkpointer=saver).invoke(given, THREAD)


@pytest.fixture(params=["journal", "checkpointer"])
def shop(request, tmp_path):
    shop = Shop(tmp_path, request.param)
    with pytest.raises(KeyboardInterrupt):
        shop.go({"messages": "q"})
    shop.dies = False
    return shop


def test_what_nobody_knows_the_end_of_is_listed_with_its_key_and_what_to_do(shop):
    with pytest.raises(CommitUncertain) as caught:
        shop.go(None)
    (row,) = lines("ls", shop.file)
    assert (row["key"], row["tool"], row["status"], row["uncertain"]) == (caught.value.key, "send", "open", True)
    assert row["thread"] == (None if shop.journal is not None else "customer 7")
    done = run("ls", shop.file)
    for part in (row["key"], "send({'text': ", "begun 20", "the run ended before its outcome was known"):
        assert part in done.stdout
    assert "1 commit; its outcome is not known\n" in done.stderr
    assert "commits settle" in done.stderr
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("known", "unknown", "said"),
    [
        (0, 0, "no commits"),
        (1, 0, "1 commit; its outcome is known"),
        (2, 0, "2 commits; the outcome of each is known"),
        (0, 2, "2 commits; the outcome of 2 is not known"),
        (2, 1, "3 commits; the outcome of 1 is not known"),
    ],
)
def test_they_are_counted_and_how_to_list_those_that_are_not_shown(tmp_path, known, unknown, said):
    journal = SQLiteJournal(tmp_path / "c.sqlite")
    journal.read("")  # which makes the file
    for number in range(known + unknown):
        journal.claim(f"k{number}", 0, {"tool": "send", "args": "", "at": 1.0, "by": "me", "key": f"k{number}"})
        if number < known:
            journal.note(f"k{number}", 0, {"status": "done", "value": "sent"})
    hint = f"; list all: ec-agent commits ls {journal.path} --all" if known else ""
    assert run("ls", journal.path).stderr.splitlines()[0] == f"{said}{hint}"
    assert run("ls", journal.path, "--all").stderr.splitlines()[0] == said


def test_one_settled_otherwise_before_is_refused(shop):
    (row,) = lines("ls", shop.file)
    for words in (["--done", "I looked"], ["--done", "I looked"]):
        assert run("settle", shop.file, row["key"], *words).exit_code == 0
    done = run("settle", shop.file, row["key"], "--not-done")
    assert isinstance(done.exception, CommitError)
    assert "settled by hand before, as done, with the result 'I looked'" in str(done.exception)


def test_one_that_was_done_is_settled_with_its_result(shop):
    (row,) = lines("ls", shop.file)
    done = run("settle", shop.file, row["key"], "--done", "I looked")
    assert done.exit_code == 0, done.exception
    assert "is taken for done when the run is resumed" in done.stdout
    assert shop.go(None)["messages"][-1].content == "I looked"
    assert shop.sent == []
    assert lines("ls", shop.file) == []
    assert [each["status"] for each in lines("ls", shop.file, "--all")] == ["done"]


def test_one_that_was_not_is_done_then_once(shop):
    (row,) = lines("ls", shop.file)
    done = run("settle", shop.file, row["key"][:8], "--not-done")
    assert "is carried out, once, under the same key" in done.stdout
    assert lines("ls", shop.file) == []
    shop.go(None)
    shop.go(None)
    assert len(shop.sent) == 1
    (after,) = lines("ls", shop.file, "--all")
    assert (after["key"], after["status"]) == (row["key"], "done")


@pytest.mark.parametrize("words", [[], ["--done", "x", "--not-done"]], ids=["nothing", "both"])
def test_it_must_be_said_what_was_found(shop, words):
    (row,) = lines("ls", shop.file)
    done = run("settle", shop.file, row["key"], *words)
    assert isinstance(done.exception, ConfigError)
    assert "--done RESULT" in str(done.exception)


@pytest.mark.parametrize("key", ["no such key", "a", ""])
def test_a_key_that_is_none(shop, key):
    done = run("settle", shop.file, key, "--not-done")
    assert isinstance(done.exception, ConfigError)
    assert "no commit has the key" in str(done.exception)
    assert "ls --all" in str(done.exception)


def test_a_beginning_that_several_have(tmp_path):
    journal = SQLiteJournal(tmp_path / "c.sqlite")
    for key in ("aaaaaa-1", "aaaaaa-2"):
        journal.claim(key, 0, {"tool": "send", "args": "", "at": 1.0, "by": "me"})
    done = run("settle", journal.path, "aaaaaa", "--not-done")
    assert "2 commits have the key" in str(done.exception)


def missing(path):
    pass


def another_database(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE shop (name TEXT)")


def no_database(path):
    path.write_bytes(b"text" * 500)


def damaged(path):
    SQLiteJournal(path).claim("k", 0, {"tool": "send", "args": "", "at": 1.0, "by": "me"})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE commits SET intent = ?", (b"\xc1",))


@pytest.mark.parametrize("spoil", [missing, another_database, no_database, damaged])
@pytest.mark.parametrize("words", [["ls"], ["settle", "KEY-OF-IT", "--not-done"]], ids=["ls", "settle"])
def test_a_file_that_is_no_use(tmp_path, spoil, words):
    path = tmp_path / "c.sqlite"
    spoil(path)
    done = run(words[0], path, *words[1:])
    assert isinstance(done.exception, ConfigError | JournalError)
    assert "c.sqlite" in str(done.exception)
    assert path.exists() == (spoil is not missing)
