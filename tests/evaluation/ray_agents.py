"""Agents and tasks that workers on Ray import."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path

from eval_fakes import Calls, Right, agent_of, reply_of, seed
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

from ec_agent.testing import Reply, ScriptedChatModel

agent = agent_of(Calls(0.05))
slow = agent_of(Calls(0.4))
slower = agent_of(Calls(1.5))
second = agent_of(Calls(0.5))  # of two calls


def long():
    """An agent that answers with ten thousand tokens."""
    entropies = [place % 29 / 10 for place in range(10_000)]
    model = ScriptedChatModel(lambda messages, index: Reply("right" * 10_000, entropies=entropies))
    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"])]})
    return builder.add_edge(START, "ask").compile()


class Deadly(Right):
    """Rollouts with these seeds kill their worker: each time, or once if there is a folder to note that in."""

    def __init__(self, id, kills=(), once=None):
        super().__init__(id, f"What is right in {id}?")
        self.kills, self.once = kills, once


def killing(task):
    """An agent for a task; the second call of a deadly rollout kills its worker."""
    calls = Calls()

    def script(messages, index):
        if len(messages) > 1 and seed() in task.kills and not known(task):
            os.kill(os.getpid(), signal.SIGKILL)
        return reply_of(seed(), len(messages))

    calls.script = script
    calls.delay = 0.2
    return agent_of(calls)


def known(task):
    if task.once is None:
        return False
    mark = Path(task.once, f"{seed()}.mark")
    there = mark.exists()
    mark.touch()
    return there


class DeadlyVerdict(Right):
    """Its first verdict kills the worker: the rollout has ended by then, and nobody has heard of it."""

    def __init__(self, id, once):
        super().__init__(id, f"What is right in {id}?")
        self.once = once

    def verdict(self, outcome):
        mark = Path(self.once, f"{self.id}.mark")
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().verdict(outcome)


class Failing(Right):
    def verdict(self, outcome):
        raise KeyError("no such field")


class Worldly(Right):
    """A file is there while the world is open."""

    @contextmanager
    def environment(self):
        mark = Path(f"{self.id}-{time.time_ns()}-{id(object())}.world")
        mark.touch()
        try:
            yield mark
        finally:
            mark.unlink()


worlds = [Worldly(f"task {place}") for place in range(4)]
more_worlds = [Worldly(f"task {place}") for place in range(16)]


def ending():
    """Ends its process in a node."""

    def leave(state):
        raise SystemExit(7)

    return StateGraph(MessagesState).add_node("leave", leave).add_edge(START, "leave").compile()


def using_tools():
    """Calls a tool that nobody has declared."""

    @tool
    def undeclared(q: int) -> str:
        """Look."""
        return "seen"

    def send(state):
        (call,) = state["messages"][-1].tool_calls
        return {"messages": [undeclared.invoke(call)]}

    model = ScriptedChatModel(lambda messages, index: Reply(tool_calls=[("undeclared", {"q": 1})], entropies=[0.5]))
    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("send", send)
    builder.add_edge(START, "ask").add_edge("ask", "send")
    return builder.compile()
