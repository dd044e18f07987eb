"""Keys that an agent's nodes have among themselves: in no schema of its graph, and kept on its thread all the same."""

from __future__ import annotations

import operator
from typing import Annotated

import kit
import pytest
from langchain_core.messages import AnyMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from ec_agent import best_of_n
from ec_agent.testing import Reply, ScriptedChatModel


class Open(TypedDict):
    question: str
    answer: str


class OpenModel(BaseModel):
    question: str
    answer: str = "none yet"


class Plain(TypedDict, total=False):
    question: str
    noted: list[str]


class Adding(TypedDict, total=False):
    question: str
    count: Annotated[int, operator.add]
    talk: Annotated[list[AnyMessage], add_messages]


class PrivateModel(BaseModel):
    question: str = ""
    noted: list[str] = []


def speaker():
    """Says whose words they are: the winner's are those of rollout 1, and of the agent alone."""

    def script(messages, index):
        index = 1 if kit.rollout_index() is None else index
        return Reply(f"words of {index}", entropies=kit.peak(kit.PEAKS[index]))

    return ScriptedChatModel(script)


def plain(schema, private, compiled):
    model = speaker()

    def noted(state):
        return list(state.noted if isinstance(state, BaseModel) else state.get("noted", []))

    def think(state: private):
        return {"noted": [*noted(state), model.invoke("?").content]}

    def tell(state: private):
        return {"answer": f"{len(noted(state))}: {noted(state)[-1]}"}

    return _chain(schema, private, compiled, think, tell)


def adding(schema, private, compiled):
    model = speaker()

    def think(state: private):
        return {"count": 1, "talk": [("human", state["question"]), model.invoke("?")]}

    def tell(state: private):
        return {"answer": f"{state['count']} {kit.gist(state['talk'])}"}

    return _chain(schema, private, compiled, think, tell)


def asking(schema, private, compiled):
    model = speaker()

    def think(state: private):
        return {"noted": [*state.get("noted", []), model.invoke("?").content]}

    def tell(state: private):
        return {"answer": f"{interrupt('well?')} {state['noted']}"}

    return _chain(schema, private, compiled, think, tell)


def sent(schema, private, compiled):
    """The private keys are those of tasks that are sent."""
    model = speaker()

    def work(state: private):
        return {"noted": [*state["noted"], model.invoke("?").content], "answer": f"on {state['noted']}"}

    builder = StateGraph(schema)
    builder.add_node("plan", lambda state: {"answer": "planned"})
    builder.add_node("work", work, input_schema=private)
    builder.add_edge(START, "plan")
    builder.add_conditional_edges("plan", lambda state: [Send("work", {"noted": [state["question"]]})], ["work"])
    return builder.compile(**compiled)


def _chain(schema, private, compiled, *nodes):
    builder = StateGraph(schema)
    names = [node.__name__ for node in nodes]
    for name, node in zip(names, nodes, strict=True):
        builder.add_node(name, node, input_schema=private)
    for start, end in zip([START, *names], names, strict=False):
        builder.add_edge(start, end)
    return builder.compile(**compiled)


AGENTS = {
    "a key": (plain, Open, Plain),
    "keys with reducers": (adding, Open, Adding),
    "a pydantic model of nodes": (plain, Open, PrivateModel),
    "beside a pydantic state": (plain, OpenModel, PrivateModel),
    "of a sent task": (sent, Open, Plain),
    "while somebody is asked": (asking, Open, Plain),
}
agents = pytest.mark.parametrize("made", AGENTS.values(), ids=AGENTS)


def turns(run, runnable, keeper):
    """What three turns on one thread leave, the keys of the state among it."""
    left = []
    for question in ("a", "b", "c"):
        done = run.invoke(runnable, {"question": question}, kit.THREAD)
        if keeper.get_state(kit.THREAD).next:
            done = run.invoke(runnable, Command(resume=f"yes to {question}"), kit.THREAD)
        values = keeper.get_state(kit.THREAD).values
        left.append((done, {k: kit.gist(v) if k == "talk" else v for k, v in values.items()}))
    return left


@agents
def test_the_winners_private_keys_last_over_turns(run, made):
    make, schema, private = made
    alone = make(schema, private, {"checkpointer": InMemorySaver()})
    ours = best_of_n(make(schema, private, {"checkpointer": InMemorySaver()}), n=3)
    assert turns(run, ours, ours.as_agent()) == turns(run, alone, alone)


@agents
def test_private_keys_are_not_shown_outside(run, made):
    make, schema, private = made
    agent = make(schema, private, {"checkpointer": InMemorySaver()})
    ours = best_of_n(agent, n=3).as_agent()
    for question in ("get_input_jsonschema", "get_output_jsonschema"):
        theirs = getattr(agent, question)()
        assert getattr(ours, question)()["properties"].keys() == theirs["properties"].keys()
    if make is not asking:
        done = run.invoke(best_of_n(agent, n=3), {"question": "a"}, kit.THREAD)
        assert set(done) == {"question", "answer"}


@agents
def test_as_a_node_private_keys_begin_anew(run, made):
    make, schema, private = made

    def around(agent):
        return kit.outer(agent, Open, checkpointer=InMemorySaver())

    alone, ours = around(make(schema, private, {})), around(best_of_n(make(schema, private, {}), n=3))
    assert turns(run, ours, ours) == turns(run, alone, alone)
