"""Any state schema, as the agent's and as the outer graph's; and what a schema hides stays hidden."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Annotated, Any

import kit
import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.managed import RemainingSteps
from langgraph.types import Overwrite, Send
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from ec_agent import best_of_n

PEAKS = (15, 3, 9)  # rollout 1 wins


class Typed(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    log: Annotated[list[str], operator.add]
    answer: str


@dataclass
class Data:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)
    log: Annotated[list[str], operator.add] = field(default_factory=list)
    answer: str = "none"


class Model(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages] = Field(default_factory=list)
    log: Annotated[list[str], operator.add] = Field(default_factory=list)
    answer: str = "none"


class Messages(MessagesState, total=False):
    log: Annotated[list[str], operator.add]
    answer: str


SCHEMAS = [Typed, Data, Model, Messages]


def read(state, key):
    return state[key] if isinstance(state, dict) else getattr(state, key)


def agent_of(schema):
    model = kit.say(*PEAKS)

    def one(state):
        assert isinstance(state, schema if schema in (Data, Model) else dict)
        return {"messages": [model.invoke(read(state, "messages"))], "log": ["one"]}

    def two(state):
        return {"log": ["two"], "answer": read(state, "messages")[-1].content}

    return kit.graph(schema, one=one, two=two)


@pytest.mark.parametrize("outer_schema", SCHEMAS)
@pytest.mark.parametrize("agent_schema", SCHEMAS)
def test_every_schema_in_every_schema(run, agent_schema, outer_schema):
    state = {"messages": [HumanMessage("go", id="g")], "log": ["in"]}
    done = run.invoke(kit.outer(best_of_n(agent_of(agent_schema), n=3), outer_schema), state)
    assert kit.gist(done["messages"]) == [("human", "go", []), ("ai", "answer 1", [])]
    assert (done["log"], done["answer"]) == (["in", "one", "two"], "answer 1")


@pytest.mark.parametrize("schema", SCHEMAS)
def test_alone_it_returns_what_the_agent_returns(run, schema):
    agent, state = agent_of(schema), {"messages": [HumanMessage("go", id="g")], "log": ["in"]}
    node = best_of_n(agent, n=1)
    done, alone = run.invoke(node, state), run.invoke(agent, state)
    assert {**done, "messages": kit.gist(done["messages"])} == {
        **alone,
        "messages": kit.gist(alone["messages"]),
    }


@pytest.mark.parametrize("schema", [Data, Model])
def test_a_function_agent_is_given_the_outer_state_object(run, schema):
    seen = []

    def look(state):
        kit.say(*PEAKS).invoke("?")
        seen.append(state)
        return {"answer": str(kit.rollout_index())}

    done = run.invoke(kit.outer(best_of_n(look, n=3), schema), {"log": ["in"]})
    assert {type(state) for state in seen} == {schema}
    assert len({id(state) for state in seen}) == 3
    assert done["answer"] == "1"


@pytest.mark.parametrize("schema", [Data, Model])
def test_a_function_agent_may_return_a_state_object(run, schema):
    """Only what such an object says counts, as for any LangGraph node: fields left at ``None`` do not."""

    def plain(state):
        return schema(answer="x", log=["node"])

    expected = kit.outer(plain, schema).invoke({"log": ["in"], "messages": "hi"})
    node = best_of_n(kit.spoken(lambda i: schema(answer="x", log=["node"])), n=1)
    done = run.invoke(kit.outer(node, schema), {"log": ["in"], "messages": "hi"})
    assert (done["answer"], done["log"], len(done["messages"])) == ("x", ["in", "node"], 1)
    assert (done["answer"], done["log"]) == (expected["answer"], expected["log"])


class Optional(BaseModel):
    answer: str | None = None
    other: str | None = None
    log: Annotated[list[str], operator.add] = Field(default_factory=list)


def test_a_field_left_at_none_is_not_written(run):
    def plain(state):
        return Optional(answer="x")

    state = {"other": "kept", "answer": "", "log": ["in"]}
    expected = kit.outer(plain, Optional).invoke(state)
    node = best_of_n(kit.spoken(lambda i: Optional(answer="x")), n=1)
    assert run.invoke(kit.outer(node, Optional), state) == expected


class Question(TypedDict):
    question: str


class Answer(TypedDict):
    answer: str


class Whole(Question, Answer):
    messages: Annotated[list[AnyMessage], add_messages]
    scratch: str


def hidden():
    """Takes a question, gives an answer; its messages and its scratch pad are its own."""
    model = kit.say(*PEAKS)

    def one(state: Question) -> dict[str, Any]:
        assert set(state) == {"question"}
        return {"messages": [model.invoke(state["question"])], "scratch": "mine"}

    def two(state: Whole) -> dict[str, Any]:
        return {"answer": f"{state['question']} {state['messages'][-1].content}"}

    return kit.graph(Whole, one=one, two=two, schemas={"input_schema": Question, "output_schema": Answer})


class Outside(TypedDict):
    question: str
    answer: str
    messages: Annotated[list[AnyMessage], add_messages]
    scratch: str


def test_only_the_output_schema_reaches_the_outer_state(run):
    """As for a graph used as a node: what its output schema leaves out stays inside."""
    state = {"question": "?", "messages": [HumanMessage("outer", id="o")], "scratch": "outer"}
    expected = run.invoke(kit.outer(hidden(), Outside), state)
    done = run.invoke(kit.outer(best_of_n(hidden(), n=3), Outside), state)
    assert done["answer"] == "? answer 1"
    assert (done["scratch"], [m.id for m in done["messages"]]) == ("outer", ["o"])
    assert {**done, "answer": ""} == {**expected, "answer": ""}


def test_alone_the_input_and_output_schemas_hold(run):
    node = best_of_n(hidden(), n=3)
    assert run.invoke(node, {"question": "?", "answer": "old"}) == {"answer": "? answer 1"}
    agent, whole = hidden(), node.as_agent()
    assert whole.get_input_jsonschema() == agent.get_input_jsonschema()
    assert whole.get_output_jsonschema() == agent.get_output_jsonschema()


def test_on_a_thread_hidden_keys_are_kept(run):
    builder = hidden().builder
    agent = builder.compile(checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    run.invoke(best_of_n(agent, n=3), {"question": "?"}, config)
    values = agent.get_state(config).values
    assert (values["scratch"], kit.answers(values["messages"])) == ("mine", ["answer 1"])


class Private(TypedDict):
    note: str


def test_a_private_channel_passes_between_the_agents_own_nodes(run):
    model = kit.say(*PEAKS)

    def one(state: Whole) -> Private:
        model.invoke("?")
        return {"note": f"note {kit.rollout_index()}"}

    def two(state: Private) -> dict[str, Any]:
        return {"answer": state["note"]}

    class Noted(Outside):
        note: str

    agent = kit.graph(Whole, one=one, two=two)
    done = run.invoke(kit.outer(best_of_n(agent, n=3), Noted), {"question": "?", "note": "outer"})
    assert (done["answer"], done["note"]) == ("note 1", "outer")


class Managed(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    remaining_steps: RemainingSteps


def test_managed_values_are_the_agents_own(run):
    model, seen = kit.say(3), []

    def one(state):
        seen.append(state["remaining_steps"])
        return {"messages": [model.invoke("?")]}

    agent = kit.graph(Managed, one=one)
    done = run.invoke(kit.outer(best_of_n(agent, n=1), Managed), {"messages": "hi"})
    assert kit.answers(done["messages"]) == ["answer 0"]
    assert seen
    assert all(50 < left < 101 for left in seen)
    assert kit.answers(run.invoke(best_of_n(agent, n=1), {"messages": "hi"})["messages"]) == ["answer 0"]


def test_a_root_state_graph_is_an_agent_too(run):
    builder = StateGraph(Annotated[list[Any], operator.add])
    builder.add_node("one", kit.spoken(lambda i: [f"answer {i}"], lambda i: PEAKS[i]))
    builder.add_edge(START, "one")
    builder.add_edge("one", END)
    assert run.invoke(best_of_n(builder.compile(), n=3), ["in"]) == ["in", "answer 1"]


def test_a_root_state_can_be_the_outer_one(run):
    builder = StateGraph(Annotated[list[Any], operator.add])
    builder.add_node("solve", best_of_n(kit.spoken(lambda i: [f"answer {i}"], lambda i: PEAKS[i]), n=3))
    builder.add_edge(START, "solve")
    builder.add_edge("solve", END)
    assert run.invoke(builder.compile(), ["in"]) == ["in", "answer 1"]


def test_keys_unknown_to_the_agent_stay_outside(run):
    seen = []

    def one(state):
        seen.append(set(state))
        return {"messages": [kit.say(3).invoke("?")]}

    agent = kit.graph(MessagesState, one=one)
    run.invoke(kit.outer(best_of_n(agent, n=1), kit.Talk), {"messages": "hi", "count": 3, "answer": "a"})
    assert seen == [{"messages"}]


def test_the_task_of_a_send_is_the_input(run):
    """A map over questions, best of n each: two tasks of the same node in one step."""
    model = kit.say(*PEAKS)
    agent = kit.graph(kit.Items, one=lambda s: {"items": [f"{s['plain']}: {model.invoke('?').content}"]})
    builder = StateGraph(kit.Items)
    builder.add_node("solve", best_of_n(agent, n=3))
    builder.add_conditional_edges(START, lambda s: [Send("solve", {"plain": q}) for q in "ab"], ["solve"])
    assert run.invoke(builder.compile(), {"items": []})["items"] == ["a: answer 1", "b: answer 1"]


def test_a_wrong_input_is_refused(run):
    with pytest.raises(Exception, match="give the agent's state"):
        run.invoke(kit.outer(lambda s: best_of_n(agent_of(Typed), n=1).invoke("hi"), MessagesState), {})


def test_agents_that_write_plain_message_lists(run):
    class Bare(TypedDict):
        messages: list[AnyMessage]

    model = kit.say(*PEAKS)
    agent = kit.graph(Bare, one=lambda s: {"messages": [*s["messages"], model.invoke(s["messages"])]})
    done = run.invoke(
        kit.outer(best_of_n(agent, n=3), Bare), {"messages": [AIMessage("x", id="x"), HumanMessage("go")]}
    )
    assert kit.answers(done["messages"]) == ["x", "answer 1"]


def test_output_sees_keys_outside_the_output_schema(run):
    """``output=`` and ``final_action=`` see the whole final state."""
    seen = []
    node = best_of_n(
        hidden(),
        n=3,
        output=lambda final: {"scratch": [final["scratch"], final["messages"][-1].content]},
        final_action=lambda state, writes: seen.append(set(state)) or state["answer"],
    )
    done = run.invoke(kit.outer(node, Outside), {"question": "?"})
    assert done["scratch"] == ["mine", "answer 1"]
    assert seen == [{"question", "answer", "messages", "scratch"}] * 3


def test_a_hidden_key_may_be_overwritten_often(run):
    class Seen(TypedDict):
        plain: Any

    nodes = {
        "a": lambda s: {"items": Overwrite([kit.say(3).invoke("?").content])},
        "b": lambda s: {"items": Overwrite([2])},
        "c": lambda s: {"items": [3], "plain": 1},
    }
    agent = kit.graph(kit.Items, **nodes, schemas={"output_schema": Seen}, checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    assert run.invoke(best_of_n(agent, n=1), {"items": ["in"]}, config) == {"plain": 1}
    assert agent.get_state(config).values["items"] == [2, 3]
