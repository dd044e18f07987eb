"""Agents that remember earlier turns of their thread by LangGraph's own means, in every way there is."""

from __future__ import annotations

import operator
from typing import Annotated, Any

import kit
from kit import PEAKS
from langchain_core.tools import tool
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from typing_extensions import TypedDict

from ec_agent import read_only
from ec_agent.testing import Reply, ScriptedChatModel

WINNER = 1  # whose part is taken outside a rollout, too


def index():
    return WINNER if kit.rollout_index() is None else kit.rollout_index()


def think():
    ScriptedChatModel(lambda messages, i: Reply("ok", entropies=kit.peak(PEAKS[index()]))).invoke("?")


class Talk(TypedDict):
    text: str
    reply: str


class Heard(Talk):
    heard: Annotated[list[str], operator.add]


def hear(state):
    """Each rollout remembers something of its own."""
    think()
    return {"heard": [f"{state['text']}/{index()}"]}


def tell(state):
    return {"reply": " ".join(state["heard"])}


def remembering(saver: Any = True):
    """Its state lasts: ``heard`` is in no state around it."""
    return kit.graph(Heard, hear=hear, tell=tell, checkpointer=saver)


def subgraph(saver=None):
    return kit.graph(Talk, sub=remembering(), checkpointer=saver)


def nested(saver=None):
    return kit.graph(Talk, middle=kit.graph(Talk, sub=remembering()), checkpointer=saver)


def lasting_in_lasting(saver=None):
    middle = kit.graph(Heard, hear=hear, sub=remembering(), checkpointer=True)
    return kit.graph(Talk, middle=middle, checkpointer=saver)


def two(saver=None):
    """Two graphs that are called in one node."""
    one, other = remembering(), remembering()

    def call(state):
        first = one.invoke({"text": state["text"]})["reply"]
        return {"reply": f"{first} | {other.invoke({'text': state['text'] + '!'})['reply']}"}

    return kit.graph(Talk, call=call, checkpointer=saver)


def in_a_tool(saver=None):
    sub = remembering()

    @read_only
    @tool
    def consult(text: str) -> str:
        """Ask somebody who remembers."""
        return sub.invoke({"text": text})["reply"]

    class Consulting(Talk, MessagesState):
        pass

    def ask(state):
        call = {"name": "consult", "args": {"text": state["text"]}, "id": state["text"], "type": "tool_call"}
        return {"messages": [{"role": "ai", "content": "", "tool_calls": [call]}]}

    def answer(state):
        return {"reply": state["messages"][-1].content}

    return kit.graph(Consulting, ask=ask, tools=ToolNode([consult]), answer=answer, checkpointer=saver)


def itself(saver=None):
    """The agent's own state lasts, in a graph around it."""
    return remembering(True if saver is None else saver)


def function(saver=None):
    sub = remembering()

    def agent(state):
        return {"reply": sub.invoke({"text": state["text"]})["reply"]}

    return agent


def functional(saver=None):
    @entrypoint(checkpointer=True if saver is None else saver)
    def agent(state, *, previous=None):
        think()
        heard = [*(previous or []), f"{state['text']}/{index()}"]
        return entrypoint.final(value={"reply": " ".join(heard)}, save=heard)

    return agent


def functional_within(saver=None):
    """An entrypoint that remembers, and a graph it calls that does."""
    sub = remembering()

    @entrypoint(checkpointer=True if saver is None else saver)
    def agent(state, *, previous=None):
        told = f"{previous or 0} {sub.invoke({'text': state['text']})['reply']}"
        return entrypoint.final(value={"reply": told}, save=(previous or 0) + 1)

    return agent


def rooted(saver=None):
    """A state without keys."""
    builder = StateGraph(Annotated[dict[str, Any], _united])
    builder.add_node("hear", lambda state: (think(), {"heard": [f"{state['text']}/{index()}"]})[1])
    builder.add_node("tell", lambda state: {"reply": " ".join(state["heard"])})
    builder.add_edge(START, "hear")
    builder.add_edge("hear", "tell")
    return builder.compile(checkpointer=True if saver is None else saver)


def _united(left, right):
    heard = [*left.get("heard", []), *right.get("heard", [])]
    return {**left, **right, "heard": heard}


AS_NODES = (
    *(subgraph, nested, lasting_in_lasting, two, in_a_tool, itself),
    *(function, functional, functional_within),
)
ALONE = (subgraph, nested, lasting_in_lasting, two, in_a_tool, itself, functional, functional_within, rooted)
