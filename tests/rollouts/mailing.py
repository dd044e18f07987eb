"""A post office for the tests: tools that send and search, agents that use them, and a record of what was done."""

from __future__ import annotations

import threading
from typing import Any

import kit
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ToolRetryMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from ec_agent import best_of_n, get_idempotency_key, read_only
from ec_agent.testing import Reply, ScriptedChatModel

FORMS = ("create_agent", "tool_node", "nested", "loop")
# What is said where ``sending("ann", "bob")`` is executed.
SENT = [("human", "go"), ("ai", ""), ("tool", "found bob"), ("ai", ""), ("tool", "sent bob")]


class Post:
    """Tools whose calls are counted; ``sent`` and ``searched`` are what was really done."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, int | None]] = []
        self.keys: list[str | None] = []
        self.searched: list[tuple[str, int | None]] = []
        self._lock = threading.Lock()
        post = self

        @tool
        def send(to: str) -> str:
            """Send a letter."""
            return post.deliver(to)

        @tool
        def pay(amount: int) -> str:
            """Pay."""
            return post.deliver(amount)

        @read_only
        @tool
        def search(q: str) -> str:
            """Search."""
            with post._lock:
                post.searched.append((q, kit.rollout_index()))
            return f"found {q}"

        self.send, self.pay, self.search = send, pay, search
        self.tools = [send, pay, search]

    def deliver(self, what: Any) -> str:
        with self._lock:
            self.sent.append((what, kit.rollout_index()))
            self.keys.append(get_idempotency_key())
        return f"sent {what}"

    @property
    def done(self) -> list[Any]:
        """What was sent, whoever did."""
        return sorted((what for what, _ in self.sent), key=str)


def script(*rollouts):
    """Rollout ``i`` makes these replies: lists of calls, or a text; the later, the surer early."""
    return ScriptedChatModel([[reply(r, 17 - 3 * i) for r in replies] for i, replies in enumerate(rollouts)])


def reply(what, at=3):
    entropies = kit.peak(max(at, 0))
    if isinstance(what, str):
        return Reply(what, entropies=entropies)
    return Reply("", tool_calls=what, entropies=entropies)


def sending(*names, then="done"):
    """Rollout ``i`` looks round, sends to ``names[i]``, and says so. The last one wins."""
    return script(*([[("search", {"q": name})], [("send", {"to": name})], then] for name in names))


def agent(form, model, tools, **kwargs):
    """The same agent, built in one of four ways."""
    if form == "create_agent":
        return create_agent(model, tools=tools, **kwargs)
    if form == "nested":
        return kit.graph(MessagesState, inner=create_agent(model, tools=tools), **kwargs)
    return by_hand(model, ToolNode(tools) if form == "tool_node" else loop(tools), **kwargs)


def by_hand(model, tools, schema=MessagesState, **compiled):
    """A model node and a tools node."""

    def ask(state, config):
        return {"messages": [model.invoke(state["messages"], config)]}

    async def aask(state, config):
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    builder = StateGraph(schema)
    builder.add_node("model", RunnableLambda(ask, aask, name="model"))
    builder.add_node("tools", tools)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile(**compiled)


def loop(tools):
    """A tools node that calls the tools one after the other."""
    by_name = {each.name: each for each in tools}

    def use(state):
        return {"messages": [by_name[c["name"]].invoke(c) for c in state["messages"][-1].tool_calls]}

    async def ause(state):
        return {"messages": [await by_name[c["name"]].ainvoke(c) for c in state["messages"][-1].tool_calls]}

    return RunnableLambda(use, ause, name="tools")


def executing(agent, *commit, **more):
    """Two rollouts, of which the winner's calls are carried out."""
    return best_of_n(agent, n=2, commit=list(commit), on_commit="execute", **more)


def then_tools(node, tools, checkpointer=None):
    """best_of_n and, after it, a node that carries out what it leaves."""
    builder = StateGraph(MessagesState)
    builder.add_node("solve", node)
    builder.add_node("tools", tools if isinstance(tools, ToolNode) else ToolNode(tools))
    builder.add_edge(START, "solve")
    builder.add_conditional_edges("solve", tools_condition)
    builder.add_edge("tools", END)
    return builder.compile(checkpointer=checkpointer)


def said(messages):
    return [(m.type, m.content) for m in messages]


def calls_of(messages):
    """Names and arguments of the last message's calls."""
    last = messages[-1]
    return [(c["name"], c["args"]) for c in last.tool_calls] if isinstance(last, AIMessage) else []


class Catching(AgentMiddleware):
    """Answers the model with whatever a tool raises."""

    def wrap_tool_call(self, request, handler):
        try:
            return handler(request)
        except Exception as error:
            return ToolMessage(f"caught {error}", tool_call_id=request.tool_call["id"])

    async def awrap_tool_call(self, request, handler):
        try:
            return await handler(request)
        except Exception as error:
            return ToolMessage(f"caught {error}", tool_call_id=request.tool_call["id"])


def retrying():
    return ToolRetryMiddleware(max_retries=2, initial_delay=0.01, jitter=False)
