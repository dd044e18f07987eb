"""The prompt that rollouts share, on the embedded model: tokens of it that are read, and the time of the question.

Each run starts a server of its own, so that its question is the first one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from langgraph.graph import START, MessagesState, StateGraph
from pydantic import Field

from benchmarks.harness import Case, at_most, value
from ec_agent import best_of_n
from ec_agent.local import LocalChatModel, LocalServer
from ec_agent.local.shared_prompts import PromptSpreader
from ec_agent.selectors import MajorityVote

RULES = " ".join(f"Rule {number}: be exact about part {number}, and say why." for number in range(20))


def cases() -> Iterator[Case]:
    """Tokens of the prompt, then the time of the whole question."""
    for name, unit, place, goal in (("prompt tokens read", "tokens", 0, 0.35), ("time", "s", 1, 1.0)):
        arms = {arm: partial(_asked, share, place) for arm, share in (("at once", False), ("share_prompt", True))}
        yield Case(
            f"first question of 8 rollouts to the embedded model, {name}",
            arms,
            [at_most("share_prompt", "at once", goal)],
            gauge=value,
            unit=unit,
            rounds=3,
        )


def _asked(share: bool, place: int) -> float:
    with LocalServer() as server:
        model = _Counting(base_url=server.base_url, max_tokens=32)

        def call(state: MessagesState) -> dict[str, Any]:
            return {"messages": [model.invoke(state["messages"])]}

        builder = StateGraph(MessagesState)
        builder.add_node("call", call)
        builder.add_edge(START, "call")
        node = best_of_n(builder.compile(), n=8, selector=MajorityVote(), share_prompt=share)
        ahead = _reading_ahead()
        started = time.perf_counter()
        node.run({"messages": [("system", RULES), ("user", "Name three fruits.")]})
        return (sum(model.read) + sum(ahead), time.perf_counter() - started)[place]


class _Counting(LocalChatModel):
    """Notes how many tokens of each prompt the server did not have."""

    read: list[int] = Field(default_factory=list)

    def _result(self, response: Any) -> Any:
        self.read.append(response.timings["prompt_n"])
        return super()._result(response)


def _reading_ahead() -> list[int]:
    """The same of the prompts that are read for several slots; it grows."""
    read: list[int] = []

    def asking(self: PromptSpreader, what: str, body: Any, timeout: float) -> Any:
        answer = _ask(self, what, body, timeout)
        if what.endswith("completions"):
            read.append(answer["timings"]["prompt_n"])
        return answer

    PromptSpreader._ask = asking  # type: ignore[method-assign]
    return read


_ask = PromptSpreader._ask
