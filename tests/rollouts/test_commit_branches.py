"""Branches side by side, and steps that go another way the second time: what was chosen is done, whoever is first."""

from __future__ import annotations

import operator
import random
import time
from collections import Counter
from typing import Annotated

import kit
import mailing
import pytest
from kit import THREAD
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from mailing import executing
from typing_extensions import TypedDict

from ec_agent import AllRolloutsFailedError, CommitError

X_FIRST, Y_FIRST, AT_ONCE = (0.0, 0.15), (0.15, 0.0), (0.0, 0.0)


class Branches(TypedDict):
    x: list
    y: list
    z: list
    log: Annotated[list, operator.add]


def branches(*tools, stops=X_FIRST, acts=X_FIRST, made_up=""):
    """Models side by side, then a node each that calls a tool: after so long in a rollout, and when it acts.

    Those that are ``made_up`` call it without the model's having asked for that.
    """
    keys, times = "xyz"[: len(tools)], Counter()
    models = {key: mailing.script(["no"], [[("send", {"to": key})]]) for key in keys}

    def asking(key):
        def ask(state):
            message = models[key].invoke("?")
            calls = [{**call, "id": f"{key}{i}"} for i, call in enumerate(message.tool_calls)]
            return {key: [message.model_copy(update={"tool_calls": calls})]}

        return ask

    def using(key):
        def use(state):
            calls = state[key][-1].tool_calls
            place = keys.index(key)
            if calls:
                times[key] += 1
                time.sleep((stops if times[key] == 1 else acts)[place])
            if key in made_up:
                return {"log": [tools[place].invoke(call["args"]) for call in calls]}
            return {"log": [tools[place].invoke(call).content for call in calls]}

        return use

    builder = StateGraph(Branches)
    for key in keys:
        builder.add_node(f"ask {key}", asking(key))
        builder.add_node(f"use {key}", using(key))
        builder.add_edge(START, f"ask {key}")
        builder.add_edge(f"ask {key}", f"use {key}")
    return builder.compile()


@pytest.mark.parametrize("acts", [X_FIRST, Y_FIRST, AT_ONCE], ids=["x first", "y first", "at once"])
@pytest.mark.parametrize("stops", [X_FIRST, Y_FIRST, AT_ONCE], ids=["x stops", "y stops", "both stop"])
def test_of_two_branches_only_the_chosen_commit_is_done(run, post, stops, acts):
    result = run.run(executing(branches(post.send, post.send, stops=stops, acts=acts), post.send), {"log": []})
    assert len(post.done) == 1
    assert [c["args"]["to"] for c in result.selection.commits] == post.done
    assert result.output["log"] == [f"sent {to}" for to in post.done]


@pytest.mark.parametrize("acts", [X_FIRST, Y_FIRST], ids=["x first", "y first"])
@pytest.mark.parametrize("stops", [X_FIRST, Y_FIRST], ids=["x stops", "y stops"])
def test_going_on_the_other_branch_acts_next(run, post, stops, acts):
    agent = branches(post.send, post.send, stops=stops, acts=acts)
    result = run.run(executing(agent, post.send, continue_after_commit=True), {"log": []})
    assert post.done == ["x", "y"]
    assert sorted(c["args"]["to"] for c in result.selection.commits) == ["x", "y"]
    assert sorted(result.output["log"]) == ["sent x", "sent y"]


def thinking(post):
    """A tool that asks a model before it sends."""
    model = kit.say(3)

    @tool
    def send(to: str) -> str:
        """Send, once a model has been asked."""
        time.sleep(0.05)  # another branch stops meanwhile
        model.invoke(to)
        return post.deliver(to)

    return send


@pytest.mark.parametrize("made_up", ["", "x", "xy"])
def test_a_parallel_branch_does_not_stop_a_tool(run, post, made_up):
    send = thinking(post)
    result = run.run(executing(branches(send, send, acts=Y_FIRST, made_up=made_up), send), {"log": []})
    assert post.done == ["x"]
    assert result.output["log"] == ["sent x"]


@pytest.mark.parametrize("acts", [X_FIRST, Y_FIRST], ids=["x first", "y first"])
def test_calls_without_a_model_are_told_apart(run, post, acts):
    agent = branches(post.send, post.send, stops=X_FIRST, acts=acts, made_up="xy")
    result = run.run(executing(agent, post.send), {"log": []})
    assert post.done == ["x"]
    assert [c["args"] for c in result.selection.commits] == [{"to": "x"}]
    assert result.output["log"] == ["sent x"]


