"""The fan-out, and the agent inside it, show in drawings."""

from __future__ import annotations

import kit
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import MessagesState

from ec_agent import best_of_n


@tool
def look(q: str) -> str:
    """Look."""
    return q


def agent():
    return kit.graph(MessagesState, think=lambda s: {}, write=lambda s: {})


def test_xray_shows_rollout_select_and_the_agent():
    nodes = set(kit.outer(best_of_n(agent())).get_graph(xray=True).nodes)
    assert {"solve:rollout:think", "solve:rollout:write", "solve:select"} <= nodes


def test_xray_of_one_level_shows_the_rollout_closed():
    nodes = set(kit.outer(best_of_n(agent())).get_graph(xray=1).nodes)
    assert {"solve:rollout", "solve:select"} <= nodes


def test_without_xray_it_is_one_node():
    assert set(kit.outer(best_of_n(agent())).get_graph().nodes) == {"__start__", "solve", "__end__"}


def test_the_fan_out_graph_is_drawn_alone():
    drawn = best_of_n(agent()).as_agent().get_graph(xray=True)
    assert {"best_of_n:rollout:think", "best_of_n:select"} <= set(drawn.nodes)
    assert "think" in drawn.draw_mermaid()
    assert best_of_n(agent()).get_graph().nodes


def test_a_function_agent_is_one_rollout_node():
    nodes = set(kit.outer(best_of_n(lambda s: {})).get_graph(xray=True).nodes)
    assert {"solve:rollout", "solve:select"} <= nodes


def test_a_create_agent_agent_is_drawn_with_its_tools():
    made = create_agent(kit.say(3), [look])
    nodes = set(kit.outer(best_of_n(made)).get_graph(xray=True).nodes)
    assert {"solve:rollout:model", "solve:rollout:tools"} <= nodes


def test_called_from_a_function_node_it_is_still_found():
    node = best_of_n(agent())
    graph = kit.outer(lambda state: node.invoke(state))
    assert {"solve:rollout:think", "solve:select"} <= set(graph.get_graph(xray=True).nodes)


def test_subgraphs_are_found():
    graph = kit.outer(best_of_n(agent()))
    assert [name for name, _ in graph.get_subgraphs()] == ["solve"]


def test_a_nested_best_of_n_is_drawn_inside_out():
    inside = kit.graph(MessagesState, inner=best_of_n(agent()))
    nodes = set(kit.outer(best_of_n(inside)).get_graph(xray=True).nodes)
    assert "solve:rollout:inner:rollout:think" in nodes


def test_a_drawing_of_a_sequence():
    chain = best_of_n(agent()) | (lambda w: w)
    assert {"solve:rollout:think", "solve:select"} <= set(kit.outer(chain).get_graph(xray=True).nodes)
