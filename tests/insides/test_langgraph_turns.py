"""What ``ec_agent/insides/langgraph.py`` relies on for what is kept over the turns of a thread."""

from __future__ import annotations

from typing import Annotated

import kit
import pytest
import turns
from kit import THREAD
from langchain_core.runnables import RunnableLambda
from langgraph.channels import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint

from ec_agent import best_of_n
from ec_agent.insides import langgraph as internals


def test_a_lasting_namespace_has_no_task_ids(run):
    seen, saver = [], InMemorySaver()

    def look(state, config):
        seen.append(config["configurable"]["checkpoint_ns"])
        return {"reply": ""}

    inner = kit.graph(turns.Talk, look=RunnableLambda(look), checkpointer=True)
    graph = kit.graph(turns.Talk, outer=kit.graph(turns.Talk, inner=inner), checkpointer=saver)
    run.invoke(graph, {"text": "x"}, THREAD)
    within = internals.lasting(seen[0]).rpartition("|")[0]
    assert within == "outer|inner"
    assert within in saver.storage["t"]
    assert internals.lasting("a:1|1|b:2|c") == "a|1|b|c"
    assert internals.lasting("") == ""


def test_an_entrypoints_saved_value_is_checkpointed(run):
    saver = InMemorySaver()

    @entrypoint(checkpointer=saver)
    def one(text, *, previous=None):
        return entrypoint.final(value=text, save=[text])

    run.invoke(one, "x", THREAD)
    assert saver.get_tuple(THREAD).checkpoint["channel_values"][internals.PREVIOUS] == ["x"]


def test_a_run_from_an_old_checkpoint_says_which(run):
    seen = []

    def look(state, config):
        replay = config["configurable"].get(internals.REPLAY)
        seen.append(replay and replay.checkpoint_id)
        return {"reply": ""}

    graph = kit.graph(turns.Talk, look=RunnableLambda(look), checkpointer=InMemorySaver())
    run.invoke(graph, {"text": "x"}, THREAD)
    earlier = graph.get_state(THREAD).config
    run.invoke(graph, {"text": "y"}, THREAD)
    run.invoke(graph, {"text": "z"}, earlier)
    assert seen[:2] == [None, None]
    history = [state.config["configurable"]["checkpoint_id"] for state in graph.get_state_history(THREAD)]
    assert seen[2] in history


def test_a_checkpoint_of_differences_is_marked(run):
    class Deltas(turns.Talk):
        heard: Annotated[list[str], DeltaChannel(lambda left, right: [*left, *right], snapshot_frequency=9)]

    for schema, made_up in ((Deltas, True), (turns.Heard, False)):
        saver = InMemorySaver()
        run.invoke(kit.graph(schema, hear=turns.hear, checkpointer=saver), {"text": "x"}, THREAD)
        assert bool(saver.get_tuple(THREAD).metadata.get(internals.DELTAS)) is made_up


def test_a_graph_that_a_function_calls_is_found():
    graph = turns.subgraph()

    def calls(state):
        return graph.invoke(state)

    async def acalls(state, config):
        return await graph.ainvoke(state, config)

    assert internals.graph_called_by(calls) is internals.graph_called_by(acalls) is graph
    assert internals.graph_called_by(RunnableLambda(calls) | RunnableLambda(turns.tell)) is graph
    assert internals.graph_called_by(turns.tell) is None
    assert internals.graph_called_by(object()) is None


class Counting(InMemorySaver):
    """It counts versions as LangGraph's own default does: in whole numbers."""

    get_next_version = BaseCheckpointSaver.get_next_version


@pytest.mark.parametrize("form", [turns.subgraph, turns.functional, turns.itself])
def test_a_rollouts_versions_come_from_the_checkpointer(run, form):
    saver = Counting()
    graph = kit.outer(best_of_n(form(), n=3), turns.Talk, checkpointer=saver)
    replies = [run.invoke(graph, {"text": text}, THREAD)["reply"] for text in ("red", "green", "blue")]
    assert replies[-1] == "red/1 green/1 blue/1"
    for found in saver.list(THREAD):
        assert all(isinstance(version, int) for version in found.checkpoint["channel_versions"].values())
