"""Environments that are gone when the run goes on: nothing is run again for ever, no answer asked for in vain."""

from __future__ import annotations

import contextlib
import sqlite3
from contextlib import closing

import kit
import mailing
import pytest
from kit import THREAD
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from mailing import executing
from test_commit_uncertain import Fragile, Pulled

from ec_agent import CommitError, CommitUncertain, EnvironmentGoneError, SQLiteCopies, get_environment, settle_commit
from ec_agent.rollouts.question import Question


class Worlds:
    """Environments that last as long as the run; ``entered`` has their rollouts."""

    def __init__(self):
        self.entered = []

    @contextlib.contextmanager
    def __call__(self, index, given):
        self.entered.append(index)
        yield index


class Tokened(Worlds):
    """Some that say they can be reopened, and cannot."""

    def __call__(self, index, given):
        return contextlib.nullcontext(self)

    token = "a"

    def reopen(self, token):
        raise LookupError(token)


def asking(post):
    @tool
    def send(to: str) -> str:
        """Send, if somebody agrees."""
        return post.deliver(to) if interrupt(f"send to {to}?") == "yes" else "left undone"

    return send


@pytest.mark.parametrize("form", ["create_agent", "loop"])
def test_asking_in_an_environment_that_cannot_wait_is_refused(run, post, form):
    send, worlds = asking(post), Worlds()
    agent = mailing.agent(form, mailing.sending("ann", "bob"), [send, post.search])
    graph = kit.outer(executing(agent, send, environment=worlds), checkpointer=InMemorySaver())
    with pytest.raises(CommitError, match=r"asks by interrupt\(\), but its environment.*give environment= a"):
        run.invoke(graph, {"messages": "go"}, THREAD)
    assert sorted(worlds.entered) == [0, 1]
    assert post.done == []


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_asking_in_a_reopenable_environment_works(run, post, answer, tmp_path):
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE sold (name TEXT)")

    @tool
    def send(to: str) -> str:
        """Send, if somebody agrees."""
        if interrupt(f"send to {to}?") != "yes":
            return "left undone"
        with closing(get_environment().connect()) as world, world:
            world.execute("INSERT INTO sold VALUES (?)", (to,))
        return post.deliver(to)

    copies = SQLiteCopies(str(path))
    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), [send, post.search])
    node = executing(agent, send, environment=copies, promote=copies.promote)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    stopped = run.invoke(graph, {"messages": "go"}, THREAD)
    assert [each.value for each in stopped["__interrupt__"]] == ["send to bob?"]
    searched = len(post.searched)
    done = run.invoke(graph, Command(resume=answer), THREAD)
    assert len(post.searched) == searched
    assert done["messages"][-1].content == ("sent bob" if answer == "yes" else "left undone")
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT name FROM sold").fetchall() == ([("bob",)] if answer == "yes" else [])


def test_an_uncertain_commit_comes_before_new_rollouts(run, post):
    worlds, journal = Worlds(), Fragile()
    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools)
    node = executing(agent, post.send, journal=journal, environment=worlds)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    with pytest.raises(Pulled):
        run.invoke(graph, {"messages": "go"}, THREAD)
    for _ in range(2):
        with pytest.raises(CommitUncertain) as caught:
            run.invoke(graph, None, THREAD)
    assert sorted(worlds.entered) == [0, 1]
    settle_commit(journal, caught.value.key, "it had arrived")
    assert run.invoke(graph, None, THREAD)["messages"][-1].content == "it had arrived"
    assert sorted(worlds.entered) == [0, 0, 1, 1]
    assert post.done == ["bob"]


@pytest.mark.parametrize("worlds", [Worlds, Tokened])
@pytest.mark.parametrize("acts", [False, True], ids=["answers", "acts"])
def test_rollouts_that_lose_environments_do_not_repeat_forever(run, post, monkeypatch, worlds, acts):
    """As it would be for rollouts that run elsewhere, and whose worlds stay there."""
    made = worlds()

    def enter(self, index):
        made.entered.append(index) if hasattr(made, "entered") else None
        yield from ()

    monkeypatch.setattr(Question, "enter", enter)
    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools)
    more = {"commit": [post.send], "on_commit": "execute"} if acts else {}
    node = mailing.best_of_n(agent, n=2, environment=made, **more)
    with pytest.raises(EnvironmentGoneError, match=r"environments of rollouts \[0, 1\] are gone.*resume the run"):
        run.invoke(kit.outer(node, checkpointer=InMemorySaver()), {"messages": "go"}, THREAD)
    assert made.entered in ([0, 1], [1, 0])


def test_a_winner_without_environment_does_not_repeat_forever(run, post, monkeypatch):
    worlds, world_of = Worlds(), Question.reopen

    def gone(self, index, token):
        if self.unchosen is None and worlds.entered.count(1) > 1:
            self.worlds.pop(index, None)
            yield from ()
            return False
        return (yield from world_of(self, index, token))

    agent = mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools)
    graph = kit.outer(executing(agent, post.send, environment=worlds), checkpointer=InMemorySaver())
    worlds.entered.append(1)
    monkeypatch.setattr(Question, "reopen", gone)
    with pytest.raises(EnvironmentGoneError):
        run.invoke(graph, {"messages": "go"}, THREAD)
    assert len(worlds.entered) == 3
    assert post.done == []
