"""A run that is taken up and pauses again: with its output, and the receipt of the choice that was made before."""

from __future__ import annotations

import kit
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from ec_agent import best_of_n


def asks(state, model):
    return {"messages": [model.invoke(state["messages"])]}


def heard(*questions):
    return {"messages": [("human", " ".join(interrupt(question) for question in questions))]}


def one_node_asks_twice(model):
    return kit.graph(
        MessagesState,
        ask=lambda s: asks(s, model),
        both=lambda s: heard("first", "second"),
        checkpointer=InMemorySaver(),
    )


def two_nodes_ask(model):
    nodes = {"ask": lambda s: asks(s, model), "a": lambda s: heard("first"), "b": lambda s: heard("second")}
    return kit.graph(MessagesState, **nodes, checkpointer=InMemorySaver())


def side_by_side(model):
    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda s: asks(s, model))
    builder.add_edge(START, "ask")
    for name in ("first", "second"):
        builder.add_node(name, lambda s, name=name: heard(name))
        builder.add_edge("ask", name)
        builder.add_edge(name, END)
    return builder.compile(checkpointer=InMemorySaver())


def breakpoints(model):
    nodes = {
        "ask": lambda s: asks(s, model),
        "a": lambda s: {"messages": "first"},
        "b": lambda s: {"messages": "second"},
    }
    return kit.graph(MessagesState, **nodes, checkpointer=InMemorySaver()).copy({"interrupt_before_nodes": ["a", "b"]})


def the_first(asked):
    return Command(resume={asked[0].id: asked[0].value} if asked else None)


AGENTS = (one_node_asks_twice, two_nodes_ask, side_by_side, breakpoints)


@pytest.mark.parametrize("make", AGENTS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("method", ["invoke", "run"])
def test_each_pause_has_an_output_and_a_receipt(run, make, method):
    node = best_of_n(make(kit.say(*kit.PEAKS)), n=3)
    given, winners, said = {"messages": [("human", "go")]}, [], []
    for _ in range(3):
        done = getattr(run, method)(node, given, kit.THREAD)
        output = done if method == "invoke" else done.output
        winners += [done.selection.winner, len(done.trajectories)] if method == "run" else []
        said.append([message.content for message in output["messages"]])
        given = the_first(output.get("__interrupt__")) if "__interrupt__" in output else None
    assert said[:2] == [["go"], ["go"]]
    assert said[2][:2] == ["go", "answer 1"]
    assert sorted(" ".join(said[2][2:]).split()) == ["first", "second"]
    assert winners == ([1, 3] * 3 if method == "run" else [])
