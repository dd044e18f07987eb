"""What is checked of an engine: it is asked, and what we made of its answer is compared with the answer's bytes."""

from __future__ import annotations

import asyncio
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import by_hand
import numpy as np
from answer_tap import Exchange, Tap
from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import APIError, APIStatusError, AsyncOpenAI, OpenAI

from ec_agent import AllRolloutsFailedError, EcAgentWarning, Limits, best_of_n, read_only, record_calls
from ec_agent.capture.shapes import call_of, payload_of_response, payload_of_stream
from ec_agent.capture.transport import async_http_client, http_client
from ec_agent.numbers.trajectory import Call
from ec_agent.prompted import PromptedToolModel

TOP = 5
CLOSE = 1e-9  # nats; the sums are taken in another order
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
FORM = {"type": "object", "properties": {"colour": {"type": "string", "enum": ["red", "blue"]}}, "required": ["colour"]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": FORM}}
REQUESTS: dict[str, dict[str, Any]] = {
    "text": {},
    "tools": {"tools": [TOOL], "tool_choice": "required"},
    "schema": {"response_format": SCHEMA},
    "stop": {"stop": ["e"]},
    "n = 2": {"n": 2},
    "reasoning": {},  # and what the engine's ``Asking.reasoning`` says
}
LONGER = ("tools", "schema", "reasoning")
SEED = (
    7  # an answer that is the same in each run, where the engine heeds it; of five emoji llama.cpp lists 5 of 16 tokens
)
SAMPLED = {"temperature": 0.8, "logprobs": True, "top_logprobs": TOP}


@dataclass(frozen=True)
class Result:
    """What a check found.

    Attributes:
        check: its name.
        said: in a few words.
        wrong: what we got wrong; empty where all is as it should be.
    """

    check: str
    said: str
    wrong: str = ""


@dataclass(frozen=True)
class Asking:
    """An engine that is asked through a tap.

    Attributes:
        tap: what keeps the bytes.
        model: the model's name.
        max_tokens: how long answers may be.
        seconds: how long an answer may take.
        reasoning: what a request adds so that the model thinks; empty where the engine cannot tell thinking apart.
    """

    tap: Tap
    model: str
    max_tokens: int
    seconds: float
    reasoning: Mapping[str, Any] = field(default_factory=dict)

    def chat_model(self, **settings: Any) -> ChatOpenAI:
        given = {"max_tokens": self.max_tokens, "stream_usage": True, **SAMPLED, **settings}
        where = {"base_url": self.tap.url, "api_key": "none", "timeout": self.seconds, "max_retries": 0}
        return ChatOpenAI(model=self.model, **where, **given)

    def request(self, what: str, stream: bool) -> dict[str, Any]:
        longer = 3 * self.max_tokens if what in LONGER else self.max_tokens
        body = {"model": self.model, "max_tokens": longer, **SAMPLED, **REQUESTS[what]}
        if what != "n = 2":
            body["seed"] = SEED
        if what == "reasoning":
            body["extra_body"] = dict(self.reasoning)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        question = "What is the weather in Paris? Use the tool." if what == "tools" else "Name a colour."
        return {**body, "messages": [{"role": "user", "content": question}]}


def answers(asking: Asking) -> Iterator[Result]:
    """Every kind of request, whole and streamed, read in every way."""
    for what in REQUESTS:
        if what == "reasoning" and not asking.reasoning:
            continue
        for stream in (False, True):
            yield _guarded(f"{what}, {'streamed' if stream else 'whole'}", lambda w=what, s=stream: _one(asking, w, s))


def _guarded(check: str, run: Callable[[], tuple[str, str]]) -> Result:
    try:
        said, wrong = run()
    except APIStatusError as refused:
        return Result(check, f"refused: {refused.status_code} {_words(refused)}")
    except AllRolloutsFailedError as failed:
        return Result(check, "all rollouts failed", " ".join(str(failed).split())[:200])
    except APIError as failed:  # as the client would tell it without us
        return Result(check, f"no answer: {type(failed).__name__} {_words(failed)}")
    return Result(check, said, wrong)


def _words(error: APIError) -> str:
    told = error.body.get("message") if isinstance(error.body, dict) else None
    return " ".join(str(told or error.message).split())[:100]


def _one(asking: Asking, what: str, stream: bool) -> tuple[str, str]:
    body = asking.request(what, stream)
    with OpenAI(**_client(asking)) as client, record_calls() as recorder:
        _read_out(client, body)
    (call,) = recorder.every_call()
    exchange = asking.tap.exchanges[-1]
    raw = by_hand.read(exchange)
    wrong = list(unlike(call, raw))
    wrong += [f"{way}: not as live" for way, other in ways(asking, exchange, body) if other != call_bits(call)]
    return _told(call, raw, what), "; ".join(wrong)


def _client(asking: Asking) -> dict[str, Any]:
    return {"base_url": asking.tap.url, "api_key": "none", "timeout": asking.seconds, "max_retries": 0}


def _read_out(client: OpenAI, body: dict[str, Any]) -> Any:
    came = client.chat.completions.create(**body)
    return list(came) if body.get("stream") else came


def ways(asking: Asking, exchange: Exchange, body: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The same bytes, sent once more and read in the other ways."""
    with asking.tap.replaying(exchange):
        with OpenAI(**_client(asking), http_client=http_client()) as client, record_calls() as recorder:
            _read_out(client, body)
        yield "by transport", call_bits(*recorder.every_call())
        with record_calls() as recorder:
            asyncio.run(_read_async(asking, body))
        yield "by transport, async", call_bits(*recorder.every_call())
        with OpenAI(**_client(asking)) as client:
            came = _read_out(client, body)
        payload = payload_of_stream(came) if body.get("stream") else payload_of_response(came)
        payload = replace(payload, top_k=TOP)  # as the request says, which a live call knows
        yield "by objects", call_bits(call_of(payload, ("entropy",)))
        if body.get("n", 1) == 1:
            model = asking.chat_model()
            with record_calls() as recorder:
                list(model.stream("x")) if body.get("stream") else model.invoke("x")
            yield "ChatOpenAI", call_bits(*recorder.every_call())


async def _read_async(asking: Asking, body: dict[str, Any]) -> None:
    async with AsyncOpenAI(**_client(asking), http_client=async_http_client()) as client:
        came = await client.chat.completions.create(**body)
        if body.get("stream"):
            assert [chunk async for chunk in came]


def call_bits(call: Call) -> tuple[Any, ...]:
    """What must be the same in every way of reading, to the bit."""
    return call.entropies.tobytes(), call.tokens, call.generated, call.capability, call.prompt_tokens


def unlike(call: Call, raw: by_hand.Answer) -> Iterator[str]:
    """In what a call differs from what its raw JSON says."""
    choice = raw.first
    ours = call.entropies[~np.isnan(call.entropies)]
    if len(ours) != len(choice.known) or not np.allclose(ours, choice.known, rtol=0, atol=CLOSE):
        yield f"{len(ours)} entropies, {len(choice.known)} by hand, or they differ"
    listed = sum(len(each.entries) for each in raw.choices)
    # A usage may count one choice of several, as llama.cpp's does; and an end token that is not listed is no gap.
    expected = max(listed, raw.counted or 0)
    if not expected - 1 <= call.generated <= expected:
        yield f"{call.generated} generated tokens; the usage says {raw.counted}, and {listed} are listed"
    if len(raw.choices) > 1 and listed and call.beside < listed - len(choice.entries):
        yield f"{call.beside} tokens beside, {listed - len(choice.entries)} by hand"


def _told(call: Call, raw: by_hand.Answer, what: str) -> str:
    known, tokens = len(raw.first.known), call.tokens or 0
    share = f"{known} of {tokens} tokens"
    if not known:
        rows = any(raw.first.rows)
        share = "candidates without an entropy" if rows else "sampled only" if raw.first.entries else "no logprobs"
    if what == "tools":
        share += ", a tool call" if raw.first.calls else ", no tool call"
    if what == "n = 2":
        share += f", {len(raw.choices)} choices"
    if what == "reasoning":
        share += _thinking(raw.first)
    return share


def _thinking(choice: by_hand.Choice) -> str:
    """Whether what the model thought is told apart from its answer, and has logprobs."""
    if not choice.thought:
        return ", no thinking told apart"
    texts = "".join(str(entry.get("token")) for entry in choice.entries)
    return ", thinking among them" if choice.thought.strip() in texts else ", without the thinking"


# Agents


@read_only
@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"It is mild in {city}."


def agents(asking: Asking) -> Iterator[Result]:
    """``best_of_n`` with two rollouts, with tools of the engine and with tool calls in text."""
    yield _guarded("best_of_n, create_agent", lambda: _rollouts(asking, asking.chat_model(disable_streaming=True)))
    yield _guarded("best_of_n, PromptedToolModel", lambda: _prompted(asking))


def _prompted(asking: Asking) -> tuple[str, str]:
    """With the first protocol that the engine takes; not every one takes schemas."""
    text = asking.chat_model(max_tokens=3 * asking.max_tokens)
    try:
        return _rollouts(asking, PromptedToolModel(model=text, protocol="json_schema"))
    except AllRolloutsFailedError as failed:
        if "response_format" not in str(failed):
            raise
    said, wrong = _rollouts(asking, PromptedToolModel(model=text, protocol="hermes"))
    return f"{said} (hermes)", wrong


def _rollouts(asking: Asking, model: Any) -> tuple[str, str]:
    before = len(asking.tap.exchanges)
    ending = ModelCallLimitMiddleware(run_limit=2, exit_behavior="end")  # a small model would call tools for ever
    agent = create_agent(model, [weather], middleware=[ending])
    node = best_of_n(agent, n=2, min_coverage=0.0, on_unscored="first", limits=Limits(max_concurrency=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EcAgentWarning)
        result = node.run({"messages": [("user", "What is the weather in Paris?")]})
    answered = [by_hand.read(e) for e in asking.tap.exchanges[before:] if e.status == 200]
    calls = [call for trajectory in result.trajectories for call in trajectory.calls]
    wrong = list(unmatched(calls, answered))
    scored = sum(candidate.score is not None for candidate in result.selection.candidates)
    return f"{len(calls)} calls, {scored} of 2 rollouts scored", "; ".join(wrong)


def unmatched(calls: Sequence[Call], answered: Sequence[by_hand.Answer]) -> Iterator[str]:
    """Calls of rollouts that are no answer of the engine's, or answers that no rollout has."""
    left = [answer.first.known for answer in answered]
    for call in calls:
        ours = [each for each in call.entropies.tolist() if not math.isnan(each)]
        same = (place for place, known in enumerate(left) if _close(ours, known))
        if (found := next(same, None)) is None:
            yield f"a call with {len(ours)} entropies that no answer has"
        else:
            left.pop(found)
    if left:
        yield f"{len(left)} answers that no rollout has"


def _close(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and np.allclose(one, other, rtol=0, atol=CLOSE)
