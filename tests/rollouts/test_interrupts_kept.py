"""The answer may come in another process or another turn; meanwhile only the winner is kept, afterwards nobody."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import contextmanager

import kit
import pytest
from kit import SAME, THREAD
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import MessagesState
from langgraph.types import Command, interrupt
from questions import Asking, asked, texts

from ec_agent import Limits, QuorumError, best_of_n


@contextmanager
def sqlite_saver(path):
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        yield SqliteSaver(connection)
    finally:
        connection.close()


def threads_in(path):
    connection = sqlite3.connect(path)
    try:
        tables = ("checkpoints", "writes")
        return {row[0] for table in tables for row in connection.execute(f"SELECT DISTINCT thread_id FROM {table}")}
    finally:
        connection.close()


def test_the_answer_may_come_in_another_process(tmp_path):
    path, calls = tmp_path / "saver.sqlite", []
    for said in ({"messages": "go"}, Command(resume="yes")):
        agent = Asking()
        with sqlite_saver(path) as saver:
            done = kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver).invoke(said, THREAD)
        calls.append(sorted(agent.calls))
    assert calls == [[0, 1, 2], [1]]
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert threads_in(path) == {"t"}


def test_the_answer_may_come_in_another_async_process(tmp_path):
    path, calls = tmp_path / "saver.sqlite", []

    async def step(agent, said):
        async with AsyncSqliteSaver.from_conn_string(str(path)) as saver:
            return await kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver).ainvoke(said, THREAD)

    for said in ({"messages": "go"}, Command(resume="yes")):
        agent = Asking()
        done = asyncio.run(step(agent, said))
        calls.append(sorted(agent.calls))
    assert calls == [[0, 1, 2], [1]]
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert threads_in(path) == {"t"}


def test_several_answers_each_in_another_process(tmp_path):
    path, questions = tmp_path / "saver.sqlite", []

    def asking(name):
        return lambda s: {"messages": [("human", f"{name} told {interrupt(name)}")]}

    for said in ({"messages": "go"}, Command(resume="a"), Command(resume="b")):
        agent = Asking(b1=asking("first"), b2=asking("second"))
        with sqlite_saver(path) as saver:
            done = kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver).invoke(said, THREAD)
        questions.append(asked(done))
    assert questions == [["first"], ["second"], []]
    assert texts(done) == ["go", "answer 1", "first told a", "second told b", "answer 1"]
    assert threads_in(path) == {"t"}


def test_losers_leave_nothing_while_the_winner_waits(tmp_path):
    path = tmp_path / "saver.sqlite"
    with sqlite_saver(path) as saver:
        graph = kit.outer(best_of_n(Asking().graph, n=3), checkpointer=saver)
        graph.invoke({"messages": "go"}, THREAD)
        assert len(threads_in(path)) == 2  # its own, and the winner's


def test_a_question_without_a_winner_leaves_nothing(run):
    agent, saver = Asking(indices=(1, 2)), InMemorySaver()
    failing = kit.graph(MessagesState, agent=agent.graph, z=lambda s: 1 // (kit.rollout_index() or 0))
    graph = kit.outer(best_of_n(failing, n=3, limits=Limits(quorum=3)), checkpointer=saver)
    with pytest.raises(QuorumError):
        run.invoke(graph, {"messages": "go"}, THREAD)
    assert list(saver.storage) == ["t"]


def test_two_turns_on_a_thread_ask_separately(run):
    agent, saver = Asking(), InMemorySaver()
    graph = kit.outer(best_of_n(agent.graph, n=3), checkpointer=saver)
    for turn in range(2):
        assert asked(run.invoke(graph, {"messages": "go"}, THREAD)) == [{"ask": 1}]
        done = run.invoke(graph, Command(resume=f"turn {turn}"), THREAD)
        assert texts(done)[-2:] == [f"1 was told 'turn {turn}'", "answer 1"]
    assert list(saver.storage) == ["t"]


@SAME
def test_a_nested_winner_that_asks_in_another_process(tmp_path):
    path = tmp_path / "saver.sqlite"
    for said in ({"messages": "go"}, Command(resume="yes")):
        agent = Asking()
        outer_agent = kit.graph(MessagesState, inner=best_of_n(agent.graph, n=3))
        with sqlite_saver(path) as saver:
            done = kit.outer(best_of_n(outer_agent, n=2), checkpointer=saver).invoke(said, THREAD)
    assert texts(done) == ["go", "answer 1", "1 was told 'yes'", "answer 1"]
    assert len(agent.calls) == 1
    assert threads_in(path) == {"t"}
