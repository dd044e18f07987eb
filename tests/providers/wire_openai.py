"""OpenAI's three endpoints, and the dialects of its Chat Completions that other providers speak.

The payloads themselves are those of ``fake_openai``, with the turn's own candidates in place of made-up ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import fake_openai
from fake_openai import Answer
from said import Token, Turn
from wire import Asked, Reply, as_events, as_json, as_typed_events

Body = dict[str, Any]
ALL = frozenset({"thinking", "content", "call"})


def entry(token: Token) -> dict[str, Any]:
    """One element of ``logprobs.content``."""
    return {
        "token": token.text,
        "logprob": token.logprob,
        "bytes": token.bytes,
        "top_logprobs": [{"token": t, "logprob": lp, "bytes": list(t.encode())} for t, lp in token.candidates],
    }


def wants_content(body: Body) -> bool:
    """Chat Completions: ``logprobs`` and ``top_logprobs`` both have to be asked for."""
    return body.get("logprobs") is True and bool(body.get("top_logprobs"))


Shape = Callable[[Sequence[Token], Sequence[Token], bool], Any]


def content_of(make: Callable[[Token], dict[str, Any]] = entry, thinking_key: str | None = None) -> Shape:
    """``{"content": [...]}``; the thinking's tokens come first in it, or under a key of their own."""

    def shape(tokens: Sequence[Token], thinking: Sequence[Token], streamed: bool) -> dict[str, Any]:
        if thinking_key is None:
            return {"content": [make(t) for t in (*thinking, *tokens)], "refusal": None}
        return {"content": [make(t) for t in tokens], thinking_key: [make(t) for t in thinking]}

    return shape


AS_OPENAI = content_of()


@dataclass(frozen=True)
class Dialect:
    """How a provider's Chat Completions differ from OpenAI's.

    Attributes:
        listed: which parts of the turn come with logprobs.
        wanted: whether a request asks for logprobs.
        shape: ``choices[].logprobs`` for these tokens, those of the thinking apart; whether it is for a chunk.
        thought: the message's and delta's key for the thinking.
        counts_thinking: whether ``completion_tokens`` counts the thinking.
        dress: a last change to the payload or chunk, given the tokens it carries logprobs of.
        usage: where a stream's usage comes: in a ``chunk`` of its own if asked for, in the ``last`` one, or there
            under ``x_groq``.
        opening: a chunk before all others.
    """

    listed: frozenset[str] = frozenset({"content"})
    wanted: Callable[[Body], bool] = wants_content
    shape: Shape = AS_OPENAI
    thought: str | None = "reasoning_content"
    counts_thinking: bool = True
    dress: Callable[[dict[str, Any], Sequence[Token], Body], None] = lambda payload, tokens, body: None
    usage: Literal["chunk", "last", "x_groq"] = "chunk"
    opening: dict[str, Any] | None = None

    def tokens(self, turn: Turn, body: Body, *parts: str) -> list[Token]:
        """The tokens of these parts that come with logprobs in answer to this request."""
        listed = [part for part in parts if part in self.listed and self.wanted(body)]
        return [token for part in listed for token in getattr(turn, part)]


@dataclass
class Told(Answer):
    """An ``Answer`` whose tokens are a turn's own."""

    listed: Sequence[dict[str, Any]] = ()

    def entries(self, entropies: Any = None) -> list[dict[str, Any]]:
        return list(self.listed)


def told(turn: Turn, listed: Sequence[dict[str, Any]], count: int) -> Told:
    return Told(
        entropies=[None] * len(listed),
        listed=listed,
        text=turn.text,
        tool_calls=[(turn.name, turn.arguments)] if turn.call else (),
        usage=count,
    )


def usage_of(turn: Turn, dialect: Dialect) -> dict[str, Any]:
    """The usage, with the thinking told apart; what ``completion_tokens`` leaves out is in the total all the same."""
    apart = 0 if dialect.counts_thinking else len(turn.thinking)
    usage = fake_openai.chat_usage(len(turn.tokens) - apart)
    if turn.thinking:
        usage["completion_tokens_details"] = {"reasoning_tokens": len(turn.thinking)}
        usage["total_tokens"] += apart
    return usage


def chat(turn: Turn, asked: Asked, dialect: Dialect) -> Reply:
    """``POST /chat/completions``."""
    body = asked.body
    tokens = dialect.tokens(turn, body, "content", "call")
    thinking = dialect.tokens(turn, body, "thinking")
    answer = told(turn, [{"token": t.text} for t in tokens], len(turn.tokens))
    if asked.streamed:
        return as_events(_chunks(turn, answer, body, dialect))
    whole = fake_openai.chat_completion(answer, body)
    choice = whole["choices"][0]
    choice["logprobs"] = dialect.shape(tokens, thinking, False) if tokens or thinking else None
    if turn.thinking and dialect.thought:
        choice["message"][dialect.thought] = turn.thought
    whole["usage"] = usage_of(turn, dialect)
    dialect.dress(whole, tokens, body)
    return as_json(whole)


