"""Channels that live for a step: what the agent alone gives back is what we give back."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Annotated, Any

import kit
import pytest
from kit import SAME, THREAD
from langchain_core.messages import AnyMessage
from langgraph.channels import AnyValue, EphemeralValue, LastValueAfterFinish, Topic, UntrackedValue
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.managed import IsLastStep, RemainingSteps
from langgraph.types import Command, interrupt
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from ec_agent import Limits, StateMismatchError, best_of_n

pytestmark = SAME

Brief = Annotated[Any, EphemeralValue(object)]
Loose = Annotated[Any, EphemeralValue(object, guard=False)]
Topical = Annotated[Any, Topic(str)]
Equal = Annotated[Any, AnyValue(object)]
Late = Annotated[Any, LastValueAfterFinish(object)]
Handle = Annotated[Any, UntrackedValue(object)]
PASSING = ("brief", "loose", "topical", "equal", "handle")


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[Any], operator.add]
    brief: Brief
    loose: Loose
    topical: Topical
    equal: Equal
    late: Late
    handle: Handle
    steps: RemainingSteps
    last: IsLastStep


class Model(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages] = Field(default_factory=list)
    log: Annotated[list[Any], operator.add] = Field(default_factory=list)
    brief: Brief = None
    loose: Loose = None
    topical: Topical = None
    equal: Equal = None
    handle: Handle = None


@dataclass
class Data:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)
    log: Annotated[list[Any], operator.add] = field(default_factory=list)
    brief: Brief = None
    loose: Loose = None
    topical: Topical = None
    equal: Equal = None
    handle: Handle = None


def value_of(key, name):
    return [name, f"{name} too"] if key == "topical" else name


def builder(schema, writers, ask=()):
    """A model's node, then three nodes, of which the ``writers`` write to every passing key; some ask."""
    model = kit.say(3)

    def node(name):
        def write(state):
            seen = state if isinstance(state, dict) else vars(state)
            answer = [interrupt(name)] if name in ask else []
            said = {key: repr(seen.get(key)) for key in PASSING if seen.get(key) is not None}
            told = {"messages": [model.invoke("?")]} if name == "a" else {}
            return {
                **told,
                "log": [(name, *answer, sorted(said.items()))],
                **({key: value_of(key, name) for key in PASSING} if name in writers else {}),
            }

        return write

    made = StateGraph(schema)
    for before, name in ((START, "a"), ("a", "b"), ("b", "c")):
        made.add_node(name, node(name))
        made.add_edge(before, name)
    return made


def bare(state):
    """The state less what is new in every run, and the ``None`` that a dataclass gives a graph within for no value."""
    return {
        **{key: value for key, value in state.items() if value is not None},
        "messages": kit.gist(state["messages"]),
    }


GIVEN = {key: value_of(key, "in") for key in PASSING}


@pytest.mark.members(4)
@pytest.mark.parametrize("schema", [State, Model, Data])
@pytest.mark.parametrize("given", [{}, GIVEN], ids=["nothing given", "given"])
@pytest.mark.parametrize("writers", ["", "a", "b", "c", "ab", "ac"])
def test_what_is_left_at_the_end(run, schema, given, writers):
    """Standing alone, as a node of a graph with the same keys, and as an agent in one."""
    agent, state = builder(schema, writers).compile(), {"messages": [("user", "go")], **given}
    node = best_of_n(agent, n=2)
    alone = bare(run.invoke(agent, state))
    assert bare(run.invoke(node, state)) == alone
    assert bare(run.invoke(node.as_agent(), state)) == alone
    around = bare(run.invoke(kit.outer(agent, schema), state))
    assert bare(run.invoke(kit.outer(node, schema), state)) == around
    assert bare(run.invoke(kit.outer(node.as_agent(), schema), state)) == around
    assert set(alone) & {"brief", "topical", "equal"} == ({"brief", "topical", "equal"} if "c" in writers else set())


