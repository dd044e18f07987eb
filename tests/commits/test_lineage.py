"""Which run a task belongs to: what ``ec_agent/commits/lineage.py`` relies on of LangGraph, on real graphs."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send, interrupt

from ec_agent import CommitError
from ec_agent.commits.durability import written_down
from ec_agent.commits.lineage import standing
from ec_agent.insides.langgraph import READ, number_in_task
from ec_agent.support.plans import adrive, drive

THREAD = {"configurable": {"thread_id": "t"}}
GO = {"messages": "go"}


class Looking:
    """A node that notes where it stands."""

    def __init__(self):
        self.seen = []

    def __call__(self, state, config):
        drive(written_down(config))
        self.seen.append(drive(standing(config)))

    async def later(self, state, config):
        await adrive(written_down(config))
        self.seen.append(await adrive(standing(config)))

    @property
    def node(self):
        return RunnableLambda(self.__call__, self.later, name="look")

    def take(self):
        seen, self.seen = self.seen, []
        return seen


@pytest.fixture
def look():
    return Looking()


@pytest.fixture(params=["memory", "sqlite"])
def saver(request, tmp_path):
    with ExitStack() as stack:
        if request.param == "memory":
            yield InMemorySaver()
        else:
            yield stack.enter_context(SqliteSaver.from_conn_string(str(tmp_path / "s.sqlite")))


def chain(saver, **nodes):
    builder = StateGraph(MessagesState)
    for start, (name, node) in zip([START, *nodes], nodes.items(), strict=False):
        builder.add_node(name, node)
        builder.add_edge(start, name)
    return builder.compile(checkpointer=saver)


def idle(state):
    return None


def test_two_resumed_workers_share_a_place_but_no_history(saver, look):
    graph = chain(saver, a=idle, look=look.node)
    graph.invoke(GO, THREAD, interrupt_before=["a"])
    paused = graph.get_state(THREAD).config
    racing = chain(saver, a=lambda s: graph.invoke(None, paused) and None, look=look.node)  # while the first runs
    racing.invoke(None, THREAD)
    late, first = look.take()
    assert (first.run, first.place) == (late.run, late.place)
    assert first.position != late.position
    assert not first.follows(late.position)
    assert not late.follows(first.position)


def test_earlier_steps_are_in_the_history(saver, look):
    graph = chain(saver, a=look.node, b=idle, c=look.node)
    graph.invoke(GO, THREAD)
    first, last = look.take()
    assert first.run == last.run
    assert first.place != last.place
    assert last.follows(first.position)
    assert not first.follows(last.position)


def test_a_repeated_node_has_a_new_place_each_time(saver, look):
    builder = StateGraph(MessagesState)
    builder.add_node("look", look.node)
    builder.add_edge(START, "look")
    builder.add_conditional_edges("look", lambda _: "look" if len(look.seen) < 3 else "__end__", ["look", "__end__"])
    builder.compile(checkpointer=saver).invoke(GO, THREAD)
    seen = look.take()
    assert len({each.place for each in seen}) == 3
    assert seen[2].follows(seen[0].position)


def sent(node):
    builder = StateGraph(MessagesState)
    builder.add_node("look", node)
    builder.add_conditional_edges(START, lambda s: [Send("look", s), Send("look", s)], ["look"])
    return builder


def test_sent_tasks_differ_and_are_beside_each_other(saver, look):
    graph = sent(look.node).compile(checkpointer=saver)
    graph.invoke(GO, THREAD)
    one, two = look.take()
    assert one.place != two.place
    assert one.follows(two.position)


def test_tasks_in_sent_graphs_differ_too(saver, look):
    graph = sent(chain(None, a=idle, look=look.node)).compile(checkpointer=saver)
    graph.invoke(GO, THREAD)
    one, two = look.take()
    assert one.run == two.run
    assert one.place != two.place
    assert one.follows(two.position)
    assert [namespace.partition(":")[0] for namespace, _ in one.position] == ["", "look"]


def test_tasks_called_by_a_function_differ_too(saver, look):
    @task
    def call(number):
        look(number, here())

    def here():
        from langgraph.config import get_config

        return get_config()

    @entrypoint(checkpointer=saver)
    def agent(given):
        [each.result() for each in (call(0), call(1))]
        call(2).result()
        return "done"

    agent.invoke("go", THREAD)
    assert len({each.place for each in look.seen}) == 3
    assert len({each.run for each in look.seen}) == 1


def test_a_nested_graph_has_one_place_for_all(saver, look):
    graph = chain(saver, a=idle, sub=chain(None, b=idle, look=look.node))
    graph.invoke(GO, THREAD, interrupt_before=["a"])
    paused = graph.get_state(THREAD).config
    sub = chain(None, b=idle, look=look.node)
    racing = chain(saver, a=lambda s: graph.invoke(None, paused) and None, sub=sub)
    racing.invoke(None, THREAD)
    first, late = look.take()
    assert (first.run, first.place) == (late.run, late.place)
    assert not late.follows(first.position)


def history(graph, node):
    return next(each for each in graph.get_state_history(THREAD) if each.next == (node,)).config


@pytest.mark.parametrize("forked", [False, True], ids=["replayed", "forked"])
def test_going_back_in_an_ended_run_begins_another(saver, look, forked):
    graph = chain(saver, a=idle, look=look.node)
    graph.invoke(GO, THREAD)
    for _ in range(2):
        at = history(graph, "a")
        if forked:
            at = graph.update_state(at, {"messages": "more"}, as_node="__start__")
        graph.invoke(None, at)
    assert len({each.run for each in look.take()}) == 3


@pytest.mark.parametrize("forked", [False, True], ids=["replayed", "forked"])
@pytest.mark.parametrize("pause", ["an edge", "a join", "a send"])
def test_going_back_in_an_open_run_does_not(saver, look, forked, pause):
    builder = StateGraph(MessagesState)
    builder.add_node("look", look.node)
    builder.add_node("beside", idle)
    builder.add_node("ask", lambda state: interrupt("?") and None)
    builder.add_edge(START, "look")
    builder.add_edge(START, "beside")
    if pause == "a join":
        builder.add_edge(["look", "beside"], "ask")
    elif pause == "a send":
        builder.add_conditional_edges("look", lambda s: [Send("ask", s)], ["ask"])
    else:
        builder.add_edge("look", "ask")
    graph = builder.compile(checkpointer=saver)
    graph.invoke(GO, THREAD)
    at = next(each for each in graph.get_state_history(THREAD) if "look" in each.next).config
    if forked:
        at = graph.update_state(at, {"messages": "more"}, as_node="__start__")
    graph.invoke(None, at)
    first, again = look.take()
    assert first.run == again.run
    assert not again.follows(first.position)


def test_a_state_update_stays_in_the_run(saver, look):
    graph = chain(saver, a=look.node, b=idle, look=look.node)
    graph.invoke(GO, THREAD, interrupt_before=["b"])
    graph.update_state(THREAD, {"messages": "more"})
    graph.invoke(None, THREAD)
    first, last = look.take()
    assert first.run == last.run
    assert last.follows(first.position)


def test_each_input_begins_a_run(saver, look):
    graph = chain(saver, look=look.node)
    graph.invoke(GO, THREAD)
    graph.invoke(GO, THREAD)
    graph.invoke(GO, {"configurable": {"thread_id": "another"}})
    assert len({each.run for each in look.take()}) == 3


def test_the_same_is_seen_in_an_async_run(look):
    graph = chain(InMemorySaver(), a=idle, look=look.node)
    asyncio.run(graph.ainvoke(GO, THREAD))
    asyncio.run(graph.ainvoke(None, history(graph, "a"), durability="sync"))
    first, again = look.take()
    assert first.run != again.run


@pytest.mark.parametrize("saver", [None, InMemorySaver()], ids=["no saver", "exit"], indirect=False)
def test_without_checkpoints_there_is_no_place(look, saver):
    graph = chain(saver, look=look.node)
    graph.invoke(GO, THREAD, **({} if saver is None else {"durability": "exit"}))
    assert look.take() == [None]


def test_a_moved_path_in_langgraph_is_an_error():
    seen = []

    def look(state, config):
        seen.append(config)

    graph = chain(InMemorySaver(), look=RunnableLambda(look, name="look"))
    graph.invoke(GO, THREAD)
    moved = {**seen[0]["configurable"], READ: object()}
    with pytest.raises(CommitError, match="does not keep a task's path"):
        drive(standing({**seen[0], "configurable": moved}))


def test_counts_in_a_task_begin_at_0_each_try():
    seen = []

    def look(state, config):
        seen.append([number_in_task(config, "a"), number_in_task(config, "a"), number_in_task(config, "b")])

    graph = chain(None, look=RunnableLambda(look, name="look"), again=RunnableLambda(look, name="again"))
    graph.invoke(GO)
    assert seen == [[0, 1, 0], [0, 1, 0]]
