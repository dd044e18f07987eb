"""Pipes and functions with a graph in them: its whole state is not taken for an update."""

from __future__ import annotations

import functools
import operator
from types import SimpleNamespace
from typing import Annotated, Any, NotRequired

import kit
import pytest
from kit import SAME
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import RunnableBranch, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import MessagesState
from langgraph.types import Command, interrupt

from ec_agent import AgentError, AllRolloutsFailedError, best_of_n
from ec_agent.rollouts.refused_pipes import NEW_PART as ADVISED

pytestmark = SAME

MODEL = kit.say(3)


class State(MessagesState):
    log: Annotated[list[Any], operator.add]
    count: Annotated[int, operator.add]
    plain: Any
    note: NotRequired[str]


def answer(state):
    return {"messages": [MODEL.invoke(state["messages"])], "log": ["answered"], "count": 1, "plain": "set"}


def more(state):
    return {"log": ["more"], "count": 1}


GRAPH = kit.graph(State, answer=answer, more=more)
NOTHING = kit.graph(State, nothing=lambda state: {"plain": "?"})
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
    with pytest.raises(
        AgentError, match=r"returns its whole state, not an update; pass the graph itself.*pipe\.invoke"
    ):
        best_of_n(PIPES[name], n=2)


@pytest.mark.parametrize("pipe", ["before", "prepended"])
def test_the_advice_for_a_pipe_works(run, pipe):
    first = RunnableLambda(lambda state: {"messages": [SystemMessage("be kind"), *state["messages"]]})
    pipe = PIPES[pipe] if pipe in PIPES else first | GRAPH
    advised = eval(ADVISED, {"best_of_n": functools.partial(best_of_n, n=2), "pipe": pipe})
    said = behind(run, advised)["messages"]
    assert [m.content for m in said if m.type != "system"] == ["q", "answer 0"]


def behind(run, agent, state=None):
    return run.invoke(kit.outer(best_of_n(agent, n=2), State), state or GIVEN)


def bare(state):
    return {key: kit.gist(state[key]) if key == "messages" else state[key] for key in GIVEN}


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


def made():
    return kit.graph(State, answer=answer, more=more)


def with_a_list_of_its_own(state):
    done = GRAPH.invoke(state)
    return {**done, "log": list(done["log"])}


def in_a_stream(state):
    return list(GRAPH.stream(state, stream_mode="values"))[-1]


@task
def as_a_task(state):
    return GRAPH.invoke(state)


@entrypoint()
def flow(state):
    return as_a_task(state).result()


KEPT = {"graphs": [GRAPH]}
PACKAGE = SimpleNamespace(agents=SimpleNamespace(graph=GRAPH))

