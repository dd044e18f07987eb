"""Agents whose rollouts differ by their seed alone, and tasks about them."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import contextmanager
from pathlib import Path

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from ec_agent.capture.recorder import current_recorder
from ec_agent.evaluation.tasks import BaseTask
from ec_agent.testing import Reply, ScriptedChatModel
from ec_agent.traces.sql.store import TraceStore


def seed():
    """The seed of the rollout this is called in."""
    return current_recorder.get().requests.sampling["seed"]


def temperature():
    return current_recorder.get().requests.sampling["temperature"]


class Calls:
    """Notes the seed of every rollout that asks its model, and how many do so at once."""

    def __init__(self, delay=0.0, log=None):
        self.delay, self.log = delay, log
        self.seeds = []
        self.running = self.most = 0

    def script(self, messages, index):
        self.seeds.append(seed())
        if self.log is not None:
            handle = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(handle, f"{seed()}\n".encode())
            os.close(handle)
        return reply_of(seed(), len(messages))


def reply_of(its_seed, turn):
    """Two calls a rollout; one rollout in eight fails at its second, and one in three is right."""
    entropies = [((its_seed + turn + place) % 29) / 10 for place in range(5 + its_seed % 7)]
    if turn == 1:
        return Reply(tool_calls=[("look", {"q": its_seed % 5})], entropies=entropies)
    if its_seed % 8 == 0:
        return Reply(error=ValueError(f"model down {its_seed}"))
    return Reply("right" if its_seed % 3 == 0 else f"wrong {its_seed % 4}", entropies=entropies)


def agent_of(calls, asynchronous=True):
    """A graph of two model calls with a tool between them."""
    model = ScriptedChatModel(calls.script)

    async def aask(state):
        calls.running += 1
        calls.most = max(calls.most, calls.running)
        try:
            await asyncio.sleep(calls.delay)
            return {"messages": [await model.ainvoke(state["messages"])]}
        finally:
            calls.running -= 1

    def ask(state):
        time.sleep(calls.delay)
        return {"messages": [model.invoke(state["messages"])]}

    def look(state):
        (call,) = state["messages"][-1].tool_calls
        return {"messages": [ToolMessage("seen", tool_call_id=call["id"])]}

    def onward(state):
        last = state["messages"][-1]
        return "look" if isinstance(last, AIMessage) and last.tool_calls else END

    builder = StateGraph(MessagesState)
    builder.add_node("ask", aask if asynchronous else ask)
    builder.add_node("look", look)
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", onward, ["look", END])
    builder.add_edge("look", "ask")
    return builder.compile(name="asker")


class Right(BaseTask):
    """Solved by the word "right"."""

    def __init__(self, id, input="What is right?"):
        super().__init__(id, input)

    def verdict(self, outcome):
        return outcome.final_action.text == "right"


class InAWorld(Right):
    """The same in a world that notes when it is entered, judged and left."""

    def __init__(self, id):
        super().__init__(id)
        self.worlds = []

    @contextmanager
    def environment(self):
        world = {"open": True, "judged": None}
        self.worlds.append(world)
        try:
            yield world
        finally:
            world["open"] = False

    def verdict(self, outcome):
        assert outcome.environment is self.worlds[-1] or outcome.environment in self.worlds
        outcome.environment["judged"] = outcome.environment["open"]
        return super().verdict(outcome)


def tasks(count):
    return [Right(f"task {place}", f"What is right, the {place}th time?") for place in range(count)]


def contents(path):
    """All that a trace file holds, less times and the ids of messages."""
    with TraceStore(path) as store:
        return [
            (
                *(rollout.key, rollout.seed, dict(rollout.sampling), rollout.verdict, rollout.error),
                *(getattr(rollout.final_action, "text", rollout.final_action), dict(rollout.usage)),
                *(rollout.tool_calls, rollout.unsampled_calls),
                [
                    (
                        *(call.tokens, call.model, call.node, call.capability, call.texts, call.entropies.tobytes()),
                        *((name, values.tobytes()) for name, values in sorted(call.signals.items())),
                    )
                    for call in rollout.trajectory.calls
                ],
            )
            for task in store.tasks()
            for kind in ("sample", "greedy")
            for rollout in store.rollouts(task, kind)
        ]


def logged(path: Path):
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def rollouts(path, kind="sample"):
    with TraceStore(path) as store:
        return [rollout for task in store.tasks() for rollout in store.rollouts(task, kind)]
