"""Pipes and functions with a graph in them: its whole state is not taken for an update."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import kit
import pytest
from kit import SAME
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableBranch, RunnableLambda
from langgraph.func import entrypoint
from langgraph.graph import MessagesState

from ec_agent import AgentError, AllRolloutsFailedError, best_of_n

pytestmark = SAME

MODEL = kit.say(3)


class State(MessagesState):
    log: Annotated[list[Any], operator.add]
    count: Annotated[int, operator.add]
    plain: Any


def answer(state):
    return {"messages": [MODEL.invoke(state["messages"])], "log": ["answered"], "count": 1, "plain": "set"}


def more(state):
    return {"log": ["more"], "count": 1}


GRAPH = kit.graph(State, answer=answer, more=more)
GIVEN = {"messages": [HumanMessage("q", id="q")], "log": ["in"], "count": 5, "plain": "in"}
SAME_STATE = RunnableLambda(lambda state: state)
NEW_PART = RunnableLambda(lambda state: {"log": state["log"][1:]})

PIPES = {
    "before": SAME_STATE | GRAPH,
    "after": GRAPH | SAME_STATE,
    "after, the new part": GRAPH | NEW_PART,
    "between": SAME_STATE | GRAPH | SAME_STATE,
    "nested": SAME_STATE | RunnableLambda(len).with_retry() | (SAME_STATE | GRAPH).with_config(tags=["x"]),
    "retried": (SAME_STATE | GRAPH).with_retry(),
    "fallback": SAME_STATE.with_fallbacks([GRAPH]),
    "with a fallback": (SAME_STATE | GRAPH).with_fallbacks([SAME_STATE]),
    "branch": RunnableBranch((lambda state: True, GRAPH), SAME_STATE),
    "default": RunnableBranch((lambda state: False, SAME_STATE), SAME_STATE | GRAPH),
    "bound": SAME_STATE | GRAPH.with_config(tags=["x"]),
}


@pytest.mark.parametrize("name", PIPES)
def test_a_pipe_with_a_graph_in_it_is_refused(name):
    with pytest.raises(AgentError, match=r"returns its whole state, not an update; pass the graph itself"):
        best_of_n(PIPES[name], n=2)


def behind(run, agent, state=None):
    return run.invoke(kit.outer(best_of_n(agent, n=2), State), state or GIVEN)


def bare(state):
    return {**state, "messages": kit.gist(state["messages"])}


async def acalled(state):
    return await GRAPH.ainvoke(state)


def calling(state):
    return GRAPH.invoke(state)


class Caller:
    """An agent that is an object, and calls its graph in a method."""

    def __init__(self):
        self.graph = GRAPH

    def run(self, state):
        return self.graph.invoke(state)

    def __call__(self, state):
        return self.run(state)


def within(state):
    def inner():
        return calling(state)

    return inner()


FUNCTIONS = {
    "a method": Caller().run,
    "an object": Caller(),
    "by another function": within,
    "calls": lambda state: GRAPH.invoke(state),
    "calls by its name": calling,
    "copies": lambda state: dict(GRAPH.invoke(state)),
    "with more": lambda state: {**GRAPH.invoke(state), "plain": "set"},
    "returns": RunnableLambda(lambda state: GRAPH),
    "a runnable": RunnableLambda(lambda state: GRAPH.invoke(state), afunc=acalled),
    "in a pipe": SAME_STATE | RunnableLambda(lambda state: GRAPH.invoke(state)),
    "with a config": lambda state, config: GRAPH.invoke(state, config),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_returns_a_graphs_state_is_as_the_graph_alone(run, name):
    expected = bare(behind(run, GRAPH))
    assert expected["log"] == ["in", "answered", "more"]
    assert expected["count"] == 7
    assert bare(behind(run, FUNCTIONS[name])) == expected


def test_an_async_function_too():
    run = kit.Async()
    assert bare(behind(run, acalled)) == bare(behind(run, GRAPH))


def test_the_new_part_alone_stays_what_it_is(run):
    def new_part(state):
        done = GRAPH.invoke(state)
        return {"messages": done["messages"][-1:], "log": done["log"][1:], "count": 2}

    done = behind(run, new_part)
    assert (done["log"], done["count"], len(done["messages"])) == (["in", "answered", "more"], 7, 2)


def test_a_number_that_is_the_same_by_chance_stays_what_it_is(run):
    def chance(state):
        return {"count": GRAPH.invoke({**state, "count": 1})["count"]}  # 3, which is what it means to add

    assert behind(run, chance)["count"] == 8


def test_a_graph_that_was_given_another_state_is_refused(run):
    """What was put before it is in its state, and in nothing that it wrote."""

    def changed(state):
        return GRAPH.invoke({**state, "log": [*state["log"], "put before"]})

    with pytest.raises(AllRolloutsFailedError, match="returned the whole 'log' of the graph that it calls"):
        behind(run, changed)


def test_a_graph_that_starts_from_nothing_returns_the_new_part(run):
    def afresh(state):
        done = GRAPH.invoke({"messages": state["messages"], "log": [], "count": 0})
        return {"log": done["log"], "messages": done["messages"]}

    assert behind(run, afresh)["log"] == ["in", "answered", "more"]


def test_nothing_there_is_nothing_twice(run):
    done = behind(run, calling, {"messages": [HumanMessage("q", id="q")]})
    assert (done["log"], done["count"]) == (["answered", "more"], 2)


def test_an_entrypoint_in_a_pipe_returns_what_it_returns(run):
    @entrypoint()
    def flow(state):
        MODEL.invoke("?")
        return {"log": ["flow"]}

    assert behind(run, SAME_STATE | flow)["log"] == ["in", "flow"]
