"""Hand-written graphs: loops, branches, subgraphs, and what nodes are allowed to do."""

from __future__ import annotations

import operator
from typing import Annotated, Any

from agents_create import FAILS, NOTES, WRITES_ONLY, add, note
from diff_cast import Cast, lost, rollout_index
from diff_rows import Table, given, said
from langchain_core.messages import HumanMessage, RemoveMessage
from langgraph.cache.memory import InMemoryCache
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import CachePolicy, Command, RetryPolicy, Send
from typing_extensions import TypedDict

from ec_agent.testing import Reply

TABLE = Table()


def asks(model: Any, key: str = "messages"):
    """A node that asks the model, in whichever API the graph is driven."""

    def ask(state: Any) -> dict[str, Any]:
        return {key: [model.invoke(state[key])]}

    return ask


@TABLE.row()
def a_tool_loop(cast: Cast, **compiled: Any):
    builder = StateGraph(MessagesState)
    builder.add_node("agent", asks(cast.model(*NOTES)))
    builder.add_node("tools", ToolNode([note, add]))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", tools_condition)
    builder.add_edge("tools", "agent")
    return builder.compile(**compiled)


class Jokes(TypedDict):
    topic: str
    subjects: list[str]
    jokes: Annotated[list[str], operator.add]
    best: str


TOPICS = [given(topic="a"), given(topic="b"), given(topic="c")]


