"""Calls that look alike, and steps that begin anew: what is done is what was chosen, under its own name."""

from __future__ import annotations

import asyncio
import operator
import time
from typing import Annotated

import kit
import mailing
import pytest
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import RetryPolicy
from mailing import executing
from typing_extensions import TypedDict

from ec_agent import read_only

X_FIRST, Y_FIRST = (0.0, 0.15), (0.15, 0.0)


class Branches(TypedDict):
    x: list
    y: list
    log: Annotated[list, operator.add]


def numbered(message, key):
    """A message of a model that numbers its calls from 0 in every answer."""
    calls = [{**call, "id": f"call_{place}"} for place, call in enumerate(message.tool_calls)]
    return message.model_copy(update={"tool_calls": calls, "id": f"said by {key}"})


def alike(post, stops, acts, args=lambda key: {"to": key}):
    """Two branches whose models give their calls the same ids; each waits so long in a rollout, and when it acts."""
    models = {key: mailing.script(["no"], [[("send", args(key))]]) for key in "xy"}
    ran = []

    def using(key):
        def use(state):
            calls = state[key][-1].tool_calls
            if calls:
                ran.append(key)
                time.sleep((stops if ran.count(key) == 1 else acts)["xy".index(key)])
            return {"log": [post.send.invoke(call).content for call in calls]}

        return use

    builder = StateGraph(Branches)
    for key in "xy":
        builder.add_node(f"ask {key}", lambda _, key=key: {key: [numbered(models[key].invoke("?"), key)]})
        builder.add_node(f"use {key}", using(key))
        builder.add_edge(START, f"ask {key}")
        builder.add_edge(f"ask {key}", f"use {key}")
    return builder.compile()


@pytest.mark.parametrize("acts", [X_FIRST, Y_FIRST], ids=["x first", "y first"])
@pytest.mark.parametrize("stops", [X_FIRST, Y_FIRST], ids=["x stops", "y stops"])
def test_calls_with_the_same_id_are_told_apart(run, post, stops, acts):
    result = run.run(executing(alike(post, stops, acts), post.send), {"log": []})
    assert post.done == ["x" if stops == X_FIRST else "y"]
    assert [c["args"]["to"] for c in result.selection.commits] == post.done
    assert result.output["log"] == [f"sent {to}" for to in post.done]


@pytest.mark.parametrize("acts", [X_FIRST, Y_FIRST], ids=["x first", "y first"])
def test_equal_ids_are_told_apart_when_going_on(run, post, acts):
    result = run.run(executing(alike(post, X_FIRST, acts), post.send, continue_after_commit=True), {"log": []})
    assert post.done == ["x", "y"]
    assert [c["args"]["to"] for c in result.selection.commits] == ["x", "y"]
    assert result.output["log"] == ["sent x", "sent y"]


@pytest.mark.parametrize("stops", [X_FIRST, Y_FIRST], ids=["x stops", "y stops"])
def test_calls_with_the_same_id_in_one_list_of_messages_are_told_apart(run, post, stops):
    def using(key):
        def use(state):
            asked = next(each for each in state["messages"] if each.id == f"said by {key}")
            time.sleep(stops["xy".index(key)])
            return {"messages": [post.send.invoke(call) for call in asked.tool_calls]}

        return use

    models = {key: mailing.script(["no"], [[("send", {"to": key})]]) for key in "xy"}
    builder = StateGraph(MessagesState)
    for key in "xy":
        builder.add_node(f"ask {key}", lambda _, key=key: {"messages": [numbered(models[key].invoke("?"), key)]})
        builder.add_node(f"use {key}", using(key))
        builder.add_edge(START, f"ask {key}")
        builder.add_edge(f"ask {key}", f"use {key}")
    result = run.run(executing(builder.compile(), post.send), {"messages": "go"})
    assert post.done == ["x" if stops == X_FIRST else "y"]
    assert [c["args"]["to"] for c in result.selection.commits] == post.done


