"""Recording never ends the agent's run: not for what a server, a tool or an agent says, nor for what the file does."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
import warnings

import numpy as np
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from ec_agent import TraceError, TraceStore, TraceWarning, best_of_n, read_only
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.traces.sqlite import database as module

HALF = "x\ud83dy"
LINES = [[2.0, 0.1, 0.1, 0.1], [0.1, 0.1, 2.0, 0.1]]
ASKED = {"messages": "q"}


class Unsayable:
    """Something of the user's that fails when it is to be shown."""

    def __repr__(self):
        raise RuntimeError("no words")


@read_only
@tool
def look(q: str) -> str:
    """Look."""
    return f"{q} {HALF}"


@read_only
@tool(response_format="content_and_artifact")
def fetch(q: str) -> tuple[str, object]:
    """Fetch."""
    return f"{q}\0", Unsayable()


def replies(*turns, **options):
    return ScriptedChatModel([[*turns[:-1], Reply(turns[-1], entropies=line)] for line in LINES], **options)


def using(name, args, *tools):
    return lambda: create_agent(replies(Reply(tool_calls=[(name, args)], entropies=LINES[0]), "a"), list(tools))


def ending_in(action):
    def make():
        model = replies("a")

        def agent(state):
            model.invoke("hi")
            return {"out": action}

        return agent

    return make


def failing_once():
    model, asked = replies("a"), []

    def agent(state):
        model.invoke("hi")
        asked.append(None)
        if len(asked) == 1:
            raise ValueError(HALF, Unsayable)
        return {"out": "a"}

    return agent


SAID = {
    "half a character in the model's name": lambda: create_agent(replies("a", model_name=HALF), []),
    "half a character in an answer": lambda: create_agent(replies(HALF), []),
    "nul": lambda: create_agent(replies("a\0b", model_name="m\0"), []),
    "half a character from a tool": using("look", {"q": HALF}, look),
    "a tool that is not there": using(HALF, {"q": HALF}, look),
    "odd keys and numbers for a tool": using("look", {"q": "a", HALF: 2**70}, look),
    "a tool's artifact": using("fetch", {"q": "a"}, fetch),
    "an error": failing_once,
    "bytes": ending_in(b"\xff"),
    "no number": ending_in([float("nan"), float("inf")]),
    "a number of 5001 digits": ending_in(10**5000),
    "an object without words": ending_in(Unsayable()),
    "keys of tuples": ending_in({(1, 2): 3}),
    "a lock": ending_in(threading.Lock()),
    "numpy": ending_in({"a": np.float32(0.5), "b": np.arange(3)}),
    "a dict like a message of ours": ending_in({"__message__": 5}),
    "a message with odd things": ending_in(AIMessage(HALF, additional_kwargs={"a": b"\xff", "b": Unsayable()})),
}

LONG = "a" * 60_000
"""More than a file's last pages have room for."""


@pytest.fixture
def store(tmp_path):
    with TraceStore(tmp_path / "traces.db", create=True, timeout=0.05) as store:
        yield store


@pytest.fixture(params=["run", "arun"])
def run(request):
    """The answer's last value, and what was said of recording."""

    def run(node, store=None):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            if store is None:
                answer = once(node)
            else:
                with store.recording(name=f"question {HALF}"):
                    answer = once(node)
        return answer, [str(each.message) for each in told if issubclass(each.category, TraceWarning)]

    def once(node):
        output = (node.run(ASKED) if request.param == "run" else asyncio.run(node.arun(ASKED))).output
        return output["messages"][-1].content if "messages" in output else output["out"]

    return run


def readable(store):
    """Each recorded selection's rollouts, read and scored."""
    found = [list(store.rollouts(selection=kept.id)) for kept in store.selections()]
    assert all(isinstance(rollout.trajectory.centroid(), float) for rollouts in found for rollout in rollouts)
    return found


@pytest.mark.parametrize("what", SAID)
def test_whatever_is_said_is_recorded(store, run, what):
    def node():
        return best_of_n(SAID[what](), n=2, keep_text=True, keep_candidates=2)

    alone, _ = run(node())
    answer, told = run(node(), store)
    assert told == []
    assert type(answer) is type(alone)
    (rollouts,) = readable(store)
    assert len(rollouts) == 2
    assert [kept.name for kept in store.selections()] == ["question x\\ud83dy"]


def test_whatever_was_asked_for_is_recorded(store, run):
    def sampling(index):
        return {"seed": 2**70 + index, "more": {HALF: b"\xff"}}

    answer, told = run(best_of_n(create_agent(replies("a"), []), n=2, sampling=sampling), store)
    assert (answer, told) == ("a", [])
    (rollouts,) = readable(store)
    assert [rollout.seed for rollout in rollouts] == [None, None]  # beyond what the column holds
    assert [rollout.sampling["seed"] for rollout in rollouts] == [2**70, 2**70 + 1]


