"""Use 1: best_of_n as a node. In the clone: .venv/bin/python -m examples.node_in_graph

The outer graph receives the winner's messages only, and the receipt under a key of our choice.
"""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, MessagesState, StateGraph

from ec_agent import best_of_n
from graphs.agent import DEMO_QUESTION, make_agent


class State(MessagesState):
    receipt: dict[str, Any]


def build(agent: Any, n: int = 3) -> Any:
    builder = StateGraph(State)
    builder.add_node("solve", best_of_n(agent, n=n, selection_key="receipt", sampling=lambda i: {"seed": i}))
    builder.add_edge(START, "solve")
    builder.add_edge("solve", END)
    return builder.compile()


def main() -> None:
    graph = build(make_agent())
    state: dict[str, Any] = {}
    for mode, part in graph.stream({"messages": [("user", DEMO_QUESTION)]}, stream_mode=["custom", "values"]):
        if mode == "custom" and part["type"] == "ec_agent.rollout.scored":
            print(f"rollout {part['index']}: centroid {part['centroid']}")
        elif mode == "values":
            state = part
    print(f"winner: rollout {state['receipt']['winner']} of {len(state['receipt']['candidates'])}")
    print(f"messages in the outer state: {len(state['messages'])}")
    print(f"answer: {state['messages'][-1].content}")


if __name__ == "__main__":
    main()
