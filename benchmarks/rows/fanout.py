"""best_of_n over an instantaneous model, against a plain gather over the same agents."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import END, START, MessagesState, StateGraph

from benchmarks.data import drawn_logprobs, entries_of
from benchmarks.harness import Case, at_most
from ec_agent import best_of_n

TOKENS = 20
_CONTENTS = [{"content": entries_of(drawn_logprobs(TOKENS, seed))} for seed in range(64)]


class Instantaneous(BaseChatModel):
    """A model whose answers were ready before it was asked, logprobs and all."""

    @property
    def _llm_type(self) -> str:
        return "instantaneous"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        number = next(_numbers)
        metadata = {"logprobs": _CONTENTS[number % len(_CONTENTS)], "model_name": "m"}
        usage = {"input_tokens": 9, "output_tokens": TOKENS, "total_tokens": TOKENS + 9}
        message = AIMessage(f"answer {number}", response_metadata=metadata, usage_metadata=usage)  # type: ignore[arg-type]
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages)


_numbers = itertools.count()


def cases() -> Iterator[Case]:
    """For each N, agents of one call and agents of ten; both arms' models return logprobs."""
    for calls in (1, 10):
        for n in (1, 8, 64, 256):
            yield _case(n, calls)


def _agent(calls: int) -> Any:
    model = Instantaneous()

    async def call(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    names = [f"call {number}" for number in range(calls)]
    for name in names:
        graph.add_node(name, call)
    for before, after in itertools.pairwise([START, *names, END]):
        graph.add_edge(before, after)
    return graph.compile()


def _case(n: int, calls: int) -> Case:
    agent = _agent(calls)
    node = best_of_n(agent, n=n)
    state = {"messages": [HumanMessage("a question", id="q")]}

    async def best() -> None:  # asyncio.run would write out the result of a task that has one
        await node.arun(state)

    async def gathered() -> None:
        await asyncio.gather(*(agent.ainvoke(state) for _ in range(n)))

    return Case(
        f"fan-out of {n}, agents of {calls} {'call' if calls == 1 else 'calls'}",
        {"best_of_n": lambda: asyncio.run(best()), "gather": lambda: asyncio.run(gathered())},
        [at_most("best_of_n", "gather", 1.15)] if n >= 8 else [],
        rounds=9,
        seconds=12,
    )