def test_half_characters_are_escaped_in_text_columns(store, run):
    run(best_of_n(SAID["half a character in the model's name"](), n=2), store)
    (rollouts,) = readable(store)
    assert {call.model for rollout in rollouts for call in rollout.trajectory.calls} == {"x\\ud83dy"}
    run(best_of_n(SAID["half a character in an answer"](), n=2), store)
    assert readable(store)[1][0].final_action.content == HALF  # JSON keeps it as it is


# The file


def deleted(store, patch):
    store.path.unlink()


def folder_gone(store, patch):
    store.close()
    shutil.rmtree(store.path.parent)


def another_programs(store, patch):
    store.close()
    store.path.unlink()
    with sqlite3.connect(store.path) as other:
        other.execute("CREATE TABLE theirs (x)")


def damaged(store, patch):
    store.close()
    store.path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 100)


def locked(store, patch):
    store._database.connection.execute("BEGIN IMMEDIATE")


def full(pages):
    """The disk has room for so many more pages of the database."""

    def full(store, patch):
        (has,) = store._database.connection.execute("PRAGMA page_count").fetchone()

        def connect(*args, **kwargs):
            connection = sqlite3.Connection(*args, **kwargs)
            connection.execute(f"PRAGMA max_page_count = {has + pages}")
            return connection

        patch.setattr(module.sqlite3, "connect", connect)

    return full


def failing_at(order, error):
    """SQLite fails at that statement."""

    class Failing(sqlite3.Connection):
        def execute(self, statement, *args):
            if statement.startswith(order):
                raise error
            return super().execute(statement, *args)

        def executemany(self, statement, *args):
            if statement.startswith(order):
                raise error
            return super().executemany(statement, *args)

    def failing_at(store, patch):
        patch.setattr(module.sqlite3, "connect", lambda *args, **kwargs: Failing(*args, **kwargs))

    return failing_at


FILES = {
    "deleted": deleted,
    "its folder is gone": folder_gone,
    "another program's": another_programs,
    "damaged": damaged,
    "locked": locked,
    "full before the first page": full(0),
    "full in the middle": full(3),
    "full at the end": failing_at("COMMIT", sqlite3.OperationalError("database or disk is full")),
    "read only": failing_at("BEGIN", sqlite3.OperationalError("attempt to write a readonly database")),
    "an error of the disk": failing_at("INSERT INTO calls", sqlite3.OperationalError("disk I/O error")),
    "malformed": failing_at("INSERT", sqlite3.DatabaseError("database disk image is malformed")),
    "too big": failing_at("INSERT", sqlite3.DataError("string or blob too big")),
    "no memory": failing_at("INSERT", MemoryError()),
    "whatever else": failing_at("PRAGMA synchronous", OSError(5, "Input/output error")),
}


@pytest.mark.parametrize("what", FILES)
def test_a_failing_file_costs_only_one_warning(store, run, monkeypatch, what):
    with monkeypatch.context() as patch:
        FILES[what](store, patch)
        answer, told = run(best_of_n(create_agent(replies(LONG), []), n=2), store)
    assert answer == LONG
    assert len(told) == 1
    assert told[0].startswith("a selection was not recorded: ")


@pytest.mark.parametrize(
    "what", [name for name in FILES if name.startswith(("full", "an error", "malformed", "no mem"))]
)
def test_earlier_selections_survive_a_failed_write(store, run, monkeypatch, what):
    run(best_of_n(create_agent(replies("first"), []), n=2), store)
    with monkeypatch.context() as patch:
        FILES[what](store, patch)
        assert len(run(best_of_n(create_agent(replies(LONG), []), n=2), store)[1]) == 1
    assert store._database.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert [len(rollouts) for rollouts in readable(store)] == [2]
    assert run(best_of_n(create_agent(replies("third"), []), n=2), store)[1] == []
    assert len(readable(store)) == 2


@pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")
def test_closed_stores_and_other_threads_get_an_error(store):
    result = best_of_n(create_agent(replies("a"), []), n=2).run(ASKED)
    caught = []

    def elsewhere():
        try:
            store.record(result)
        except TraceError as error:
            caught.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    store.close()
    with pytest.raises(TraceError, match="use a store only while it is open"):
        store.record(result)
    with pytest.raises(TraceError, match="use a store only while it is open"):
        list(store.selections())
    assert "in the thread that opened it" in caught[0]
