"""What a run leaves in memory."""

from __future__ import annotations

import gc

import kit
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from ec_agent import best_of_n, read_only
from ec_agent.insides import langgraph
from ec_agent.testing import Reply, ScriptedChatModel


@read_only
@tool
def look(what: str) -> str:
    """Look."""
    return f"saw {what}"


@pytest.mark.members(1)
def test_logprobs_are_freed_with_their_rollout(run):
    """Twenty small objects a token: what waits for the collector makes every collection slow."""

    def reply(messages, index):
        calls = [("look", {"what": "x"})] if len(messages) == 1 else ()
        return Reply(f"answer {index}", tool_calls=calls, entropies=kit.peak(3 * index))

    node = best_of_n(create_agent(ScriptedChatModel(reply), [look]), n=4)
    run.invoke(node, {"messages": "go"})
    gc.collect()
    before = with_logprobs()
    gc.disable()
    try:
        run.invoke(node, {"messages": "go"})
        assert with_logprobs() == before
    finally:
        gc.enable()


def with_logprobs():
    messages = [thing for thing in gc.get_objects() if isinstance(thing, AIMessage)]
    return sum("logprobs" in message.response_metadata for message in messages)


@pytest.mark.members(1)
def test_counting_questions_keeps_no_states(run):
    """A task's config holds the whole state of its run."""
    graph = kit.outer(best_of_n(kit.chat(kit.say(3, 9)), n=2))
    for _ in range(3):
        run.invoke(graph, {"messages": "go"})
    gc.collect()
    before = len(langgraph._counts)
    run.invoke(graph, {"messages": "go"})
    gc.collect()
    assert len(langgraph._counts) <= before
