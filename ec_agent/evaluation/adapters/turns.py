"""Conversations of several turns: the environment has the user's further messages."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph

from ec_agent.evaluation.adapters.common import environment_of
from ec_agent.support.checks import instance


@runtime_checkable
class Conversation(Protocol):
    """An environment that knows what the user says next."""

    def next_turn(self) -> str | None:
        """The user's next message, once the agent has ended its turn; ``None`` at the end."""
        ...


def in_turns(agent: CompiledStateGraph[Any, Any, Any, Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The agent, asked again after each of its turns until the environment's conversation is over.

    Args:
        agent: over ``{"messages": [...]}``. Its turn ends when it does.

    Raises:
        ConfigError: it is no compiled graph.
    """
    instance("agent", agent, CompiledStateGraph, "a compiled graph: builder.compile()")
    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_node("user", _user)
    builder.add_edge(START, "agent")
    builder.add_edge("agent", "user")
    builder.add_conditional_edges("user", _onward, ["agent", END])
    return builder.compile(name="in_turns")


def _user(state: MessagesState) -> dict[str, Any]:
    conversation: Conversation = environment_of(Conversation)
    said = conversation.next_turn()
    return {"messages": [] if said is None else [HumanMessage(said)]}


def _onward(state: MessagesState) -> str:
    return "agent" if isinstance(state["messages"][-1], HumanMessage) else END
