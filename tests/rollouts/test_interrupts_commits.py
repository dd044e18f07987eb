"""Questions and commits in one rollout: the action comes after the answer, once."""

from __future__ import annotations

import kit
from kit import PEAKS, THREAD
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from questions import asked, texts

from ec_agent import best_of_n, commit_tool
from ec_agent.testing import Reply, ScriptedChatModel


def commit_after_question(log):
    @commit_tool
    @tool
    def send(text: str) -> str:
        """Send."""
        log.append(text)
        return f"sent {text}"

    model = ScriptedChatModel(
        [[Reply(tool_calls=[("send", {"text": f"by {i}"})], entropies=kit.peak(at))] for i, at in enumerate(PEAKS)]
    )
    return kit.graph(
        MessagesState,
        a_say=lambda s: kit.say(*PEAKS).invoke("?") and None,
        b_ask=lambda s: {"messages": [("human", f"told {interrupt(kit.rollout_index())}")]},
        c_say=lambda s: {"messages": [model.invoke(s["messages"])]},
        d_tools=ToolNode([send]),
    )


def test_after_the_answer_a_commit(run, tmp_path):
    log = []
    saver = InMemorySaver()
    for said in ({"messages": "go"}, Command(resume="yes")):
        node = best_of_n(commit_after_question(log), n=3, on_commit="execute")
        done = run.invoke(kit.outer(node, checkpointer=saver), said, THREAD)
        assert log == ([] if asked(done) else ["by 1"])
    assert texts(done) == ["go", "told yes", "", "sent by 1"]
    run.invoke(kit.outer(node, checkpointer=saver), None, THREAD)
    assert log == ["by 1"]


def test_after_the_answer_a_routed_commit(run):
    log = []
    node = best_of_n(commit_after_question(log), n=3)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    done = run.invoke(graph, Command(resume="yes"), THREAD)
    assert log == []
    assert [call["args"] for call in done["messages"][-1].tool_calls] == [{"text": "by 1"}]


def test_a_committing_tool_that_asks_first(run):
    log = []

    @commit_tool
    @tool
    def send(text: str) -> str:
        """Send."""
        if interrupt(f"send {text}?") != "yes":
            return "not sent"
        log.append(text)
        return "sent"

    model = ScriptedChatModel(
        [[Reply(tool_calls=[("send", {"text": f"by {i}"})], entropies=kit.peak(at))] for i, at in enumerate(PEAKS)]
    )
    agent = kit.graph(MessagesState, say=lambda s: {"messages": [model.invoke(s["messages"])]}, tools=ToolNode([send]))
    graph = kit.outer(best_of_n(agent, n=3, on_commit="execute"), checkpointer=InMemorySaver())
    assert asked(run.invoke(graph, {"messages": "go"}, THREAD)) == ["send by 1?"]
    assert log == []
    done = run.invoke(graph, Command(resume="yes"), THREAD)
    assert log == ["by 1"]
    assert texts(done)[-1] == "sent"
