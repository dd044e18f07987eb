"""What a checkpointer is given to keep, in bytes, with 20 top logprobs a token."""

from __future__ import annotations

import operator
import sqlite3
from typing import Annotated, Any

import kit
import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import MessagesState

from ec_agent import best_of_n, read_only
from ec_agent.testing import Reply, ScriptedChatModel

TOKENS = 500  # per call
CALLS = 3
PER_TOKEN = 16
# What a record takes besides its tokens and writes: its numbers, names, receipt.
PER_ROLLOUT = 2000
SECRET = "only a loser says this"


@read_only
@tool
def look(what: str) -> str:
    """Look."""
    return f"saw {what}"


@tool
def order(what: str) -> str:
    """Order."""
    return f"ordered {what}"


def agent(logprobs=True):
    """An agent of three model calls; rollout 0 wins, and the others say what must not get out."""

    def reply(messages, index):
        step = sum(message.type == "ai" for message in messages)
        doubt = range(20) if index == 0 else range(200 + index, 220 + index)
        entropies = [2.0 if step == 0 and i in doubt else 0.1 for i in range(TOKENS)] if logprobs else None
        said = f"step {step}" if index == 0 else f"{SECRET}: {index}"
        calls = [("look", {"what": said}), ("look", {"what": said}), ()][step]
        return Reply(said, tool_calls=[calls] if calls else (), entropies=entropies, tokens=TOKENS)

    return create_agent(ScriptedChatModel(reply), [look, order])


class State(MessagesState):
    seen: Annotated[list[Any], operator.add]


def kept(path, node):
    """Bytes in the checkpointer after one run, by namespace: the outer one, and those within."""
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        graph = kit.outer(node, State, checkpointer=SqliteSaver(connection))
        graph.invoke({"messages": "go"}, {"configurable": {"thread_id": "t"}})
        sizes = {"outer": 0, "inner": 0, "last": 0, "pending": 0}
        blobs = {"outer": b"", "inner": b""}
        for table, column in (("checkpoints", "checkpoint"), ("writes", "value")):
            for namespace, blob in connection.execute(f"SELECT checkpoint_ns, {column} FROM {table}"):
                where = "inner" if namespace else "outer"
                sizes[where] += len(blob or b"")
                sizes["pending"] += len(blob or b"") if namespace and table == "writes" else 0
                blobs[where] += blob or b""
        last = "SELECT checkpoint FROM checkpoints WHERE checkpoint_ns = '' ORDER BY checkpoint_id DESC LIMIT 1"
        sizes["last"] = len(connection.execute(last).fetchone()[0])
        return sizes, blobs
    finally:
        connection.close()


def bare(path):
    """The same for the winner alone, run without logprobs and without us."""
    return kept(path, agent(logprobs=False))[0]


@pytest.mark.members(1)
@pytest.mark.parametrize("n", [1, 4, 16])
def test_the_outer_checkpoint_does_not_grow_with_n(tmp_path, n):
    alone = bare(tmp_path / "bare.sqlite")
    sizes, blobs = kept(tmp_path / "kept.sqlite", best_of_n(agent(), n=n))
    tokens = TOKENS * CALLS
    assert sizes["last"] <= alone["last"] + PER_TOKEN * tokens
    assert SECRET.encode() not in blobs["outer"]
    assert b"top_logprobs" not in blobs["outer"] + blobs["inner"]
    assert (SECRET.encode() in blobs["inner"]) is (n > 1)  # the look sees what is there


@pytest.mark.members(1)
@pytest.mark.parametrize("n", [1, 4, 16])
def test_what_is_kept_for_a_resume_is_bounded(tmp_path, n):
    alone = bare(tmp_path / "bare.sqlite")
    sizes, _ = kept(tmp_path / "kept.sqlite", best_of_n(agent(), n=n))
    one = PER_TOKEN * TOKENS * CALLS + alone["last"] + PER_ROLLOUT
    assert sizes["pending"] <= n * one
    assert sizes["pending"] >= n * 8 * TOKENS * CALLS  # the look sees them
    # All records together are in two checkpoints more: when all have ended, and when one is chosen.
    assert sizes["inner"] <= 3 * n * one
