"""A majority vote over eight short answers without logprobs, against a plain gather of the same eight requests.

This is what a question costs where nothing has to be read: the fan-out, its records, and the choice. CPU time of the
client's process alone: the endpoint is in another.

A third arm is what LangGraph alone takes: each request is made by the only node of a graph, and the eight graphs are
gathered by the node of another. Each function has to be a task of its own graph, for it may ask people, call graphs and
be parked; and the question is the task of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from openai import AsyncOpenAI

from benchmarks.harness import Arm, Case, at_most
from benchmarks.serving import WORDS, serving
from ec_agent import best_of_n
from ec_agent.selectors import MajorityVote
from ec_agent.selectors.normalizers import NumberAnswer

N = 8
GOAL = 1.4
OWN: Any = {"configurable": {"thread_id": "its own"}}


def cases() -> Iterator[Case]:
    """A function agent, a plain gather, and bare graphs."""
    with serving() as url, asyncio.Runner() as runner:  # one event loop, for the client's connections belong to it
        client = AsyncOpenAI(base_url=f"{url}/short/v1", api_key="none")
        yield _case(runner, client)
        runner.run(client.close())


def _case(runner: asyncio.Runner, client: AsyncOpenAI) -> Case:
    async def ask(question: str) -> str:
        asked: Any = [{"role": "user", "content": question}]
        answer = await client.chat.completions.create(model="m", messages=asked)
        return answer.choices[0].message.content or ""

    async def agent(state: dict[str, Any]) -> dict[str, Any]:
        return {"messages": [AIMessage(await ask(state["messages"][-1].content))]}

    node = best_of_n(agent, n=N, selector=MajorityVote(normalize=NumberAnswer()))

    async def best() -> None:
        await node.ainvoke({"messages": [HumanMessage("a question", id="q")]})

    builder: Any = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_edge(START, "agent")
    alone = builder.compile()

    async def eight(state: dict[str, Any]) -> dict[str, Any]:
        answers = await asyncio.gather(*(alone.ainvoke(state, OWN) for _ in range(N)))
        return {"messages": answers[0]["messages"][-1:]}

    builder = StateGraph(MessagesState)
    builder.add_node("eight", eight)
    builder.add_edge(START, "eight")
    around = builder.compile()

    async def bare() -> None:
        await around.ainvoke({"messages": [HumanMessage("a question", id="q")]})

    async def gathered() -> None:
        await asyncio.gather(*(ask("a question") for _ in range(N)))

    def arm(work: Callable[[], Awaitable[None]]) -> Arm:
        async def now() -> None:
            await work()

        return lambda: runner.run(now())

    return Case(
        f"majority vote over {N} answers of {WORDS} tokens, no logprobs",
        {"best_of_n": arm(best), "bare graphs": arm(bare), "gather": arm(gathered)},
        [at_most("best_of_n", "gather", GOAL), at_most("bare graphs", "gather", GOAL)],
        rounds=31,
    )