@pytest.mark.parametrize("goes_on", [False, True], ids=["ends", "goes on"])
@pytest.mark.parametrize("seed", range(6))
def test_in_any_order_only_the_recorded_action_is_done(run, post, seed, goes_on):
    draw = random.Random(seed)
    send = thinking(post)
    tools = [draw.choice([send, post.send]) for _ in "xyz"]
    stops, acts = ([draw.choice([0.0, 0.0, 0.02, 0.08]) for _ in "xyz"] for _ in range(2))
    agent = branches(*tools, stops=stops, acts=acts, made_up=draw.choice(["", "y", "xz"]))
    result = run.run(executing(agent, send, continue_after_commit=goes_on), {"log": []})
    assert sorted(c["args"]["to"] for c in result.selection.commits) == post.done
    assert sorted(result.output["log"]) == [f"sent {to}" for to in post.done]
    assert len(post.done) == (3 if goes_on else 1)


@pytest.mark.parametrize("acts", [X_FIRST, Y_FIRST], ids=["x first", "y first"])
def test_a_branch_that_asks_is_answered_and_acts(run, post, acts):
    @tool
    def send(to: str) -> str:
        """Send, if somebody agrees."""
        return post.deliver(to) if interrupt(f"send to {to}?") == "yes" else "left undone"

    graph = kit.outer(executing(branches(send, send, acts=acts), send), Branches, checkpointer=InMemorySaver())
    stopped = run.invoke(graph, {"log": []}, THREAD)
    assert [each.value for each in stopped["__interrupt__"]] == ["send to x?"]
    assert post.done == []
    assert run.invoke(graph, Command(resume="yes"), THREAD)["log"] == ["sent x"]
    assert post.done == ["x"]


def hiding(post):
    """A node that calls tools and takes whatever they raise for an answer."""

    def tools(state):
        said = []
        for call in state["messages"][-1].tool_calls:
            try:
                said.append(post.send.invoke(call))
            except Exception as error:
                said.append(AIMessage(repr(error)))
        return {"messages": said}

    return tools


def hidden_within(post):
    """The stop is caught in a graph within, which goes on to a model: taken up again, it begins there."""
    model = mailing.script(*[[[("send", {"to": name})], "more", "end"] for name in ("ann", "bob")])

    def ask(state):
        return {"messages": [model.invoke(state["messages"])]}

    return kit.graph(MessagesState, ask=ask, work=kit.graph(MessagesState, tools=hiding(post), say=ask))


def hidden_by_function(post):
    """The stop is caught by a function that called a task, which ends then: there is nothing to take up again."""
    model = mailing.script(*[[[("send", {"to": name})]] for name in ("ann", "bob")])

    @task
    def act(message):
        return post.send.invoke(message.tool_calls[0])

    @entrypoint()
    def agent(state):
        asked = model.invoke(state["messages"])
        try:
            answer = act(asked).result()
        except Exception as error:
            answer = AIMessage(repr(error))
        return {"messages": [asked, answer]}

    return agent


def hidden_at_the_end(post):
    """The stop is caught in the last step."""
    model = mailing.script(*[[[("send", {"to": name})]] for name in ("ann", "bob")])
    return kit.graph(MessagesState, ask=lambda s: {"messages": [model.invoke(s["messages"])]}, tools=hiding(post))


HIDDEN = [hidden_within, hidden_by_function, hidden_at_the_end]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_step_that_hides_the_stop_still_acts(run, post, hidden):
    result = run.run(executing(hidden(post), post.send), {"messages": "go"})
    assert post.done == ["bob"]
    assert [c["args"]["to"] for c in result.selection.commits] == ["bob"]
    said = mailing.said(result.output["messages"])  # a function's answer is not added to the question
    assert said[-2:] == [("ai", ""), ("tool", "sent bob")]
    assert len(said) == (2 if hidden is hidden_by_function else 3)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_step_that_hides_the_stop_cannot_go_on(run, post, hidden):
    node = executing(hidden(post), post.send, continue_after_commit=True)
    with pytest.raises((AllRolloutsFailedError, CommitError), match="GraphBubbleUp"):
        run.run(node, {"messages": "go"})
    assert post.done == []