@kit.SAME
@pytest.mark.parametrize("goes_on", [False, True], ids=["ends", "goes on"])
@pytest.mark.parametrize("acts", [X_FIRST, Y_FIRST], ids=["x first", "y first"])
def test_the_same_call_with_the_same_id_is_two_calls(run, post, acts, goes_on):
    agent = alike(post, X_FIRST, acts, lambda _: {"to": "all"})
    result = run.run(executing(agent, post.send, continue_after_commit=goes_on), {"log": []})
    assert post.done == ["all"] * (1 + goes_on)
    assert [c["args"]["to"] for c in result.selection.commits] == post.done
    assert result.output["log"] == ["sent all"] * (1 + goes_on)


@kit.SAME
@pytest.mark.parametrize("goes_on", [False, True], ids=["ends", "goes on"])
def test_the_same_call_without_a_model_is_two_calls(run, post, goes_on):
    @tool
    def send(to: str) -> str:
        """Send, slowly: the other call comes meanwhile."""
        time.sleep(0.1)
        return post.deliver(to)

    model = kit.say(3, 9)
    builder = StateGraph(Branches)
    builder.add_node("ask", lambda _: model.invoke("?") and {"log": []})
    builder.add_edge(START, "ask")
    for key in "xy":
        builder.add_node(key, lambda _: {"log": [send.invoke({"to": "all"})]})
        builder.add_edge("ask", key)
    result = run.run(executing(builder.compile(), send, continue_after_commit=goes_on), {"log": []})
    assert post.done == ["all"] * (1 + goes_on)
    assert [c["args"]["to"] for c in result.selection.commits] == post.done
    assert result.output["log"] == ["sent all"] * (1 + goes_on)


def forgetful(post, checkpointer, names):
    """A graph within, whose model asks each time for something else under the same id."""
    model = mailing.script(["no"], [[("send", {"to": "?"})], "end"])

    def ask(state):
        message = numbered(model.invoke(state["messages"]), "it")
        for call in message.tool_calls:
            call["args"] = {"to": next(names)}
        return {"messages": [message]}

    inner = kit.graph(MessagesState, ask=ask, tools=ToolNode([post.send]), checkpointer=checkpointer)
    return kit.graph(MessagesState, work=lambda state: inner.invoke(state))


@pytest.mark.parametrize("checkpointer", [None, False])
def test_a_restarted_subgraph_does_not_replace_the_action(run, post, checkpointer):
    agent = forgetful(post, checkpointer, iter(["ann", "bob", "cat"]))
    result = run.run(executing(agent, post.send), {"messages": "go"})
    assert post.done == ["ann"]
    assert [c["args"]["to"] for c in result.selection.commits] == ["ann"]
    assert mailing.said(result.output["messages"]) == [("human", "go"), ("ai", ""), ("tool", "sent ann")]


def test_a_restarted_subgraph_cannot_go_on(run, post):
    agent = forgetful(post, False, iter(["ann"] * 20))
    result = run.run(executing(agent, post.send, continue_after_commit=True), {"messages": "go"})
    assert post.done == []
    assert result.selection.winner == 0
    assert "GraphBubbleUp" in result.selection.candidates[1].error


@pytest.mark.parametrize("goes_on", [False, True], ids=["ends", "goes on"])
def test_a_retried_step_waits_for_running_calls(goes_on):
    """An async tool node leaves at the first call that raises; the others go on."""
    post, tries = mailing.Post(), []

    @tool
    async def send(to: str) -> str:
        """Send, slowly."""
        await asyncio.sleep(0.1)
        return post.deliver(to)

    @read_only
    @tool
    async def look(q: str) -> str:
        """Look, the second time."""
        tries.append(q)
        if len(tries) == 1:
            raise LookupError(q)
        return "found"

    asked = [("send", {"to": "ann"}), ("look", {"q": "?"})]
    model = mailing.script(["no"], [asked, "end"])
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    again = RetryPolicy(retry_on=LookupError, initial_interval=0.01, jitter=False)
    builder.add_node("tools", ToolNode([send, look], handle_tool_errors=False), retry_policy=again)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    node = executing(builder.compile(), send, continue_after_commit=goes_on)
    result = kit.Async().run(node, {"messages": "go"})
    assert post.done == ["ann"]
    assert mailing.said(result.output["messages"])[2:4] == [("tool", "sent ann"), ("tool", "found")]
