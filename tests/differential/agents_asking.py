"""Agents that stop: to ask people, or at a breakpoint."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from agents_create import NOTES, WRITES_ONLY, note
from agents_graphs import asks
from agents_middleware import ASKING
from diff_cast import Cast, lost
from diff_rows import GO_ON, Table, given, said
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Send, interrupt
from typing_extensions import TypedDict

from ec_agent.testing import Reply

TABLE = Table()


def asking(question: str = "sure") -> Any:
    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [f"heard {interrupt({question: state['messages'][-1].text})}"]}

    return ask


ANSWERED = [said("one", "yes"), said("two", "no"), said("three", {"a": 1})]


@TABLE.row(turns=ANSWERED, differs=ASKING)
def one_question(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~to {len(messages)}"))
    builder = StateGraph(MessagesState)
    builder.add_sequence([("ask", asks(model)), ("person", asking()), ("again", asks(model))])
    builder.add_edge(START, "ask")
    return builder.compile(**compiled)


@TABLE.row(turns=[said("one", "a", "b"), said("two", "c", "d")], differs=ASKING)
def two_questions_in_one_node(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~to {len(messages)}"))

    def both(state: MessagesState) -> dict[str, Any]:
        return {"messages": [f"{interrupt('first')} and {interrupt('second')}"]}

    builder = StateGraph(MessagesState)
    builder.add_sequence([("ask", asks(model)), ("both", both), ("again", asks(model))])
    builder.add_edge(START, "ask")
    return builder.compile(**compiled)


class Poll(TypedDict):
    topic: str
    steps: Annotated[list[str], operator.add]
    last: Annotated[str, lambda old, new: new]


def by_id(pending: Any) -> dict[str, str]:
    return {each.id: f"re {each.value}" for each in pending}


def only_the_last(pending: Any) -> dict[str, str]:
    return {pending[-1].id: f"re {pending[-1].value}"}


TWO = [given(by_id, topic="a"), given(only_the_last, by_id, topic="b"), given(by_id, topic="c")]


@TABLE.row(turns=TWO, state=Poll, differs={**WRITES_ONLY, **ASKING})
def questions_side_by_side(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~{messages[-1].content}"))

    def person(name: str) -> Any:
        return lambda state: {"steps": [f"{name}: {interrupt((name, state['topic']))}"], "last": name}

    builder = StateGraph(Poll)
    builder.add_node("think", lambda state: {"steps": [model.invoke(state["topic"]).content]})
    builder.add_edge(START, "think")
    for name in ("y", "x"):
        builder.add_node(name, person(name))
        builder.add_edge("think", name)
    builder.add_node("beside", lambda state: {"steps": ["beside"], "last": "beside"})
    builder.add_edge("think", "beside")
    builder.add_node("end", lambda state: {"steps": [f"last {state['last']}"]}, defer=True)
    for name in ("y", "x", "beside"):
        builder.add_edge(name, "end")
    return builder.compile(**compiled)


@TABLE.row(turns=TWO, state=Poll, differs={**WRITES_ONLY, **ASKING})
def questions_of_sent_tasks(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~{messages[-1].content}"))
    builder = StateGraph(Poll)
    builder.add_node("think", lambda state: {"steps": [model.invoke(state["topic"]).content]})
    builder.add_node("person", lambda state: {"steps": [f"{state['name']}: {interrupt(state['name'])}"]})
    builder.add_edge(START, "think")
    builder.add_conditional_edges("think", lambda s: [Send("person", {"name": n}) for n in ("q", "p")], ["person"])
    return builder.compile(**compiled)


@TABLE.row(turns=ANSWERED, differs=ASKING)
def a_question_in_a_subgraph(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~to {len(messages)}"))
    inner = StateGraph(MessagesState)
    inner.add_sequence([("before", asks(model)), ("person", asking()), ("after", asks(model))])
    inner.add_edge(START, "before")
    builder = StateGraph(MessagesState)
    builder.add_sequence([("first", asks(model)), ("inner", inner.compile()), ("last", asks(model))])
    builder.add_edge(START, "first")
    return builder.compile(**compiled)


@tool
def confirm(text: str) -> str:
    """Ask a person."""
    return f"the person says {interrupt(f'confirm {text}')}"


@TABLE.row(turns=ANSWERED, differs=ASKING)
def a_question_in_a_tool(cast: Cast, **compiled: Any):
    steps = (Reply(tool_calls=[("confirm", {"text": "~{q}"})]), Reply("done"))
    return create_agent(cast.model(*steps), [confirm], **compiled)


@TABLE.row(turns=[said("one", by_id), said("two", only_the_last, by_id)], differs=ASKING)
def questions_in_parallel_tools(cast: Cast, **compiled: Any):
    calls = [("confirm", {"text": "~b"}), ("note", {"text": "~between"}), ("confirm", {"text": "~a"})]
    return create_agent(cast.model(Reply(tool_calls=calls), Reply("done")), [confirm, note], **compiled)


@TABLE.row(turns=[said("one", GO_ON), said("two", GO_ON)], differs=ASKING)
def a_breakpoint_before_a_node(cast: Cast, **compiled: Any):
    return create_agent(cast.model(*NOTES), [note], interrupt_before=["tools"], **compiled)


@TABLE.row(turns=[said("one", GO_ON), said("two", GO_ON)], differs=ASKING)
def a_breakpoint_after_a_node(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"{lost()}to {len(messages)}"))
    builder = StateGraph(MessagesState)
    builder.add_sequence([("ask", asks(model)), ("again", asks(model))])
    builder.add_edge(START, "ask")
    return builder.compile(interrupt_after=["ask"], **compiled)
