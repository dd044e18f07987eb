"""Conversations with a simulated user: a model of its own, whose calls are none of the agent's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from ec_agent.evaluation.adapters.common import environment_of
from ec_agent.evaluation.adapters.tau2 import USER_NODE, Desk, ServiceTask
from ec_agent.support.checks import instance

MOST_USER_CALLS = 20
"""Tool calls of the user between two turns of the agent."""
TEMPERATURE = 0.0
"""Of the user's calls, as tau2-bench has it."""
MOST_TURNS = 100
"""Of the agent; tau2-bench ends a conversation after 200 steps."""


def with_user(
    agent: CompiledStateGraph[Any, Any, Any, Any], task: ServiceTask, model: BaseChatModel
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The agent, with the simulated user before its first turn and after each, until the user ends the conversation.

    Args:
        agent: over ``{"messages": [...]}``. Its turn ends when it does.
        task: whose user it is.
        model: plays the user where the task has no model for that.

    Raises:
        ConfigError: it is no compiled graph.
    """
    instance("agent", agent, CompiledStateGraph, "a compiled graph: builder.compile()")
    user = _User(task, task.user_model or model)
    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_node(USER_NODE, RunnableLambda(user.speak, afunc=user.aspeak))
    builder.add_edge(START, USER_NODE)
    builder.add_edge("agent", USER_NODE)
    builder.add_conditional_edges(USER_NODE, _onward, ["agent", END])
    return builder.compile(name="with_user")


class _User:
    def __init__(self, task: ServiceTask, model: BaseChatModel) -> None:
        self._scenario = SystemMessage(task.scenario)
        self._tools = {tool.name: tool for tool in task.user_tools}
        told: Any = model.bind_tools(list(task.user_tools)) if task.user_tools else model
        self._model = told.bind(temperature=TEMPERATURE)

    def speak(self, state: MessagesState) -> dict[str, Any]:
        shown, desk = self._begin(state)
        for _ in range(MOST_USER_CALLS):
            said = self._model.invoke(shown)
            if self._said(said, shown, desk):
                break
        return self._end(said, desk)

    async def aspeak(self, state: MessagesState) -> dict[str, Any]:
        shown, desk = self._begin(state)
        for _ in range(MOST_USER_CALLS):
            said = await self._model.ainvoke(shown)
            if self._said(said, shown, desk):
                break
        return self._end(said, desk)

    def _begin(self, state: MessagesState) -> tuple[list[AnyMessage], Desk]:
        """What the user is shown: its scenario, and the conversation from its side; the agent's words are kept."""
        desk: Desk = environment_of(Desk)
        messages: Sequence[AnyMessage] = state["messages"]
        if len(messages) > 2:  # the system's and the greeting are there from the start
            desk.hear("assistant", messages[-1].text)
        return [
            self._scenario,
            *(_turned(each) for each in messages if each.type in ("ai", "human") and each.text),
        ], desk

    def _said(self, said: AIMessage, shown: list[AnyMessage], desk: Desk) -> bool:
        """Whether the user has spoken; its tool calls are carried out, and it goes on."""
        if not said.tool_calls:
            return True
        shown.append(said)
        for call in said.tool_calls:
            result = desk.call(call["name"], call["args"], "user")
            shown.append(ToolMessage(result, tool_call_id=call["id"] or ""))
        return False

    def _end(self, said: AIMessage, desk: Desk) -> dict[str, Any]:
        desk.hear("user", said.text)
        return {"messages": [HumanMessage(said.text)]}


def _turned(message: AnyMessage) -> AnyMessage:
    return HumanMessage(message.text) if message.type == "ai" else AIMessage(message.text)


def _onward(state: MessagesState) -> str:
    desk: Desk = environment_of(Desk)
    turns = sum(message.type == "human" for message in state["messages"])
    return END if desk.ended or turns > MOST_TURNS else "agent"
