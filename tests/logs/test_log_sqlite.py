"""Databases of other tools: LangGraph's checkpoints, written here by its own savers, and the log of `llm`."""

from __future__ import annotations

import asyncio
import gzip
import operator
import shutil
import sqlite3
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from log_kit import by_hand, told
from typing_extensions import TypedDict

from ec_agent import LogprobsError, TraceError
from ec_agent.testing import Reply, ScriptedChatModel, logprobs_for

DATA = Path(__file__).parent / "data"
FIRST, SECOND = [2.0, 0.1, 0.7], [0.1, 1.0]


def has_calls(rollout, *expected):
    for call, entropies in zip(rollout.trajectory.calls, expected, strict=True):
        np.testing.assert_array_equal(call.entropies, by_hand(logprobs_for(entropies)))


def replies(*entropies):
    """A model that gives one answer after the other, whoever asks."""
    left = [Reply("ab"[number % 2], entropies=each) for number, each in enumerate(entropies or (FIRST, SECOND))]
    return ScriptedChatModel(lambda messages, rollout: left.pop(0))


def messages_graph(model):
    def ask(state):
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return builder


def ask_twice(graph, thread, **more):
    config = {"configurable": {"thread_id": thread}, **more}
    for question in ("q", "r"):
        graph.invoke({"messages": [("user", question)]}, config)


# LangGraph's checkpoints


def of_create_agent(saver):
    ask_twice(create_agent(replies(), checkpointer=saver), "one", metadata={"question": "7"})


def of_a_graph(saver):
    ask_twice(messages_graph(replies()).compile(checkpointer=saver), "one", metadata={"question": "7"})


def of_a_graph_that_forgets(saver):
    def forget(state):
        return {"messages": [RemoveMessage(each.id) for each in state["messages"][:-1]]}

    builder = messages_graph(replies())
    builder.add_node("forget", forget)
    builder.add_edge("ask", "forget")
    ask_twice(builder.compile(checkpointer=saver), "one", metadata={"question": "7"})


def of_a_subgraph_with_a_state_of_its_own(saver):
    class Outer(TypedDict):
        messages: Annotated[list, operator.add]
        answer: str

    inner = messages_graph(replies()).compile()

    def call(state):
        return {"answer": inner.invoke({"messages": state["messages"][-1:]})["messages"][-1].content}

    builder = StateGraph(Outer)
    builder.add_node("call", call)
    builder.add_edge(START, "call")
    ask_twice(builder.compile(checkpointer=saver), "one", metadata={"question": "7"})


def of_a_graph_of_dicts(saver):
    """Answers as dicts, as a RemoteGraph brings them."""
    model = replies()

    class State(TypedDict):
        messages: Annotated[list, operator.add]

    def ask(state):
        return {"messages": [model.invoke("q").model_dump()]}

    builder = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    ask_twice(builder.compile(checkpointer=saver), "one", metadata={"question": "7"})


