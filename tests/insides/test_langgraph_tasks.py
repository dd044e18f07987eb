"""What ``ec_agent/insides/langgraph.py`` relies on of a task: its config, its checkpoints, its place among others."""

from __future__ import annotations

import asyncio
import operator
import threading
from typing import Annotated, Any

import kit
import pytest
from kit import THREAD
from langchain_core.runnables import RunnableLambda
from langgraph._internal import _constants as constants
from langgraph.channels import AnyValue, BinaryOperatorAggregate, EphemeralValue, LastValue, Topic, UntrackedValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send, interrupt
from typing_extensions import TypedDict

from ec_agent.insides import langgraph as internals
from ec_agent.support.plans import drive


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        *((name, f"CONFIG_KEY_{name}") for name in ("CHECKPOINTER", "DURABILITY", "READ", "RUNTIME", "RESUMING")),
        *(("REPLAY", "CONFIG_KEY_REPLAY_STATE"), ("COORDINATES", "_CHECKPOINT_COORDINATE_KEYS")),
        *((name, name) for name in ("RETURN", "PULL", "PUSH", "INTERRUPT", "PREVIOUS", "TASKS")),
    ],
)
def test_langgraph_calls_it_so(name, theirs):
    ours, of_langgraph = getattr(internals, name), getattr(constants, theirs)
    assert (sorted(ours), len(ours)) == (sorted(of_langgraph), len(of_langgraph))
    assert isinstance(ours, tuple) or ours == of_langgraph


class Joined(TypedDict):
    items: Annotated[list[Any], operator.add]


def looking(seen, look=lambda config: config, update=None):
    """A node that notes what ``look`` makes of its config."""

    def node(state, config):
        seen.append(look(config))
        return update or {}

    return RunnableLambda(node, name="look")


@pytest.mark.parametrize("saver", [InMemorySaver(), None], ids=["with", "without"])
def test_a_tasks_checkpointer_is_in_its_config(run, saver):
    seen = []
    run.invoke(kit.outer(looking(seen, internals.saver_of), kit.Items, checkpointer=saver), {"items": []}, THREAD)
    assert seen == [saver]
    assert internals.saver_of({}) is None


def test_a_task_knows_that_it_runs_again(run):
    seen = []

    def ask(state, config):
        seen.append(internals.taken_up_again(config))
        return {"items": [interrupt("?")]}

    graph = kit.outer(RunnableLambda(ask), Joined, checkpointer=InMemorySaver())
    run.invoke(graph, {"items": []}, THREAD)
    run.invoke(graph, None, THREAD)
    assert seen == [False, True]
    assert not internals.taken_up_again({})


def test_what_finished_tasks_of_a_superstep_wrote_is_with_the_checkpointer(run):
    seen, fails = [], [True]

    def late(state, config):
        if fails:
            raise fails.pop() and ValueError("no")
        seen.append((state["items"], drive(internals.written_beside(config, "items"))))
        return {}

    builder = StateGraph(Joined)
    builder.add_node("early", lambda state: {"items": ["a", "b"]})
    builder.add_node("late", RunnableLambda(late))
    builder.add_edge(START, "early")
    builder.add_edge(START, "late")
    inner = builder.compile()
    graph = kit.outer(inner, Joined, checkpointer=InMemorySaver())
    with pytest.raises(ValueError, match="no"):
        run.invoke(graph, {"items": []}, THREAD)
    run.invoke(graph, None, THREAD)
    assert seen == [([], ["a", "b"])]


def test_the_checkpoints_around_a_task_are_in_its_config(run):
    seen, saver = [], InMemorySaver()
    inner = kit.outer(looking(seen, lambda config: internals.checkpoints_of(config["configurable"])), kit.Items)
    graph = kit.graph(kit.Items, within=inner, checkpointer=saver)
    run.invoke(graph, {"items": []}, THREAD)
    (outermost, within) = seen[0]
    assert (outermost, within.partition(":")[0]) == ("", "within")
    assert seen[0][""] in {found.checkpoint["id"] for found in saver.list(THREAD)}