@TABLE.row(state=Jokes, turns=TOPICS, differs=WRITES_ONLY)
def map_and_reduce(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~on {messages[-1].content}"))

    def split(state: Jokes) -> dict[str, Any]:
        return {"subjects": [f"{state['topic']}{i}" for i in range(4)]}

    def joke(state: Any) -> dict[str, Any]:
        return {"jokes": [model.invoke(state["subject"]).content]}

    def best(state: Jokes) -> dict[str, Any]:
        return {"best": model.invoke(f"{len(state['jokes'])} jokes").content}

    builder = StateGraph(Jokes)
    builder.add_node("split", split)
    builder.add_node("joke", joke)
    builder.add_node("best", best, defer=True)
    builder.add_edge(START, "split")
    builder.add_conditional_edges("split", lambda s: [Send("joke", {"subject": x}) for x in s["subjects"]], ["joke"])
    builder.add_edge("joke", "best")
    builder.add_edge("best", END)
    return builder.compile(**compiled)


class Branches(TypedDict):
    topic: str
    steps: Annotated[list[str], operator.add]
    last: str


@TABLE.row(state=Branches, turns=TOPICS, differs=WRITES_ONLY)
def parallel_branches_that_meet(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~{messages[-1].content}"))

    def step(name: str) -> Any:
        return lambda state: {"steps": [model.invoke(f"{name} {len(state.get('steps', []))}").content]}

    builder = StateGraph(Branches)
    for name in ("z", "y", "a", "long", "longer", "meet"):
        builder.add_node(name, step(name), defer=name == "meet")
    builder.add_node("last", lambda state: {"last": state["steps"][-1]})
    for name in ("z", "y", "a"):
        builder.add_edge(START, name)
    builder.add_edge("a", "long")
    builder.add_edge("long", "longer")
    for name in ("z", "y", "longer"):
        builder.add_edge(name, "meet")
    builder.add_edge("meet", "last")
    return builder.compile(**compiled)


@TABLE.row()
def a_chain_of_nodes_with_conditions(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~to {len(messages)}"))
    builder = StateGraph(MessagesState)
    builder.add_sequence([("first", asks(model)), ("second", asks(model))])
    builder.add_node("other", asks(model))
    start = {"even": "first", "odd": "other"}
    builder.add_conditional_edges(START, lambda state: "even" if "two" in state["messages"][-1].text else "odd", start)
    builder.add_edge("other", END)
    return builder.compile(**compiled)


@TABLE.row()
def commands_that_lead_on(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~to {len(messages)}"))

    def first(state: MessagesState) -> Command:
        said = model.invoke(state["messages"])
        return Command(update={"messages": [said]}, goto="third" if "two" in state["messages"][-1].text else "second")

    builder = StateGraph(MessagesState)
    builder.add_node("first", first, destinations=("second", "third"))
    builder.add_node("second", lambda state: [Command(update={"messages": ["a"]}), {"messages": ["b"]}])
    builder.add_node("third", asks(model))
    builder.add_edge(START, "first")
    builder.add_edge("second", "third")
    return builder.compile(**compiled)


class Shared(TypedDict):
    topic: str
    steps: Annotated[list[str], operator.add]


class Own(TypedDict):
    task: str
    found: str


@TABLE.row(state=Shared, turns=TOPICS, differs=WRITES_ONLY)
def subgraphs_of_both_kinds(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~{messages[-1].content}"))
    shared = StateGraph(Shared)
    shared.add_node("in", lambda state: {"steps": [model.invoke(f"in {state['topic']}").content]})
    shared.add_node("on", lambda state: {"steps": [f"on {len(state['steps'])}"]})
    shared.add_edge(START, "in")
    shared.add_edge("in", "on")
    own = StateGraph(Own)
    own.add_node("find", lambda state: {"found": model.invoke(state["task"]).content})
    own.add_edge(START, "find")
    apart = own.compile()
    builder = StateGraph(Shared)
    builder.add_node("shared", shared.compile())
    builder.add_node("apart", lambda state: {"steps": [apart.invoke({"task": f"for {state['topic']}"})["found"]]})
    builder.add_edge(START, "shared")
    builder.add_edge("shared", "apart")
    return builder.compile(**compiled)


def asked_and_handed_on(builder: Any, node: Any) -> None:
    builder.add_node("solve", node, destinations=("billing", "support"))
    for name in ("billing", "support"):
        builder.add_node(name, lambda state, name=name: {"messages": [f"{name} after {len(state['messages'])}"]})
    builder.add_edge(START, "solve")


@TABLE.row(ways=["node"], around=asked_and_handed_on)
def a_command_to_the_parent(cast: Cast, **compiled: Any):
    model = cast.model(Reply("on to ~"))

    def hand_over(state: MessagesState) -> Command:
        to = "billing" if "two" in state["messages"][-2].text else "support"
        return Command(graph=Command.PARENT, goto=to, update={"messages": state["messages"][-1:]})

    builder = StateGraph(MessagesState)
    builder.add_node("ask", asks(model))
    builder.add_node("hand_over", hand_over)
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "hand_over")
    return builder.compile(**compiled)


@TABLE.row()
def a_node_that_is_tried_again(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~to {len(messages)}"))
    tried: dict[Any, int] = {}

    def shaky(state: MessagesState) -> dict[str, Any]:
        index = rollout_index()
        tried[index] = tried.get(index, 0) + 1
        if tried[index] % 3:
            raise ConnectionError("busy")
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    policy = RetryPolicy(max_attempts=4, initial_interval=0.001, jitter=False, retry_on=ConnectionError)
    builder.add_node("shaky", shaky, retry_policy=policy)
    builder.add_edge(START, "shaky")
    return builder.compile(**compiled)


@TABLE.row(turns=[said("one")], differs=FAILS)
def a_node_that_fails(cast: Cast, **compiled: Any):
    def broken(state: MessagesState) -> dict[str, Any]:
        raise LookupError("nothing there")

    builder = StateGraph(MessagesState)
    builder.add_sequence([("ask", asks(cast.model(Reply("~well")))), ("broken", broken)])
    builder.add_edge(START, "ask")
    return builder.compile(**compiled)


@TABLE.row()
def a_node_with_an_error_handler(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~to {len(messages)}"))

    def broken(state: MessagesState) -> dict[str, Any]:
        raise LookupError("nothing there")

    def rescue(state: MessagesState) -> Command:
        return Command(update={"messages": [model.invoke(state["messages"])]}, goto="after")

    builder = StateGraph(MessagesState)
    builder.add_node("broken", broken, error_handler=rescue)
    builder.add_node("beside", lambda state: {"messages": ["beside"]})
    builder.add_node("after", lambda state: {"messages": [f"after {len(state['messages'])}"]})
    builder.add_edge(START, "broken")
    builder.add_edge(START, "beside")
    return builder.compile(**compiled)


@TABLE.row()
def a_cached_node(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~to {len(messages)}"))
    builder = StateGraph(MessagesState)
    builder.add_node("slow", lambda state: {"messages": ["worked it out"]}, cache_policy=CachePolicy(ttl=60))
    builder.add_node("ask", asks(model))
    builder.add_edge(START, "slow")
    builder.add_edge("slow", "ask")
    return builder.compile(cache=InMemoryCache(), **compiled)


@TABLE.row(differs=WRITES_ONLY)
def messages_taken_away(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~to {len(messages)}"))

    def shorten(state: MessagesState) -> dict[str, Any]:
        return {"messages": [RemoveMessage(message.id) for message in state["messages"][:-2]]}

    builder = StateGraph(MessagesState)
    builder.add_sequence([("ask", asks(model)), ("shorten", shorten), ("again", asks(model))])
    builder.add_edge(START, "ask")
    return builder.compile(**compiled)


@TABLE.row(differs=WRITES_ONLY)
def all_messages_taken_away(cast: Cast, **compiled: Any):
    model = cast.model(script=lambda messages: Reply(f"~summary of {len(messages)}"))

    def renew(state: MessagesState) -> dict[str, Any]:
        summary = model.invoke(state["messages"]).content
        return {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), HumanMessage(summary)]}

    builder = StateGraph(MessagesState)
    builder.add_sequence([("renew", renew), ("ask", asks(model))])
    builder.add_edge(START, "renew")
    return builder.compile(**compiled)


@TABLE.row()
def an_agent_as_a_node(cast: Cast, **compiled: Any):
    inner = StateGraph(MessagesState)
    inner.add_node("agent", asks(cast.model(*NOTES)))
    inner.add_node("tools", ToolNode([note]))
    inner.add_edge(START, "agent")
    inner.add_conditional_edges("agent", tools_condition)
    inner.add_edge("tools", "agent")
    builder = StateGraph(MessagesState)
    builder.add_node("inner", inner.compile(name="inner"))
    builder.add_node("after", lambda state: {"messages": [f"{lost()}after {len(state['messages'])}"]})
    builder.add_edge(START, "inner")
    builder.add_edge("inner", "after")
    builder.add_edge("after", END)
    return builder.compile(**compiled)