def _chunks(turn: Turn, answer: Told, body: Body, dialect: Dialect) -> list[dict[str, Any]]:
    chunks = fake_openai.chat_chunks(answer, {**body, "logprobs": True})
    left = iter(dialect.tokens(turn, body, "content", "call"))
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["logprobs"] is not None:
                _say(chunk, next(left), dialect, body)
        if chunk.get("usage"):
            chunk["usage"] = usage_of(turn, dialect)
    if dialect.usage != "chunk":
        _usage_in_last(chunks, usage_of(turn, dialect), dialect)
    if not answer.listed:  # what comes without logprobs comes all the same
        chunks[1:1] = [_delta(chunks[0], {"content": t.text}) for t in turn.content]
    if dialect.thought:
        thinking = [_delta(chunks[0], {dialect.thought: t.text}) for t in turn.thinking]
        for chunk, token in zip(thinking, dialect.tokens(turn, body, "thinking"), strict=False):
            chunk["choices"][0]["logprobs"] = dialect.shape((), (token,), True)
        chunks[1:1] = thinking
    return [dialect.opening, *chunks] if dialect.opening else chunks


def _usage_in_last(chunks: list[dict[str, Any]], usage: dict[str, Any], dialect: Dialect) -> None:
    if chunks[-1].get("usage"):
        chunks.pop()
    chunks[-1] |= {"x_groq": {"usage": usage}} if dialect.usage == "x_groq" else {"usage": usage}


def _say(chunk: dict[str, Any], token: Token, dialect: Dialect, body: Body) -> None:
    choice = chunk["choices"][0]
    choice["logprobs"] = dialect.shape((token,), (), True)
    if "content" in choice["delta"]:
        choice["delta"]["content"] = token.text
    dialect.dress(chunk, (token,), body)


def _delta(first: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    return {**first, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]}


def speaks(dialect: Dialect) -> Callable[[Turn, Asked], Reply]:
    """The wire of a dialect."""
    return lambda turn, asked: chat(turn, asked, dialect)


OPENAI = Dialect(thought=None)
# Azure's content filter speaks first.
AZURE = Dialect(thought=None, opening={"id": "", "object": "", "model": "", "created": 0, "choices": []})


def legacy(turn: Turn, asked: Asked) -> Reply:
    """``POST /completions``: parallel lists, ``logprobs`` a number. ``echo`` puts the prompt's tokens before them."""
    body = asked.body
    wanted = isinstance(body.get("logprobs"), int)
    listed = [entry(t) for t in turn.tokens] if wanted else []
    if asked.streamed:
        return as_events(_legacy_chunks(turn, body, wanted))
    answer = told(turn, listed, len(turn.tokens))
    if wanted and body.get("echo"):
        answer.listed = [{**listed[1], "logprob": None, "top_logprobs": []}, listed[1], *listed]
    return as_json(fake_openai.legacy_completion(answer, body))


def _legacy_chunks(turn: Turn, body: Body, wanted: bool) -> list[dict[str, Any]]:
    chunks = []
    for token in turn.tokens:
        piece = told(Turn(content=(token,)), [entry(token)] if wanted else [], 1)
        chunk = fake_openai.legacy_completion(piece, body)
        chunk.pop("usage")
        chunk["choices"][0]["finish_reason"] = None
        chunks.append(chunk)
    chunks[-1]["choices"][0]["finish_reason"] = "stop"
    if (body.get("stream_options") or {}).get("include_usage"):
        chunks.append({**chunks[-1], "choices": [], "usage": fake_openai.chat_usage(len(turn.tokens))})
    return chunks


def responses(turn: Turn, asked: Asked) -> Reply:
    """``POST /responses``: logprobs on the text parts, asked for with ``include``."""
    answer = told(turn, [entry(t) for t in turn.content], len(turn.tokens))
    # ``include`` brings the sampled tokens' logprobs; ``top_logprobs`` the candidates.
    if not asked.body.get("top_logprobs"):
        answer.listed = [{**e, "top_logprobs": []} for e in answer.listed]
    if asked.streamed:
        events = fake_openai.response_events(answer, asked.body)
        return as_typed_events(_with_call_events(events, turn))
    return as_json(_with_call(fake_openai.response(answer, asked.body), turn))


def _call_item(turn: Turn, status: str = "completed", arguments: str | None = None) -> dict[str, Any]:
    given = turn.encoded_arguments if arguments is None else arguments
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_0", "name": turn.name}
    return {**item, "arguments": given, "status": status}


def _with_call(whole: dict[str, Any], turn: Turn) -> dict[str, Any]:
    whole["usage"]["output_tokens_details"]["reasoning_tokens"] = len(turn.thinking)
    if turn.call:
        whole["output"] = [whole["output"][0], _call_item(turn)]
    return whole


def _with_call_events(events: list[dict[str, Any]], turn: Turn) -> list[dict[str, Any]]:
    _with_call(events[-1]["response"], turn)
    if not turn.call:
        return events
    at = {"output_index": 1, "item_id": "fc_1"}
    call = [
        {"type": "response.output_item.added", "output_index": 1, "item": _call_item(turn, "in_progress", "")},
        {"type": "response.function_call_arguments.delta", **at, "delta": turn.encoded_arguments},
        {"type": "response.function_call_arguments.done", **at, "arguments": turn.encoded_arguments},
        {"type": "response.output_item.done", "output_index": 1, "item": _call_item(turn)},
    ]
    kept = [*events[:3], *call, events[-1]]
    return [{**event, "sequence_number": number} for number, event in enumerate(kept)]