FUNCTIONS = {
    "an entrypoint": flow,
    "an entrypoint within": lambda state: flow.invoke(state),
    "a task": lambda state: as_a_task(state).result(),
    "streams": in_a_stream,
    "from a dict": lambda state: KEPT["graphs"][0].invoke(state),
    "from a package": lambda state: PACKAGE.agents.graph.invoke(state),
    "by default": lambda state, graph=GRAPH: graph.invoke(state),
    "makes one": lambda state: made().invoke(state),
    "returns a new one": RunnableLambda(lambda state: made()),
    "a list of its own": with_a_list_of_its_own,
    "with a note": lambda state: {**GRAPH.invoke(state), "note": "set"},
    "of an agent within": lambda state: best_of_n(GRAPH, n=1).as_agent().invoke(state),
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
def test_returning_a_graphs_state_equals_the_graph(run, name):
    expected = bare(behind(run, GRAPH))
    assert expected["log"] == ["in", "answered", "more"]
    assert expected["count"] == 7
    assert bare(behind(run, FUNCTIONS[name])) == expected


def test_an_async_function_too():
    run = kit.Async()
    assert bare(behind(run, acalled)) == bare(behind(run, GRAPH))


def test_an_addition_to_a_graphs_list_counts_once(run):
    def adding(state):
        done = GRAPH.invoke(state)
        return {"log": [*done["log"], "added"], "count": done["count"]}

    done = behind(run, adding)
    assert (done["log"], done["count"]) == (["in", "answered", "more", "added"], 7)


def asking(state):
    return {"log": [interrupt("may I?")], "count": 1}


ASKING = kit.graph(State, answer=answer, asking=asking, more=more)


def asking_itself(state):
    done = GRAPH.invoke(state)
    interrupt("may I?")
    return done


@pytest.mark.parametrize(
    ("agent", "log"),
    [
        (lambda state: ASKING.invoke(state), ["in", "answered", "yes", "more"]),
        (asking_itself, ["in", "answered", "more"]),
    ],
    ids=["the graph asks", "the function asks"],
)
def test_a_function_resumed_after_an_answer(run, agent, log):
    graph, thread = kit.outer(best_of_n(agent, n=2), State, checkpointer=InMemorySaver()), kit.THREAD
    run.invoke(graph, {**GIVEN, "messages": [HumanMessage("q")]}, thread)
    done = run.invoke(graph, Command(resume="yes"), thread)
    assert (done["log"], done["count"], len(done["messages"])) == (log, 4 + len(log), 2)


def test_messages_are_matched_by_id(run):
    def last(state):
        return {"messages": GRAPH.invoke({**state, "messages": state["messages"][-1:]})["messages"]}

    said = [HumanMessage(text, id=text) for text in ("a", "b", "c")]
    done = behind(run, last, {**GIVEN, "messages": said})
    assert [message.content for message in done["messages"]][:3] == ["a", "b", "c"]
    assert len(done["messages"]) == 4


def test_a_list_replaced_by_the_graph_is_new(run):
    def setting(state):
        return {"plain": ["one"]}

    def again(state):
        MODEL.invoke("?")
        return {"plain": ["two"]}

    replacing = kit.graph(State, setting=setting, again=again)
    assert behind(run, lambda state: {"log": replacing.invoke(state)["plain"]})["log"] == ["in", "two"]


def test_an_empty_graph_state_adds_nothing(run):
    def emptied(state):
        MODEL.invoke("?")
        return {**NOTHING.invoke({**state, "log": [], "count": 0}), "plain": "set"}

    done = behind(run, emptied)
    assert (done["log"], done["count"], done["plain"]) == (["in"], 5, "set")


def test_the_new_part_alone_stays_what_it_is(run):
    def new_part(state):
        done = GRAPH.invoke(state)
        return {"messages": done["messages"][-1:], "log": done["log"][1:], "count": 2}

    done = behind(run, new_part)
    assert (done["log"], done["count"], len(done["messages"])) == (["in", "answered", "more"], 7, 2)


def test_an_equal_number_by_chance_stays(run):
    def chance(state):
        return {"count": GRAPH.invoke({**state, "count": 1})["count"]}  # 3, which is what it means to add

    assert behind(run, chance)["count"] == 8


def test_a_graph_given_another_state_is_refused(run):
    """What was put before it is in its state, and in nothing that it wrote."""

    def changed(state):
        return GRAPH.invoke({**state, "log": [*state["log"], "put before"]})

    with pytest.raises(AllRolloutsFailedError, match="returned the whole 'log' of the graph that it calls"):
        behind(run, changed)


def test_an_empty_start_returns_the_new_part(run):
    def afresh(state):
        done = GRAPH.invoke({"messages": state["messages"], "log": [], "count": 0})
        return {"log": done["log"], "messages": done["messages"]}

    assert behind(run, afresh)["log"] == ["in", "answered", "more"]


def test_an_empty_value_is_not_doubled(run):
    done = behind(run, calling, {"messages": [HumanMessage("q", id="q")]})
    assert (done["log"], done["count"]) == (["answered", "more"], 2)


def test_an_entrypoint_in_a_pipe_returns_what_it_returns(run):
    @entrypoint()
    def flow(state):
        MODEL.invoke("?")
        return {"log": ["flow"]}

    assert behind(run, SAME_STATE | flow)["log"] == ["in", "flow"]
