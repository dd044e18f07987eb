"""Whose code a question runs, in calls of Python functions: ``python -m benchmarks.whose``.

Time depends on the machine and on what else it does; the number of calls does not. A call of a function of
Python itself, of NumPy or of the event loop counts for the library that led to it.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage

from benchmarks.harness import Arm
from benchmarks.rows.fanout import Instantaneous, _calling, _case, look_up
from ec_agent import best_of_n
from ec_agent.selectors import MajorityVote

RUNS = 8
OWNERS = {
    "/langgraph/": "LangGraph",
    "/langchain_core/": "LangChain",
    "/langchain/": "LangChain",
    "/langsmith/": "LangChain",
    "/pydantic/": "LangChain",
    "/benchmarks/": "the agents",
}
_Function = tuple[str, int, str]


def arms() -> dict[str, Arm]:
    """What is counted, by its name."""
    eight = _case("", create_agent(Instantaneous(lookups=2), [look_up]), 8).arms
    one = _case("", _calling(10), 1).arms

    async def function(state: Mapping[str, Any]) -> dict[str, Any]:
        return {"messages": [AIMessage("an answer")]}

    node = best_of_n(function, n=8, selector=MajorityVote(), on_unscored="first")

    async def vote() -> None:
        await node.ainvoke({"messages": [HumanMessage("a question", id="q")]})

    return {
        "8 function agents": lambda: asyncio.run(vote()),
        "8 agents of 3 calls and 2 tools": eight["best_of_n"],
        "the same in a bare Send graph": eight["bare Send graph"],
        "1 agent of 10 calls": one["best_of_n"],
        "the same agent alone": one["gather"],
    }


def calls_of(arm: Arm) -> Counter[str]:
    """Return the calls of one run, by whose code makes them."""
    arm()  # what is made once and kept
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(RUNS):
        arm()
    profile.disable()
    stats: Any = pstats.Stats(profile)
    found: Counter[str] = Counter()
    known: dict[_Function, dict[str, float]] = {}
    for function, (_, calls, *_) in stats.stats.items():
        for owner, part in _parts(function, stats.stats, known, ()).items():
            found[owner] += calls * part / RUNS
    return found


def _parts(
    function: _Function,
    stats: Mapping[_Function, Any],
    known: dict[_Function, dict[str, float]],
    above: tuple[Any, ...],
) -> dict[str, float]:
    """Return by whom a function is called: parts of 1 by owner. A library's own function is its own."""
    if (owner := _owner(function[0])) is not None:
        return {owner: 1.0}
    if function in above:
        return {}
    if function not in known:
        callers = stats[function][4]
        total = sum(calls for calls, *_ in callers.values()) or 1
        parts: Counter[str] = Counter()
        for caller, (calls, *_) in callers.items():
            for whose, part in _parts(caller, stats, known, (*above, function)).items():
                parts[whose] += part * calls / total
        known[function] = dict(parts) or {"the event loop": 1.0}
    return known[function]


def _owner(file: str) -> str | None:
    if "/ec_agent/" in file:
        return f"ours, {file.rpartition('/ec_agent/')[2].partition('/')[0].removesuffix('.py')}"
    return next((owner for mark, owner in OWNERS.items() if mark in file), None)


def lines() -> Iterator[str]:
    """The table, in Markdown."""
    counted = {name: calls_of(arm) for name, arm in arms().items()}
    owners: Counter[str] = sum(counted.values(), Counter())
    yield f"| | {' | '.join(counted)} |"
    yield f"|---|{'---|' * len(counted)}"
    for owner, _ in owners.most_common():
        yield f"| {owner} | {' | '.join(f'{calls[owner]:,.0f}' for calls in counted.values())} |"
    yield f"| all | {' | '.join(f'{sum(calls.values()):,.0f}' for calls in counted.values())} |"


if __name__ == "__main__":
    print("\n".join(lines()))
