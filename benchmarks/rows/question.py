"""One question of 8 answers, as most users write it: what it costs the client's process.

Against the same client asked as often at once, with and without logprobs; nobody reads those there. CPU time of the
client's process alone: the endpoint is in another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, OpenAI

from benchmarks.harness import Arm, Case, at_most
from benchmarks.serving import SHORT, WORDS, serving
from ec_agent import best_of_n
from ec_agent.selectors import MajorityVote

N = 8
MESSAGES = [{"role": "user", "content": "hi"}]
GOALS = {False: 0.35, True: 0.6}
"""Over the same client with logprobs that nobody reads; whole and streamed."""
BESIDE = 3.0
"""Over the same client without logprobs, for whole answers."""
Asking = Callable[[], Any]


def cases() -> Iterator[Case]:
    """Raw clients and chat models, sync and async, whole and streamed; then answers with ties and with bytes."""
    loop = asyncio.new_event_loop()
    try:
        with serving() as url:
            for stream in (False, True):
                for what, make in WAYS.items():
                    yield _case(url, loop, f"{what}, {'streamed' if stream else 'whole'}", make, stream)
            for kind in ("bytes", "ties"):
                yield _case(url, loop, f"AsyncOpenAI, whole, with {kind}", _raw_async, False, kind)
    finally:
        loop.close()


def _case(url: str, loop: Any, name: str, make: Any, stream: bool, kind: str = "plain") -> Case:
    arms: dict[str, Arm] = {}
    for label, path in (("logprobs", kind), ("no logprobs", "none")):
        ask = make(f"{url}/{SHORT}{path}/v1", stream, path != "none")
        if asyncio.iscoroutinefunction(ask):
            arms[f"gather, {label}"] = _agathered(loop, ask)
        else:
            arms[f"gather, {label}"] = _gathered(ask)
        if path != "none":
            arms["best_of_n"] = _answered(loop, ask)
        elif not stream:
            arms["best_of_n, no logprobs"] = _answered(loop, ask, scored=False)
    claims = [at_most("best_of_n", "gather, logprobs", GOALS[stream])]
    if not stream:
        claims.append(at_most("best_of_n", "gather, no logprobs", BESIDE))
    return Case(f"question of {N}, {name}", arms, claims, per=N * WORDS, seconds=12)


def _agathered(loop: Any, ask: Callable[[], Awaitable[str]]) -> Arm:
    async def gathered() -> None:
        await asyncio.gather(*(ask() for _ in range(N)))

    return lambda: loop.run_until_complete(gathered())


def _gathered(ask: Callable[[], str]) -> Arm:
    def gathered() -> None:
        with ThreadPoolExecutor(N) as pool:
            list(pool.map(lambda _: ask(), range(N)))

    return gathered


def _answered(loop: Any, ask: Any, *, scored: bool = True) -> Arm:
    options: dict[str, Any] = {} if scored else {"selector": MajorityVote()}
    check = _check if scored else bool
    if asyncio.iscoroutinefunction(ask):

        async def aagent(state: Any) -> Any:
            return {"messages": [AIMessage(await ask())]}

        anode = best_of_n(aagent, n=N, **options)

        async def asked() -> None:
            check(await anode.arun({"messages": MESSAGES}))

        return lambda: loop.run_until_complete(asked())

    def agent(state: Any) -> Any:
        return {"messages": [AIMessage(ask())]}

    node = best_of_n(agent, n=N, **options)
    return lambda: check(node.run({"messages": MESSAGES}))


def _check(result: Any) -> None:
    assert [each.scored_tokens for each in result.trajectories] == [WORDS] * N


def _asking(logprobs: bool) -> dict[str, Any]:
    return {"logprobs": True, "top_logprobs": 20} if logprobs else {}


def _raw_async(url: str, stream: bool, logprobs: bool) -> Asking:
    client = AsyncOpenAI(base_url=url, api_key="none")
    asking: Any = {"model": "m", "messages": MESSAGES, **_asking(logprobs)}

    async def ask() -> str:
        if not stream:
            return (await client.chat.completions.create(**asking)).choices[0].message.content or ""
        parts = await client.chat.completions.create(**asking, stream=True)
        return "".join([choice.delta.content or "" async for part in parts for choice in part.choices])

    return ask


def _raw(url: str, stream: bool, logprobs: bool) -> Asking:
    client = OpenAI(base_url=url, api_key="none")
    asking: Any = {"model": "m", "messages": MESSAGES, **_asking(logprobs)}

    def ask() -> str:
        if not stream:
            return client.chat.completions.create(**asking).choices[0].message.content or ""
        parts = client.chat.completions.create(**asking, stream=True)
        return "".join(choice.delta.content or "" for part in parts for choice in part.choices)

    return ask


def _chat_async(url: str, stream: bool, logprobs: bool) -> Asking:
    model = _model(url, stream, logprobs)

    async def ask() -> str:
        return str((await model.ainvoke("hi")).content)

    return ask


def _chat(url: str, stream: bool, logprobs: bool) -> Asking:
    model = _model(url, stream, logprobs)
    return lambda: str(model.invoke("hi").content)


def _model(url: str, stream: bool, logprobs: bool) -> ChatOpenAI:
    asking: Any = {**_asking(logprobs), "api_key": "none"}
    return ChatOpenAI(model="m", base_url=url, streaming=stream, **asking)


WAYS = {"AsyncOpenAI": _raw_async, "OpenAI": _raw, "ChatOpenAI, async": _chat_async, "ChatOpenAI, sync": _chat}
