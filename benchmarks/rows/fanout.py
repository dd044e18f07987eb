"""best_of_n over an instantaneous model, against a plain gather over the same agents.

A third arm is the least that LangGraph can do for us: a graph that sends the same agents, and keeps what they return.
What it takes beyond the gather is the platform's share; what best_of_n takes beyond it is ours.
"""

from __future__ import annotations

import asyncio
import itertools
import operator
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from benchmarks.data import drawn_logprobs, entries_of
from benchmarks.harness import Case, Claim, at_most
from ec_agent import best_of_n, read_only

TOKENS = 20
GOAL = 1.15
BESIDE = 1.25
"""The goal against a bare Send graph, which is the least that LangGraph can do."""
ALONE = 1.5
"""The goal of one rollout of ten calls against the agent alone."""
_CONTENTS = [{"content": entries_of(drawn_logprobs(TOKENS, seed))} for seed in range(64)]


class Instantaneous(BaseChatModel):
    """A model whose answers were ready before it was asked, logprobs and all.

    Attributes:
        lookups: how many tool calls it makes before it answers.
    """

    lookups: int = 0

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
        asked = sum(isinstance(message, AIMessage) for message in messages)
        call = {"name": "look_up", "args": {"what": f"thing {number}"}, "id": f"call {number}"}
        message = AIMessage(
            f"answer {number}",
            response_metadata=metadata,
            usage_metadata=usage,
            tool_calls=[call] if asked < self.lookups else [],
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages)

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """It knows its tools."""
        return self


_numbers = itertools.count()


@read_only
@tool
async def look_up(what: str) -> str:
    """Look a thing up."""
    return f"{what}: 14.84"


class _Answers(TypedDict):
    answers: Annotated[list[Any], operator.add]


def cases() -> Iterator[Case]:
    """For each N, agents of one call, of ten, and of three with tools in between; all models return logprobs."""
    tools = create_agent(Instantaneous(lookups=2), [look_up])
    agents = {"of 1 call": _calling(1), "of 10 calls": _calling(10), "of 3 calls and 2 tools": tools}
    for what, agent in agents.items():
        for n in (1, 8, 64, 256):
            yield _case(f"fan-out of {n}, agents {what}", agent, n, _claims(what, n))


def _claims(what: str, n: int) -> list[Claim]:
    if n == 1:
        return [at_most("best_of_n", "gather", ALONE)] if what == "of 10 calls" else []
    beside = [at_most("best_of_n", "bare Send graph", BESIDE)] if "tools" in what else []
    return [at_most("best_of_n", "gather", GOAL), at_most("bare Send graph", "gather", GOAL), *beside]


def _calling(calls: int) -> Any:
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


def _sending(agent: Any, n: int, state: Any) -> Any:
    async def rollout(_: _Answers) -> dict[str, Any]:
        return {"answers": [await agent.ainvoke(state, {"configurable": {"thread_id": "its own"}})]}

    graph: Any = StateGraph(_Answers)
    graph.add_node("rollout", rollout)
    graph.add_conditional_edges(START, lambda _: [Send("rollout", {})] * n, ["rollout"])
    graph.add_edge("rollout", END)
    return graph.compile()


def _case(name: str, agent: Any, n: int, claims: Sequence[Claim] = ()) -> Case:
    state = {"messages": [HumanMessage("a question", id="q")]}
    node, sending = best_of_n(agent, n=n), _sending(agent, n, state)

    async def best() -> None:  # asyncio.run would write out the result of a task that has one
        await node.arun(state)

    async def sent() -> None:
        await sending.ainvoke({"answers": []}, {"max_concurrency": n})

    async def gathered() -> None:
        await asyncio.gather(*(agent.ainvoke(state) for _ in range(n)))

    return Case(
        name,
        {
            "best_of_n": lambda: asyncio.run(best()),
            "bare Send graph": lambda: asyncio.run(sent()),
            "gather": lambda: asyncio.run(gathered()),
        },
        claims,
        rounds=9,
        seconds=12,
    )
