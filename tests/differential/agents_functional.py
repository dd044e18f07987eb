"""The functional API, functions, Runnables, and subgraphs that keep a memory of their own."""

from __future__ import annotations

from typing import Any

from agents_graphs import asks
from diff_cast import Cast
from diff_rows import Table, said
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph, add_messages
from langgraph.types import interrupt

from ec_agent.testing import Reply

TABLE = Table()
# Without keys its state is its input, then its output, and has no messages in it for a stream to find.
NO_KEYS = {"streams": False}
ASKING = {"alone": ["a function's state is its input while it asks", "messages without an id get one"]}


def counting(cast: Cast):
    return cast.model(script=lambda messages: Reply(f"~to {len(messages)}: {messages[-1].text}"))


def updating(state: Any, *said: Any) -> dict[str, Any]:
    """What a node gives back: the new part."""
    return {"messages": list(said)}


@TABLE.row(**NO_KEYS)
def tasks_of_the_functional_api(cast: Cast, **compiled: Any):
    model = counting(cast)

    @task
    def ask(talk: list[AnyMessage], extra: str) -> Any:
        return model.invoke([*talk, HumanMessage(extra)])

    @entrypoint(**compiled)
    def agent(state: dict[str, Any]) -> dict[str, Any]:
        both = [ask(state["messages"], extra) for extra in ("z", "a")]
        return {"messages": [each.result() for each in both]}

    return agent


@TABLE.row(**NO_KEYS)
def what_was_previous(cast: Cast, **compiled: Any):
    model = counting(cast)

    @entrypoint(**compiled)
    def agent(state: dict[str, Any], *, previous: Any = None) -> Any:
        talk = add_messages(previous or [], state["messages"][-1:])
        said = model.invoke(talk)
        return entrypoint.final(value={"messages": [said]}, save=add_messages(talk, [said]))

    return agent


@TABLE.row(
    turns=[said("one", "yes"), said("two", "no")],
    differs={"alone": ["a function's state is its input while it asks", "messages without an id get one"]},
    **NO_KEYS,
)
def a_functional_agent_that_asks(cast: Cast, **compiled: Any):
    model = counting(cast)

    @task
    def ask(talk: Any) -> Any:
        return model.invoke(talk)

    @entrypoint(**compiled)
    def agent(state: dict[str, Any]) -> dict[str, Any]:
        draft = ask(state["messages"]).result()
        heard = interrupt(f"send {draft.content}?")
        return {"messages": [draft, HumanMessage(f"heard {heard}")]}

    return agent


@TABLE.row(ways=["node"], asynchronous=False)
def a_function(cast: Cast, **compiled: Any):
    model = counting(cast)
    return lambda state: {"messages": [model.invoke(state["messages"])]}


@TABLE.row(ways=["node"], sync=False)
def a_coroutine_function(cast: Cast, **compiled: Any):
    model = counting(cast)

    async def agent(state: MessagesState) -> dict[str, Any]:
        first = await model.ainvoke(state["messages"])
        return {"messages": [first, await model.ainvoke([*state["messages"], first])]}

    return agent


@TABLE.row(**NO_KEYS)
def a_runnable(cast: Cast, **compiled: Any):
    model = counting(cast)
    asked = RunnableLambda(lambda state: state["messages"]) | model
    return asked | RunnableLambda(lambda message: {"messages": [message]})


@TABLE.row(asynchronous=False, **NO_KEYS)
def a_function_that_asks_an_agent(cast: Cast, **compiled: Any):
    builder = StateGraph(MessagesState)
    builder.add_node("ask", asks(counting(cast)))
    builder.add_edge(START, "ask")
    inner = builder.compile()
    return RunnableLambda(lambda state: {"messages": inner.invoke(state)["messages"][-1:]})


def with_a_memory(cast: Cast) -> Any:
    inner = StateGraph(MessagesState)
    inner.add_node("ask", asks(counting(cast)))
    inner.add_edge(START, "ask")
    return inner.compile(checkpointer=True)


@TABLE.row()
def a_subgraph_with_a_memory(cast: Cast, **compiled: Any):
    class Outer(MessagesState):
        pass

    remembering = with_a_memory(cast)

    def call(state: MessagesState) -> dict[str, Any]:
        told = remembering.invoke({"messages": [HumanMessage(state["messages"][-1].text)]})
        return {"messages": [f"{len(told['messages'])} remembered: {told['messages'][-1].text}"]}

    builder = StateGraph(Outer)
    builder.add_node("call", call)
    builder.add_edge(START, "call")
    return builder.compile(**compiled)
