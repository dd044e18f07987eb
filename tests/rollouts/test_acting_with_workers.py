"""``engine=``: what happens after the choice. It happens here, from what came back from the workers."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import kit
import pytest
import worker_agents
from fake_cluster import FakeEngine
from kit import THREAD
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from questions import asked as questions_of

from ec_agent import ConfigError, EnvironmentGoneError, Limits, best_of_n
from ec_agent.environments.sqlite import SQLiteCopies
from ec_agent.stopping import More, Stop

pytestmark = [kit.SAME, pytest.mark.usefixtures("quick")]
GO = {"messages": "go"}
WHOLE = [("human", "go"), ("ai", ""), ("tool", "sent by 0"), ("ai", ""), ("tool", "sent 1"), ("ai", "answer 2")]


@pytest.fixture(autouse=True)
def empty():
    worker_agents.post.sent.clear()
    worker_agents.post.keys.clear()


def said(done):
    return [(message.type, message.content) for message in done["messages"]]


@contextmanager
def lasting(path):
    """A checkpointer that outlasts the process which opened it."""
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        yield SqliteSaver(connection)


def threads_in(path):
    with closing(sqlite3.connect(path)) as connection:
        return {
            row[0]
            for table in ("checkpoints", "writes")
            for row in connection.execute(f"SELECT thread_id FROM {table}")
        }


# Questions to people


def test_each_answer_may_come_in_another_process_and_find_other_workers(asked, tmp_path):
    path, questions = tmp_path / "saver.sqlite", []
    for word in (GO, Command(resume="a"), Command(resume="b")):
        with lasting(path) as saver:
            graph = kit.outer(asked("worker_agents:asking", n=3, engine=FakeEngine(workers=1)), checkpointer=saver)
            done = graph.invoke(word, THREAD)
        questions.append(questions_of(done))
    assert questions == [["first"], ["second"], []]
    assert [text for _, text in said(done)] == ["go", "answer 1", "1 was told a", "1 was told b", "answer 1"]
    assert threads_in(path) == {"t"}


def test_questions_are_asked_without_a_process_between(run, asked):
    graph = kit.outer(asked("worker_agents:asking", n=3), checkpointer=InMemorySaver())
    done = [run.invoke(graph, word, THREAD) for word in (GO, Command(resume="a"), Command(resume="b"))]
    assert [questions_of(each) for each in done] == [["first"], ["second"], []]
    assert said(done[-1])[-2:] == [("human", "1 was told b"), ("ai", "answer 1")]


def test_breakpoints_pause_the_winner(run, asked):
    graph = asked("worker_agents:asking", n=3).as_agent()
    graph.checkpointer = saver = InMemorySaver()
    run.invoke(graph, GO, THREAD, interrupt_before=["b1"])
    assert graph.get_state(THREAD).next
    done = run.invoke(graph, None, THREAD)
    assert questions_of(done) == ["first"]
    assert len([thread for thread in saver.storage if thread != "t"]) == 1  # the winner is parked, and nobody else


def test_a_worker_that_dies_with_a_parked_rollout_takes_nothing_with_it(run, asked):
    engine = FakeEngine(workers=1, per_worker=1)
    graph = kit.outer(asked("worker_agents:asking", n=3, engine=engine), checkpointer=InMemorySaver())
    run.invoke(graph, GO, THREAD)
    engine.clusters[0].undelivered.add("run")
    done = run.invoke(graph, Command(resume="a"), THREAD)
    assert questions_of(done) == ["second"]
    assert questions_of(run.invoke(graph, Command(resume="b"), THREAD)) == []
    assert len(engine.clusters[0].actors) == 2


# Commits


@pytest.mark.parametrize("kills", [(), (0,), (1, 2), (0, 1, 2)], ids=["no kill", "first", "later", "each"])
def test_each_action_is_carried_out_here_and_once(run, asked, tmp_path, kills):
    """Also if a worker is killed in a round between the end of a rollout and its delivery."""
    post, engine = worker_agents.post, FakeEngine(workers=1)
    commits = {"commit": [post.send, post.pay], "on_commit": "execute", "continue_after_commit": True}
    node = asked("worker_agents:posting", n=3, engine=engine, **commits)

    def kill(event):
        if event["type"] == "ec_agent.rollout.started" and event["round"] in left:
            left.remove(event["round"])
            engine.clusters[0].undelivered.add("run")

    left = list(kills)
    done = run.run(node, GO, on_event=kill)
    assert not left
    assert said(done.output) == WHOLE
    assert post.sent == [("by 0", 0), (1, 1)]
    assert len(set(post.keys)) == 2
    assert [each.winner for each in (*done.selection.earlier, done.selection)] == [0, 1, 2]
    assert len(engine.clusters[0].actors) == 1 + len(kills)


def test_a_run_that_is_resumed_goes_on_from_what_workers_parked(asked, tmp_path, monkeypatch):
    """The second letter cannot be sent at first: by then its rollout was parked, and its workers are gone."""
    post, path = worker_agents.post, tmp_path / "saver.sqlite"
    commits = {"commit": [post.send, post.pay], "on_commit": "execute", "continue_after_commit": True}

    def node():
        return asked("worker_agents:posting", n=3, engine=FakeEngine(workers=1), on_uncertain="retry", **commits)

    deliver = post.deliver
    monkeypatch.setattr(post, "deliver", lambda what: broken() if post.sent else deliver(what))
    with lasting(path) as saver, pytest.raises(BrokenPipeError):
        kit.outer(node(), checkpointer=saver).invoke(GO, THREAD)
    monkeypatch.setattr(post, "deliver", deliver)
    with lasting(path) as saver:
        done = kit.outer(node(), checkpointer=saver).invoke(None, THREAD)
    assert said(done) == WHOLE
    assert post.sent == [("by 0", 0), (1, 1)]
    assert threads_in(path) == {"t"}


def broken():
    raise BrokenPipeError("no line")


EXECUTING = {"n": 2, "on_commit": "execute", "continue_after_commit": True}


def test_values_that_no_checkpoint_may_hold_go_on_with_the_winner(run, asked):
    saver = InMemorySaver()
    node = asked("worker_agents:with_a_handle", commit=[worker_agents.post.pay], **EXECUTING)
    graph = kit.outer(node, worker_agents.Handled, checkpointer=saver)
    done = run.invoke(graph, GO, THREAD)
    assert [text for _, text in said(done)][-2:] == ["sent 1", "used handle of 1"]
    assert done["handle"] == "handle of 1"


def test_a_step_of_two_actions_runs_again_and_does_each_once(run, asked):
    post = worker_agents.post
    done = run.run(asked("worker_agents:of_two_letters", commit=[post.send], **EXECUTING), GO)
    assert [what for what, _ in post.sent] == ["ann", "bob"]
    assert [text for _, text in said(done.output)] == ["go", "answer 1", "sent ann", "sent bob"]


def test_a_winner_s_call_is_left_to_the_graph(run, asked):
    node = asked("worker_agents:posting", n=3, commit=["send", "pay"])
    done = run.invoke(kit.outer(node), GO)
    assert done["messages"][-1].tool_calls[0]["args"] == {"to": "by 0"}
    assert worker_agents.post.sent == []


# Environments


@pytest.fixture
def stock(tmp_path):
    path = tmp_path / "stock.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE stock (n); INSERT INTO stock VALUES (1)")
    (tmp_path / "copies").mkdir()
    return SQLiteCopies(path, directory=tmp_path / "copies")


def amount(stock):
    with closing(sqlite3.connect(stock.path)) as connection:
        return connection.execute("SELECT n FROM stock").fetchone()[0]


def copies(stock):
    return list(Path(stock.directory).iterdir())


def test_the_winner_s_environment_is_opened_here_and_promoted(run, asked, stock):
    engine = FakeEngine(workers=2)
    node = asked("worker_agents:in_a_world", engine=engine, environment=stock, promote=stock.promote)
    assert run.run(node, GO).selection.winner == 1
    assert amount(stock) == 1 + 20
    assert copies(stock) == []


def test_environments_of_rollouts_that_do_not_win_are_left(run, asked, stock):
    node = asked("worker_agents:in_a_world", environment=stock, stop=Two(), limits=Limits(max_concurrency=2))
    assert run.run(node, GO).selection.ended == 2
    assert (amount(stock), copies(stock)) == (1, [])
    node = asked("worker_agents:in_a_world", environment=stock, limits=Limits(recursion_limit=1))
    with pytest.raises(Exception, match="all 4 rollouts failed"):
        run.run(node, GO)
    assert copies(stock) == []


class Two:
    name, signals = "two", ()

    def enough(self, candidates, running, n):
        return Stop("two are enough") if len(candidates) >= 2 else More(2)


class Worlds:
    """Environments that workers have."""

    def __init__(self, token="t", reopen=None):
        self.token, self.how = token, reopen

    def __call__(self, index, known):
        return self.given()

    @contextmanager
    def given(self):
        yield self

    def reopen(self, token):
        if self.how is None:
            raise FileNotFoundError(token)
        return self.given()


class Async(Worlds):
    def __call__(self, index, known):
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


@pytest.mark.parametrize(
    ("worlds", "error", "said"),
    [
        (Worlds(), EnvironmentGoneError, r"which ran on a worker, cannot be opened here: reopen.'t'. raised FileNotF"),
        (Worlds(token=None), ConfigError, "what environment= gives has no token"),
        (Async(), None, "environment= gave an async context manager, which a worker cannot keep open"),
    ],
)
def test_environments_that_cannot_be_opened_here_are_told_and_not_tried_for_ever(run, asked, worlds, error, said):
    node = asked("worker_agents:plain", environment=worlds)
    with pytest.raises(error or Exception, match=said):
        run.run(node, GO)


def test_environments_without_a_way_to_open_them_again_are_refused(engine):
    with pytest.raises(ConfigError, match=r"environment= has no reopen.token.*as SQLiteCopies has"):
        best_of_n("worker_agents:plain", environment=Worlds().__call__, engine=engine)
