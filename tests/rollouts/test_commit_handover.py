"""An action that ends in handing the run over to the graph around: done once, on record, and followed."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import mailing
import pytest
from kit import THREAD
from langchain_core.messages import ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import ParentCommand
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command
from mailing import executing

from ec_agent import CommitUncertain, MemoryJournal
from ec_agent.commits.at_most_once import Once
from ec_agent.support.plans import Step, adrive, drive


class State(MessagesState):
    receipt: dict[str, Any]


def handing(post, how):
    """A tool that sends, and then sends the run to another node of the graph around."""

    @tool
    def send(to: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Any:
        """Send and hand over."""
        told = ToolMessage(post.deliver(to), tool_call_id=tool_call_id)
        command = Command(graph=Command.PARENT, goto="desk", update={"messages": [told]})
        if how == "raises":  # as an agent called within does
            raise ParentCommand(command)
        return command

    return send


def one_step(model, send):
    """A function that asks and acts: its tools are called for it."""

    def function(state):
        message = model.invoke(state["messages"])
        return {"messages": [message, *[send.invoke(call) for call in message.tool_calls]]}

    return function


@pytest.mark.parametrize("how", ["returns", "raises"])
@pytest.mark.parametrize("form", ["create_agent", "tool_node", "function"])
def test_it_is_done_once_and_hands_over(run, post, form, how):
    send = handing(post, how)
    model = mailing.script(*[[[("send", {"to": name})], "end"] for name in ("ann", "bob")])
    agent = one_step(model, send) if form == "function" else mailing.agent(form, model, [send])
    builder = StateGraph(State)
    builder.add_node("solve", executing(agent, send, selection_key="receipt"), destinations=("desk",))
    builder.add_node("desk", lambda state: {"messages": [("ai", "at the desk")]})
    builder.add_edge(START, "solve")
    done = run.invoke(builder.compile(checkpointer=InMemorySaver()), {"messages": "go"}, THREAD)
    assert post.done == ["bob"]
    assert [each["args"]["to"] for each in done["receipt"]["commits"]] == ["bob"]
    assert mailing.said(done["messages"])[-2:] == [("tool", "sent bob"), ("ai", "at the desk")]


def test_a_repetition_only_hands_over_again(run):
    once, ran = Once(MemoryJournal()), []

    def act():
        ran.append("act")
        raise ParentCommand(Command(graph=Command.PARENT, goto="desk"))

    async def aact():
        act()

    for _ in range(2):
        plan = once.plan("key", "send", {}, Step(act, aact))
        with pytest.raises(ParentCommand) as stop:
            drive(plan) if run.name == "sync" else asyncio.run(adrive(plan))
        assert stop.value.args[0].goto == "desk"
    assert ran == ["act"]
    with pytest.raises(CommitUncertain, match="in its place"):
        drive(once.plan("key", "pay", {}, Step(act, aact)))
