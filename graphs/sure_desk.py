"""A desk that hands over: the winner answers where it is probably right, else a stronger agent or a person takes over.

START -> solve (best of 8) -> END, or -> stronger -> END, or -> person, who is asked by interrupt() -> END

How likely the winner is right is fitted on your own tasks, and read from a settings file:

    ec-agent eval tasks.jsonl --agent graphs.agent:agent --n 8 --out runs/clerk.db
    ec-agent calibrate runs/clerk.db --selectors majority_vote --probability --out settings.json
    EC_AGENT_SETTINGS=settings.json make serve

Without that file nobody knows how likely it is, so that every question is handed over.
"""

from __future__ import annotations

import os
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt

from ec_agent import HandOver, best_of_n, load_settings
from ec_agent.selectors import MajorityVote
from graphs.agent import agent

SETTINGS = "EC_AGENT_SETTINGS"


class SureDesk(MessagesState):
    """The desk's state: the conversation, and the receipt with the probability."""

    receipt: dict[str, Any]


def person(state: SureDesk) -> dict[str, Any]:
    """Ask a person, who sees the proposal and how likely it is right; an empty answer takes the proposal."""
    receipt = state["receipt"]
    asked = {
        "proposal": state["messages"][-1].text,
        "probability": receipt["probability"],
        "why_none": receipt["no_probability"],
    }
    said = interrupt(asked)
    return {"messages": [AIMessage(str(said))]} if said else {}


def make_desk(
    solver: Any = agent,
    *,
    settings: dict[str, Any] | None = None,
    below: float = 0.8,
    stronger: Any = None,
    n: int = 8,
    checkpointer: Any = None,
) -> Any:
    """The desk around any agent.

    Args:
        solver: the agent that is asked first, n times.
        settings: what ``load_settings`` read; without it every question is handed over.
        below: the probability below which it is handed over.
        stronger: an agent with a state of messages that takes over; a person where there is none.
        n: how many rollouts.
        checkpointer: keeps the conversation while a person is asked.
    """
    whom = "person" if stronger is None else "stronger"
    chosen = {"selector": MajorityVote(), **(settings or {})}
    route = HandOver(below=below, to=whom)
    sampled = {"sampling": lambda index: {"seed": index, "temperature": 0.8}}
    node = best_of_n(solver, n=n, route=route, selection_key="receipt", **sampled, **chosen)
    builder = StateGraph(SureDesk)
    builder.add_node("solve", node, destinations=(whom, END))
    builder.add_node(whom, person if stronger is None else stronger)
    builder.add_edge(START, "solve")
    builder.add_edge(whom, END)
    return builder.compile(name="sure_desk", checkpointer=checkpointer)


graph = make_desk(settings=load_settings(os.environ[SETTINGS]) if os.environ.get(SETTINGS) else None)
