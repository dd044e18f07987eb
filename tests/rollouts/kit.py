"""Small agents, graphs and scripts the tests of this room share."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from ec_agent.capture.recorder import current_recorder
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9)  # of three rollouts; rollout 1 wins
THREAD = {"configurable": {"thread_id": "t"}}
SAME = pytest.mark.filterwarnings("ignore::ec_agent.IdenticalRolloutsWarning")


def peak(at, length=20):
    """Entropies of a sure model but for one token: the centroid is ``(at + 0.5) / length``."""
    return [2.0 if i == at else 0.1 for i in range(length)]


def centroid(at, length=20):
    return (at + 0.5) / length


def rollout_index():
    """Which rollout is running; ``None`` outside one."""
    recorder = current_recorder.get()
    return None if recorder is None else recorder.index


def say(*peaks, length=20, tool_calls=(), **reply):
    """A model whose rollout ``i`` answers ``"answer i"``, uncertain at ``peaks[i]``."""
    return ScriptedChatModel(
        [
            [Reply(f"answer {i}", entropies=peak(at, length), tool_calls=tool_calls, **reply)]
            for i, at in enumerate(peaks)
        ]
    )


def chat(model, checkpointer=None, **compiled):
    """The smallest agent: one node that calls the model."""

    def call(state, config):
        return {"messages": [model.invoke(state["messages"], config)]}

    async def acall(state, config):
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    return graph(MessagesState, model=(call, acall), checkpointer=checkpointer, **compiled)


def graph(schema, *, checkpointer=None, store=None, name=None, schemas=None, **nodes):
    """A chain of nodes; a pair of functions is a sync and an async form."""
    builder = StateGraph(schema, **(schemas or {}))
    for key, node in nodes.items():
        builder.add_node(key, RunnableLambda(*node, name=key) if isinstance(node, tuple) else node)
    names = list(nodes)
    for start, end in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(start, end)
    return builder.compile(checkpointer=checkpointer, store=store, **({"name": name} if name else {}))


def spoken(update, at_of=lambda index: (3 * index + 2) % 20):
    """A function agent: asks a model, so that it can be scored, and returns ``update(index)``."""
    model = ScriptedChatModel(lambda messages, index: Reply(f"answer {index}", entropies=peak(at_of(index))))

    def function(state):
        model.invoke("?")
        return update(rollout_index())

    return function


def outer(node, schema=MessagesState, **kwargs):
    """An outer graph with the node alone in it."""
    return graph(schema, solve=node, **kwargs)


class Items(TypedDict):
    """A state with an accumulating key and a plain one."""

    items: Annotated[list[Any], operator.add]
    plain: Any


class Talk(TypedDict):
    """Messages, a counter and a plain answer."""

    messages: Annotated[list[AnyMessage], add_messages]
    count: Annotated[int, operator.add]
    answer: str


def gist(messages):
    """What messages say, without their ids and metadata."""
    return [(m.type, m.content, [(c["name"], c["args"]) for c in getattr(m, "tool_calls", [])]) for m in messages]


def answers(messages):
    return [m.content for m in messages if isinstance(m, AIMessage)]


class Sync:
    """Drives graphs synchronously."""

    name = "sync"

    def invoke(self, runnable, *args, **kwargs):
        return runnable.invoke(*args, **kwargs)

    def run(self, node, *args, **kwargs):
        return node.run(*args, **kwargs)

    def batch(self, node, *args, **kwargs):
        return node.batch(*args, **kwargs)

    def stream(self, runnable, *args, **kwargs):
        return list(runnable.stream(*args, **kwargs))


class Async:
    """Drives graphs asynchronously, each on an event loop of its own."""

    name = "async"

    def invoke(self, runnable, *args, **kwargs):
        return asyncio.run(runnable.ainvoke(*args, **kwargs))

    def run(self, node, *args, **kwargs):
        return asyncio.run(node.arun(*args, **kwargs))

    def batch(self, node, *args, **kwargs):
        return asyncio.run(node.abatch(*args, **kwargs))

    def stream(self, runnable, *args, **kwargs):
        async def collect():
            return [part async for part in runnable.astream(*args, **kwargs)]

        return asyncio.run(collect())