@pytest.mark.parametrize("ask", ["a", "b", "c", "bc"])
@pytest.mark.parametrize("writers", ["a", "ab", "abc"])
def test_what_is_left_after_a_question(run, writers, ask):
    made, state = builder(State, writers, ask), {"messages": [("user", "go")]}

    def told(graph):
        done = run.invoke(graph, state, THREAD)
        while "__interrupt__" in done:
            done = run.invoke(graph, Command(resume="yes"), THREAD)
        return bare(done)

    alone = told(made.compile(checkpointer=InMemorySaver()))
    behind = told(kit.outer(best_of_n(made.compile(), n=2), State, checkpointer=InMemorySaver()))
    assert behind == alone


def test_turns_of_a_thread(run):
    """What one turn leaves of such keys, the next finds as the agent alone does."""
    turns = []
    for wrap in (lambda agent: agent, lambda agent: best_of_n(agent, n=2).as_agent()):
        graph = wrap(builder(State, "c").compile(checkpointer=InMemorySaver()))
        turns.append([bare(run.invoke(graph, {"messages": [("user", f"turn {i}")]}, THREAD)) for i in range(3)])
    assert turns[0] == turns[1]


@pytest.mark.parametrize("ask", [False, True])
def test_a_value_that_waits_for_the_end(run, ask):
    agent = kit.graph(
        State,
        say=lambda s: {"messages": [MODEL.invoke("?")], "late": "said"},
        ask=lambda s: {"log": [interrupt("?") if ask else "no", s.get("late")]},
    )
    graph = kit.outer(best_of_n(agent, n=2), State, checkpointer=InMemorySaver())
    done = run.invoke(graph, {"messages": []}, THREAD)
    done = run.invoke(graph, Command(resume="no"), THREAD) if ask else done
    assert (done["late"], done["log"]) == ("said", ["no", None])


def test_a_step_list_may_go_to_a_reducer(run):
    class Around(MessagesState):
        topical: Annotated[list[str], operator.add]

    agent = builder(State, "bc").compile()
    state = {"messages": [("user", "go")], "topical": ["before"]}
    for node in (agent, best_of_n(agent, n=2)):
        assert run.invoke(kit.outer(node, Around), state)["topical"] == ["before", "c", "c too"]


def test_a_growing_list_may_go_to_a_step_list(run):
    class Around(MessagesState):
        log: Topical

    agent = builder(State, "").compile()
    for node in (agent, best_of_n(agent, n=2)):
        done = run.invoke(kit.outer(node, Around), {"messages": [("user", "go")]})
        assert [each[0] for each in done["log"]] == ["a", "b", "c"]


def test_a_function_writes_to_such_keys(run):
    given = {"brief": 1, "topical": ["x", "y"], "equal": 2, "handle": print, "loose": 3}
    node = best_of_n(kit.spoken(lambda index: {"log": ["f"], **given}), n=2)
    assert {**run.invoke(kit.outer(node, State), {"messages": []}), "messages": []} == {
        **given,
        "log": ["f"],
        "messages": [],
    }


def test_a_step_value_under_a_reducer_is_refused(run):
    class Around(MessagesState):
        brief: Annotated[list[Any], operator.add]

    node = best_of_n(builder(State, "c").compile(), n=2)
    with pytest.raises(StateMismatchError, match="reducer for 'brief'"):
        run.invoke(kit.outer(node, Around), {"messages": [("user", "go")]})


def test_managed_values_count_the_rollouts_own_steps(run):
    seen = []

    def look(state):
        seen.append((state["steps"], state["last"]))
        return {"messages": [MODEL.invoke("?")]}

    agent = kit.graph(State, one=look, two=look)
    state = {"messages": [("user", "go")]}
    run.invoke(agent, state, {"recursion_limit": 3})
    alone, seen[:] = list(seen), []
    node = best_of_n(agent, n=1, limits=Limits(recursion_limit=3))
    assert "steps" not in run.invoke(kit.outer(node, State), state)
    assert seen == alone
    assert [last for _, last in seen] == [False, True]


MODEL = kit.say(3)
