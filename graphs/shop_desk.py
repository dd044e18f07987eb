"""An outer graph in which ``best_of_n`` is one node among others: a desk that answers, or passes on when unsure.

START -> open -> solve (best of 8) -> answer | pass_on -> END
"""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from ec_agent import best_of_n
from graphs.agent import agent


class Desk(MessagesState):
    """The desk's state: the conversation, the ticket's status, and the receipt of the selection."""

    status: str
    receipt: dict[str, Any]


def open_ticket(state: Desk) -> dict[str, Any]:
    """A question comes in."""
    return {"status": "open"}


def by_receipt(state: Desk) -> Literal["answer", "pass_on"]:
    """Answer when the winner was scored on nearly all of its tokens and did not end in an open tool call."""
    receipt = state["receipt"]
    winner = receipt["candidates"][receipt["winner"]]
    last = state["messages"][-1]
    finished = isinstance(last, AIMessage) and not last.tool_calls
    return "answer" if finished and (winner["coverage"] or 0.0) >= 0.9 else "pass_on"


def answer(state: Desk) -> dict[str, Any]:
    """The winner's last message is the answer."""
    return {"status": "answered"}


def pass_on(state: Desk) -> dict[str, Any]:
    """A person takes over."""
    return {"status": "passed on", "messages": [AIMessage("A colleague will answer this.")]}


def make_desk(solver: Any = agent, n: int = 8) -> Any:
    """The desk around any agent."""
    node = best_of_n(solver, n=n, selection_key="receipt", sampling=lambda index: {"seed": index})
    builder = StateGraph(Desk)
    builder.add_node("open", open_ticket)
    builder.add_node("solve", node)
    builder.add_node("answer", answer)
    builder.add_node("pass_on", pass_on)
    builder.add_edge(START, "open")
    builder.add_edge("open", "solve")
    builder.add_conditional_edges("solve", by_receipt, ["answer", "pass_on"])
    builder.add_edge("answer", END)
    builder.add_edge("pass_on", END)
    return builder.compile(name="shop_desk")


graph = make_desk()
