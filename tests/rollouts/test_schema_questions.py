"""Whoever serves a graph asks it, and every graph within, for JSON schemas."""

from __future__ import annotations

import json
from dataclasses import dataclass

import kit
import pytest
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from ec_agent import best_of_n

QUESTIONS = ("get_input_jsonschema", "get_output_jsonschema", "get_context_jsonschema")


class Typed(TypedDict):
    tone: str


@dataclass
class Data:
    tone: str = "plain"


class Model(BaseModel):
    tone: str = "plain"


class Answer(BaseModel):
    messages: list
    sure: bool = False


def agent(context=None, state=MessagesState):
    return kit.graph(state, answer=lambda state: {}, schemas={"context_schema": context})


@entrypoint()
def functional(question: dict) -> dict:
    return question


def as_node(inner):
    builder = StateGraph(MessagesState)
    builder.add_node("solve", best_of_n(inner, n=2))
    builder.add_edge(START, "solve")
    return builder.compile()


def as_agent(inner):
    return best_of_n(inner, n=2).as_agent()


def nested(inner):
    return as_node(as_agent(inner))


AGENTS = {
    "messages": agent(),
    "pydantic state": agent(state=Answer),
    "a context, typed": agent(Typed),
    "a context, dataclass": agent(Data),
    "a context, pydantic": agent(Model),
    "functional": functional,
    "a function": lambda state: {"messages": []},
}


@pytest.mark.parametrize("inner", AGENTS.values(), ids=AGENTS)
@pytest.mark.parametrize("wrapped", [as_node, as_agent, nested])
def test_every_subgraph_has_a_json_schema(wrapped, inner):
    graph = wrapped(inner)
    within = [graph, *(subgraph for _, subgraph in graph.get_subgraphs(recurse=True))]

    schemas = [getattr(each, question)() for each in within for question in QUESTIONS]

    assert len(within) > 1
    assert json.dumps(schemas)


@pytest.mark.parametrize("context", [Typed, Data, Model])
def test_the_agents_context_schema_is_the_same(context):
    inner = agent(context)

    described = as_agent(inner).get_context_jsonschema()

    assert described["properties"].keys() == {"tone"}
    assert described == inner.get_context_jsonschema()
