"""Agents that workers import by their place. ``at`` says what happens in a rollout, in the process of the tests."""

from __future__ import annotations

import asyncio

import kit
from langchain_core.tools import tool
from langgraph.graph import MessagesState

from ec_agent import read_only
from ec_agent.testing import Reply, ScriptedChatModel

PEAKS = (15, 3, 9, 12)  # rollout 1 wins
at = {}
"""By rollout: a function that is awaited between its two calls."""

plain = kit.chat(kit.say(*PEAKS))


def made():
    """Make an agent."""
    return kit.chat(kit.say(*PEAKS))


def function(state):
    """Answer as a function does: it has no graph of its own."""
    model = ScriptedChatModel(lambda messages, index: Reply(f"answer {index}", entropies=kit.peak(PEAKS[index])))
    return {"messages": [model.invoke("?")]}


async def coroutine(state):
    """Answer as an async function does."""
    return function(state)


@read_only
@tool
def search(q: str) -> str:
    """Search."""
    return f"found {q}"


def using_a_tool():
    """Make an agent that searches before it answers."""

    def script(messages, index):
        if len(messages) == 1:
            return Reply(tool_calls=[("search", {"q": f"{index}"})], entropies=kit.peak(2))
        return Reply(f"answer {index}", entropies=kit.peak(PEAKS[index]))

    from langchain.agents import create_agent

    return create_agent(ScriptedChatModel(script), [search])


def of_two_calls():
    """Make an agent with two calls; between them a rollout does what ``at`` says."""
    model = ScriptedChatModel(lambda messages, index: Reply(f"answer {index}", entropies=kit.peak(PEAKS[index % 4])))

    async def first(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def between(state):
        if (what := at.get(kit.rollout_index())) is not None:
            await what()
        return {}

    async def second(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    return kit.graph(MessagesState, first=first, between=between, second=second)


def meeting():
    """Make an agent whose rollouts wait for one another: it needs two at once in one process."""
    there = []

    async def meet(state):
        there.append(kit.rollout_index())
        while len(there) < 2:
            await asyncio.sleep(0.01)
        return {}

    async def answer(state):
        return function(state)

    return kit.graph(MessagesState, meet=meet, model=answer)


async def for_ever():
    """Wait longer than any test."""
    await asyncio.sleep(60)