@pytest.mark.parametrize(
    "run",
    [of_create_agent, of_a_graph, of_a_graph_that_forgets, of_a_subgraph_with_a_state_of_its_own, of_a_graph_of_dicts],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_thread_is_a_rollout_of_all_its_answers(tmp_path, run, packed):
    file = tmp_path / "checkpoints.db"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        run(saver)
    if packed:
        (tmp_path / "checkpoints.db.gz").write_bytes(gzip.compress(file.read_bytes()))
        file = tmp_path / "checkpoints.db.gz"
    found, troubles = told(file)
    assert troubles == []
    (thread,) = found
    has_calls(thread, FIRST, SECOND)
    assert (thread.name, thread.record["thread_id"], thread.record["question"]) == ("one", "one", "7")


async def test_the_async_saver_and_several_threads(tmp_path):
    file = tmp_path / "checkpoints.db"
    async with AsyncSqliteSaver.from_conn_string(str(file)) as saver:
        compiled = messages_graph(replies()).compile(checkpointer=saver)
        for name in ("q1-0", "q1-1"):
            await compiled.ainvoke({"messages": [("user", "q")]}, {"configurable": {"thread_id": name}})
    found, troubles = await asyncio.to_thread(told, file)
    assert (troubles, [each.name for each in found]) == ([], ["q1-0", "q1-1"])
    has_calls(found[0], FIRST)
    has_calls(found[1], SECOND)
    assert found[0].asked == found[1].asked is not None


def test_equal_answers_of_two_turns_count_twice(tmp_path):
    file = tmp_path / "checkpoints.db"
    model = replies(FIRST, FIRST)
    with SqliteSaver.from_conn_string(str(file)) as saver:
        ask_twice(messages_graph(model).compile(checkpointer=saver), "one")
    ((thread,), _) = told(file)
    has_calls(thread, FIRST, FIRST)


def test_of_a_fork_the_latest_branch_counts(tmp_path):
    file = tmp_path / "checkpoints.db"
    model = replies(FIRST, SECOND, [0.5])
    with SqliteSaver.from_conn_string(str(file)) as saver:
        graph = messages_graph(model).compile(checkpointer=saver)
        ask_twice(graph, "one")
        config = {"configurable": {"thread_id": "one"}}
        after_first = [each for each in graph.get_state_history(config) if len(each.values["messages"]) == 2][-1]
        graph.invoke({"messages": [("user", "instead")]}, after_first.config)
    ((thread,), _) = told(file)
    has_calls(thread, FIRST, [0.5])


def test_a_thread_that_ended_in_an_error_and_one_without_logprobs_are_named(tmp_path):
    def broken(state):
        raise RuntimeError("it broke")

    file = tmp_path / "checkpoints.db"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        builder = messages_graph(replies())
        builder.add_node("broken", broken)
        builder.add_edge("ask", "broken")
        with pytest.raises(RuntimeError):
            ask_twice(builder.compile(checkpointer=saver), "one")
        bare = StateGraph(MessagesState)
        bare.add_node("ask", lambda state: {"messages": [AIMessage("x")]})
        bare.add_edge(START, "ask")
        bare.compile(checkpointer=saver).invoke(
            {"messages": [HumanMessage("q")]}, {"configurable": {"thread_id": "two"}}
        )
    found, troubles = told(file)
    assert found == []
    assert "thread one ended in an error" in troubles[0]
    assert "it broke" in troubles[0]
    assert "thread two has no answers with logprobs" in troubles[1]


def test_values_that_are_encrypted_or_damaged_are_named(tmp_path):
    file = tmp_path / "checkpoints.db"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        of_a_graph(saver)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE checkpoints SET type = 'msgpack+aes'")
        connection.execute("UPDATE writes SET value = x'c1' WHERE channel = 'messages'")
    found, troubles = told(file)
    assert found == []
    assert any("is saved as 'msgpack+aes', which is not read" in trouble for trouble in troubles)


def test_a_file_in_a_folder_that_cannot_be_written_is_read(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with SqliteSaver.from_conn_string(str(tmp_path / "checkpoints.db")) as saver:
        of_a_graph(saver)
    shutil.copy(tmp_path / "checkpoints.db", folder)
    before = sorted(folder.iterdir())
    folder.chmod(0o500)
    try:
        ((thread,), troubles) = told(folder / "checkpoints.db")
    finally:
        folder.chmod(0o700)
    assert troubles == []
    has_calls(thread, FIRST, SECOND)
    assert sorted(folder.iterdir()) == before


# The log of `llm`; data/record_others.py says how it was recorded


def test_a_conversation_of_llm_is_a_rollout():
    found, troubles = told(DATA / "llm-0.36.db.gz")
    assert troubles == []
    both, alone, chat = sorted(found, key=lambda each: (-each.trajectory.scored_tokens, -len(each.trajectory)))
    has_calls(both, FIRST, SECOND)
    has_calls(alone, FIRST)
    assert both.asked == alone.asked == chat.asked is not None
    assert chat.lacking.startswith("has no logprobs. llm asks completion models alone")


def in_the_old_tables(path):
    """The recorded answers in the tables that versions before 0.36 have."""
    path.write_bytes(gzip.decompress((DATA / "llm-0.36.db.gz").read_bytes()))
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO responses (id, model, prompt, response_json, conversation_id, output_tokens) "
            "SELECT turns.id, model, prompt, response_json, thread_id, output_tokens FROM turns JOIN turn_search "
            "ON turn_id = turns.id"
        )
        for table in ("turn_search", "turns", "threads"):
            connection.execute(f"DROP TABLE {table}")
    return path


def test_the_older_tables_of_llm_are_read(tmp_path):
    found, troubles = told(in_the_old_tables(tmp_path / "logs.db"))
    assert troubles == []
    assert sorted(len(each.trajectory.calls) for each in found) == [1, 1, 2]
    assert sum(each.trajectory.scored_tokens for each in found) == 8
    assert len({each.asked for each in found}) == 1


# Databases that look alike


def test_a_database_of_something_else_is_refused(tmp_path):
    file = tmp_path / "some.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE checkpoints (id INTEGER)")
        connection.execute("CREATE VIEW spans AS SELECT 1 AS trace_id, '{}' AS content")
    with pytest.raises(TraceError, match="is a database, but not a trace file"):
        told(file)


def test_a_damaged_database_is_refused(tmp_path):
    file = tmp_path / "checkpoints.db"
    with SqliteSaver.from_conn_string(str(file)) as saver:
        of_a_graph(saver)
    raw = bytearray(file.read_bytes())
    raw[100:2000] = b"\xff" * 1900
    file.write_bytes(raw)
    with pytest.raises(LogprobsError, match="is a SQLite file that cannot be read"):
        told(file)
