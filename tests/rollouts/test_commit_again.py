"""What was done is not done again: not by a retry, not by a run taken up again; another question is another matter."""

from __future__ import annotations

import threading
from typing import Any

import kit
import mailing
import pytest
from kit import THREAD
from langchain.agents import create_agent
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, interrupt
from mailing import SENT, executing, said


def test_a_result_that_cannot_be_stored_is_not_redone(run, post):
    @tool(response_format="content_and_artifact")
    def send(to: str) -> Any:
        """Send."""
        return post.deliver(to), threading.Lock()

    node = executing(mailing.agent("tool_node", mailing.sending("ann", "bob"), [send, post.search]), send)
    graph = kit.outer(node, checkpointer=InMemorySaver())
    with pytest.raises(TypeError, match="serializable"):  # the state around cannot be kept with it
        run.invoke(graph, {"messages": "go"}, THREAD)
    run.invoke(graph, None, THREAD)
    assert post.done == ["bob"]


def retried(function, saver=None):
    """A graph whose only node is tried again after a LookupError."""
    builder = StateGraph(MessagesState)
    policy = RetryPolicy(retry_on=LookupError, initial_interval=0.01, jitter=False)
    builder.add_node("solve", function, retry_policy=policy)
    builder.add_edge(START, "solve")
    return builder.compile(checkpointer=saver)


def test_a_retried_node_does_not_send_again(run, post, saver):
    node = executing(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), post.send)
    failures = ["once"]

    def later(writes):
        if failures:
            raise LookupError(failures.pop())
        return writes

    async def asolve(state):
        return later(await node.ainvoke(state))

    graph = retried(RunnableLambda(lambda state: later(node.invoke(state)), asolve), saver)
    done = run.invoke(graph, {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


def test_after_a_failed_route_it_does_not_send_again(run, post, saver):
    failures = ["once"]

    def route(winner):
        if failures:
            raise LookupError(failures.pop())
        return END

    node = executing(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), post.send, route=route)
    done = run.invoke(retried(node, saver), {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


def test_a_resumed_graph_does_not_send_again(run, post):
    failures = ["once"]

    def after(state):
        if failures:
            raise LookupError(failures.pop())

    node = executing(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), post.send)
    graph = kit.graph(MessagesState, solve=node, after=after, checkpointer=InMemorySaver())
    with pytest.raises(LookupError):
        run.invoke(graph, {"messages": "go"}, THREAD)
    done = run.invoke(graph, None, THREAD)
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


@pytest.mark.parametrize("other", ["ann", "bob"])
def test_two_questions_in_one_node_are_two_questions(run, post, saver, other):
    script = mailing.ScriptedChatModel(
        lambda messages, index: mailing.reply([("send", {"to": f"{messages[-1].content}{index}"})], 3 + index)
    )
    node = executing(mailing.agent("tool_node", script, post.tools), post.send)

    async def aboth(state):
        return [*await node.ainvoke({"messages": "ann"}), *await node.ainvoke({"messages": other})]

    both = RunnableLambda(lambda s: [*node.invoke({"messages": "ann"}), *node.invoke({"messages": other})], aboth)
    run.invoke(kit.outer(both, checkpointer=saver), {"messages": "go"}, THREAD)
    assert post.done == ["ann0", f"{other}0"]


def test_retrying_middleware_does_not_prevent_a_commit(run, post):
    agent = create_agent(mailing.sending("ann", "bob"), post.tools, middleware=[mailing.retrying()])
    done = run.invoke(kit.outer(executing(agent, post.send)), {"messages": "go"})
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


def test_a_resumed_task_answers_from_the_journal(run, post):
    """What the journal holds is what the state gets, though the process that wrote it is another object."""
    saver = InMemorySaver()

    def graph():
        node = executing(mailing.agent("tool_node", mailing.sending("ann", "bob"), post.tools), post.send)
        return kit.graph(MessagesState, solve=node, after=lambda s: interrupt("seen?"), checkpointer=saver)

    run.invoke(graph(), {"messages": "go"}, THREAD)
    done = run.invoke(graph(), Command(resume={"messages": []}), THREAD)
    assert post.done == ["bob"]
    assert said(done["messages"]) == SENT


@pytest.mark.parametrize("forked", [False, True], ids=["replayed", "forked"])
def test_going_back_before_the_node_is_a_new_question(run, post, forked):
    class State(MessagesState):
        receipt: dict[str, Any]

    names = iter(["ann", "ann", "bob", "bob"])
    model = mailing.ScriptedChatModel(lambda _, i: mailing.reply([("send", {"to": f"{next(names)} {i}"})], 9 - 3 * i))
    agent = mailing.agent("tool_node", model, post.tools)
    node = executing(agent, post.send, selection_key="receipt")
    graph = kit.outer(node, State, checkpointer=InMemorySaver())
    run.invoke(graph, {"messages": "go"}, THREAD)
    before = next(s for s in graph.get_state_history(THREAD) if s.next == ("solve",)).config
    if forked:
        before = graph.update_state(before, {"messages": [("human", "again")]}, as_node="__start__")
    done = run.invoke(graph, None, before)
    assert post.done == ["ann 1", "bob 1"]
    assert [each["args"]["to"] for each in done["receipt"]["commits"]] == ["bob 1"]
    assert said(done["messages"])[-1] == ("tool", "sent bob 1")
