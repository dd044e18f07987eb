"""best_of_n over an instantaneous model, against a plain gather over the same agents."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from benchmarks.harness import Case, at_most
from ec_agent import best_of_n
from ec_agent.testing import Reply, ScriptedChatModel

TOKENS = 20


def cases() -> Iterator[Case]:
    """For each N; both arms' models return logprobs."""
    for n in (1, 8, 64, 256):
        yield _case(n)


def _agent() -> Any:
    rng = random.Random(1)
    entropies = [[rng.random() for _ in range(TOKENS)] for _ in range(256)]
    model = ScriptedChatModel(lambda messages, index: Reply("an answer", entropies=entropies[index or 0]))

    async def call(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", call)
    graph.add_edge(START, "model")
    graph.add_edge("model", END)
    return graph.compile()


def _case(n: int) -> Case:
    agent = _agent()
    node = best_of_n(agent, n=n)
    state = {"messages": [HumanMessage("a question", id="q")]}

    async def gathered() -> None:
        await asyncio.gather(*(agent.ainvoke(state) for _ in range(n)))

    return Case(
        f"fan-out of {n}",
        {"best_of_n": lambda: asyncio.run(node.arun(state)), "gather": lambda: asyncio.run(gathered())},
        [at_most("best_of_n", "gather", 1.15)] if n >= 8 else [],
        rounds=11,
    )
