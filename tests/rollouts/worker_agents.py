"""Agents that workers import by their place. ``at`` says what happens in a rollout, in the process of the tests."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Annotated, Any

import kit
import mailing
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph.channels import UntrackedValue
from langgraph.graph import MessagesState
from langgraph.types import interrupt
from questions import Asking

from ec_agent import get_environment, read_only
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


post = mailing.Post()
"""Letters of ``posting``, here and on workers, which are in this process."""


def posting():
    """Make an agent that sends, pays and answers; another rollout wins each time."""

    def script(messages, index):
        number = sum(isinstance(message, ToolMessage) for message in messages)
        calls = [[("send", {"to": f"by {index}"})], [("pay", {"amount": index})], []][number]
        peaks = ((3, 9, 15), (15, 3, 9), (9, 15, 3))[number]
        return Reply("" if calls else f"answer {index}", tool_calls=calls, entropies=kit.peak(peaks[index]))

    return mailing.by_hand(ScriptedChatModel(script), mailing.ToolNode(post.tools))


def asking():
    """Make an agent that asks a person twice before it answers."""

    def ask(name):
        return lambda state: {"messages": [("human", f"{kit.rollout_index()} was told {interrupt(name)}")]}

    return Asking(b1=ask("first"), b2=ask("second")).graph


class Handled(MessagesState):
    """A state with a value that no checkpoint may hold."""

    handle: Annotated[Any, UntrackedValue(object)]


def with_a_handle():
    """Make an agent that opens a handle, pays, and then uses the handle."""
    model = kit.say(9, 3)

    def open_it(state):
        return {"messages": [model.invoke("?")], "handle": f"handle of {kit.rollout_index()}"}

    def pay(state):
        return {"messages": [("human", post.pay.invoke({"amount": 1}))]}

    def use(state):
        model.invoke("?")  # here a rollout that has paid rests, and goes on as the best of n
        return {"messages": [("human", f"used {state.get('handle')}")]}

    return kit.graph(Handled, open=open_it, pay=pay, use=use)


def of_two_letters():
    """Make an agent whose own code sends two letters in one step, which runs again for the second."""
    model = kit.say(9, 3)

    def say(state):
        return {"messages": [model.invoke("?")]}

    def send(state):
        return {"messages": [("human", post.send.invoke({"to": name})) for name in ("ann", "bob")]}

    return kit.graph(MessagesState, say=say, send=send)


def in_a_world():
    """Make an agent that counts its rollout's own database up by its number, and answers."""

    def count(state):
        with closing(get_environment().connect()) as copy:
            copy.execute("UPDATE stock SET n = n + ?", [10 * (1 + kit.rollout_index())])
            copy.commit()
        return {}

    return kit.graph(MessagesState, count=count, model=function)


async def for_ever():
    """Wait longer than any test."""
    await asyncio.sleep(60)
