"""What LangGraph keeps in a task's config about the run around it, and what our steps read from there."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.runnables import ensure_config
from langgraph.errors import GraphDrained
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import RunControl

from ec_agent.insides.langgraph import RUNTIME, ambient_run
from ec_agent.insides.run_around import check_drain, streams_tasks, with_context


def graph_of(look):
    """A graph of one node, which calls ``look`` with its config."""

    def node(state, config):
        look(config)

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    return builder.compile()


@pytest.fixture(params=["sync", "async"])
def streamed(request):
    """Streams a graph to its end."""

    async def wait(graph, **given):
        return [part async for part in graph.astream({"messages": []}, **given)]

    def drive(graph, **given):
        if request.param == "async":
            return asyncio.run(wait(graph, **given))
        return list(graph.stream({"messages": []}, **given))

    return drive


@pytest.mark.parametrize("modes", ["values", "updates", "custom", "messages", ["tasks", "checkpoints", "debug"]])
def test_only_a_stream_of_subgraphs_wants_the_tasks(streamed, modes):
    seen = []
    graph = graph_of(lambda config: seen.append(streams_tasks(config)))
    streamed(graph, stream_mode=modes)
    streamed(graph, stream_mode=modes, subgraphs=True)
    assert seen == [False, True]
    assert not streams_tasks({})


def test_a_server_that_runs_tasks_wants_them():
    assert streams_tasks({"configurable": {"__pregel_runner_submit": print}})
    assert streams_tasks({"configurable": {"__pregel_node_finished": print}})


def test_the_keys_are_still_those_of_langgraph():
    from langgraph._internal import _constants

    from ec_agent.insides import run_around

    keys = _constants.CONFIG_KEY_RUNNER_SUBMIT, _constants.CONFIG_KEY_NODE_FINISHED
    assert keys == (run_around.SUBMIT, run_around.FINISHED)


def test_another_context_leaves_the_rest_of_the_runtime(streamed):
    seen = []

    def look(config):
        changed = with_context(config, "another")
        old, new = config["configurable"][RUNTIME], changed["configurable"][RUNTIME]
        seen.append((old.context, new.context, old.stream_writer is new.stream_writer, old.control is new.control))

    streamed(graph_of(look), context={"n": 4})
    assert seen == [({"n": 4}, "another", True, True)]


def test_a_request_to_drain_is_seen_in_a_task(streamed):
    control, said = RunControl(), []

    def look(config):
        check_drain(config)
        control.request_drain("enough for today")
        with pytest.raises(GraphDrained) as raised:
            check_drain(config)
        said.append(raised.value.reason)

    streamed(graph_of(look), control=control)
    assert said == ["enough for today"]


def test_code_runs_as_in_the_task_whose_config_is_given():
    with ambient_run({"tags": ["mine"], "metadata": {"langgraph_node": "here"}}):
        assert ensure_config()["tags"] == ["mine"]
        with ambient_run(None):
            assert ensure_config()["tags"] == []
    assert "langgraph_node" not in ensure_config()["metadata"]