def test_a_nested_run_can_be_kept_out_of_the_checkpoints(run):
    def nested(state, config):
        kept = kit.graph(kit.Items, kept=lambda state: {"items": [1]})
        return {"items": kept.invoke({"items": []}, internals.unsaved(config))["items"]}

    saver = InMemorySaver()
    graph = kit.outer(RunnableLambda(nested), kit.Items, checkpointer=saver)
    done = run.invoke(graph, {"items": []}, THREAD, durability="sync")
    assert done["items"] == [1]
    assert set(saver.storage["t"]) == {""}


def test_breakpoints_of_a_run_reach_its_tasks(run):
    seen, given = [], {"interrupt_before": ["b"]}
    config = {"configurable": {internals.BREAKPOINTS: given}}
    run.invoke(kit.outer(looking(seen, internals.breakpoints_in), kit.Items), {"items": []}, config)
    assert seen == [given]
    assert internals.breakpoints_in({}) == {}


def test_a_config_of_ones_own_keeps_the_task(run):
    seen = []

    def look(state):
        seen.append(internals.config_here({"configurable": {"user": "u", "thread_id": "other"}})["configurable"])
        return {}

    run.invoke(kit.outer(look, kit.Items), {"items": []}, {"configurable": {"tenant": "x"}})
    assert (seen[0]["user"], seen[0]["tenant"]) == ("u", "x")
    assert "thread_id" not in seen[0]  # the task's own thread counts
    assert internals.inside_graph({"configurable": seen[0]})
    outside = internals.config_here({"configurable": {"thread_id": "other"}})
    assert outside["configurable"] == {"thread_id": "other"}


def test_a_tasks_path_says_what_started_it(run):
    seen = []
    builder = StateGraph(kit.Items)
    path = looking(seen, lambda config: internals.task_path(config["configurable"])[:2])
    builder.add_node("edge", path)
    builder.add_node("sent", path)
    builder.add_edge(START, "edge")
    builder.add_conditional_edges("edge", lambda state: [Send("sent", state)] * 2, ["sent"])
    run.invoke(builder.compile(), {"items": []})
    assert seen[0] == (internals.PULL, "edge")
    assert sorted(seen[1:]) == [(internals.PUSH, 0), (internals.PUSH, 1)]


def test_questions_of_a_task_are_counted_and_those_of_another_apart(run):
    seen = []
    count = looking(seen, lambda config: [internals.question_number(config), internals.number_in_task(config, "x")])
    run.invoke(kit.graph(kit.Items, one=count, two=count), {"items": []})
    assert seen == [[0, 0], [0, 0]]
    twice = looking(seen, lambda config: [internals.question_number(config) for _ in range(2)])
    run.invoke(kit.outer(twice, kit.Items), {"items": []})
    assert seen[-1] == [0, 1]


def test_the_nodes_of_its_graph_are_known_to_a_task(run):
    seen = []
    known = looking(seen, lambda config: [internals.has_node(config, name) for name in ("solve", END, "other")])
    run.invoke(kit.outer(known, kit.Items), {"items": []})
    assert seen == [[True, True, False]]


def test_edges_are_chosen_on_the_event_loop():
    seen = []

    def where(state):
        seen.append(threading.current_thread())
        return "one"

    builder = StateGraph(kit.Items)
    builder.add_node("one", lambda state: {})
    builder.add_conditional_edges(START, where, ["one"])
    internals.edges_on_the_loop(builder)
    graph = builder.compile()

    async def loop():
        await graph.ainvoke({"items": []})
        return threading.current_thread()

    assert asyncio.run(loop()) is seen[0]
    graph.invoke({"items": []})
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("channel", "collects", "passes", "untracked"),
    [
        (Topic(str), True, True, False),
        (Topic(str, accumulate=True), False, False, False),
        (EphemeralValue(str), False, True, False),
        (AnyValue(str), False, True, False),
        (UntrackedValue(str), False, True, True),
        (LastValue(str), False, False, False),
        (BinaryOperatorAggregate(list, operator.add), False, False, False),
    ],
    ids=["topic", "accumulating topic", "ephemeral", "any", "untracked", "last", "reducer"],
)
def test_how_long_a_channel_keeps_its_value(channel, collects, passes, untracked):
    assert internals.collects(channel) is collects
    assert internals.passing(channel) is passes
    assert internals.untracked(channel) is untracked
