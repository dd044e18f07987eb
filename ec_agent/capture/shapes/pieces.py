"""Collects what an answer says, piece by piece with the number of entries. It shows where tokens are missing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ec_agent.capture.shapes.usage import thought_in, usage_in, with_thinking
from ec_agent.capture.shapes.values import count, first, get, listed

Channel = Literal["thought", "said", "called"]
Words = tuple[tuple[Channel, str], ...]
_REASONS = ("reasoning_content", "reasoning")
_DELTAS: Mapping[str, Channel] = {
    "response.reasoning_text.delta": "thought",
    "response.output_text.delta": "said",
    "response.refusal.delta": "said",
    "response.function_call_arguments.delta": "called",
    "response.custom_tool_call_input.delta": "called",
}


class Piece(NamedTuple):
    """Text that came at once: a part of a stream, or a whole answer.

    Attributes:
        words: pairs of a channel and a text, in the order in which they were generated.
        entries: how many token entries came with it.
        total: number of tokens generated up to its end, if the server says it.
    """

    words: Words
    entries: int
    total: int | None = None

    @property
    def text(self) -> str:
        """The text of all channels."""
        return "".join(text for _, text in self.words)


class Said(NamedTuple):
    """What an answer says.

    Attributes:
        pieces: its pieces, in the order in which they came.
        finish: why it ended, as the provider says it, or ``"length"`` if it was cut at a limit.
        thought: number of thinking tokens, if they are counted separately.
    """

    pieces: tuple[Piece, ...]
    finish: str | None = None
    thought: int = 0


def joined(several: Sequence[Said]) -> Said:
    """Join what the parts of one answer say."""
    return Said(
        tuple(piece for each in several for piece in each.pieces),
        next((each.finish for each in reversed(several) if each.finish), None),
        max((each.thought for each in several), default=0),
    )


def said_by_message(message: Any, entries: int, total: int | None = None) -> Said:
    """Return what a LangChain AI message says, or a part of one.

    Args:
        message: the message, as an object or JSON.
        entries: how many token entries it has.
        total: number of tokens generated up to its end, if it is a part that says so.
    """
    metadata, extra = get(message, "response_metadata"), get(message, "additional_kwargs")
    content = get(message, "content")
    blocks: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else listed(content)
    words = [*_thoughts(extra), *(pair for block in blocks for pair in _block(block)), *_text("said", extra, "refusal")]
    held = ((extra, "tool_calls"), (message, "tool_call_chunks"), (message, "tool_calls"))
    calls = next((calls for place, name in held if (calls := listed(get(place, name)))), [])
    words += [pair for called in calls for pair in _called(called)]
    return Said(
        (Piece(tuple(words), entries, total),),
        _finish(first(metadata, "finish_reason", "done_reason", "stop_reason")),
        count(get(message, "usage_metadata", "output_token_details", "reasoning")) or 0,
    )


def said_by_response(response: Any, entries: int) -> Said:
    """Return what a whole answer of a provider with one alternative says; ``entries`` is its number of entries."""
    words: list[tuple[Channel, str]] = []
    finish = None
    for choice in listed(get(response, "choices"))[:1]:
        words += [*_text("said", choice, "text"), *_spoken(get(choice, "message"))]
        finish = finish or get(choice, "finish_reason")
    for item in listed(get(response, "output")):
        parts = [(part, get(part, "type")) for part in listed(get(item, "content"))]
        words += [
            pair for part, kind in parts for pair in _text("thought" if kind == "reasoning_text" else "said", part)
        ]
        words += [*_text("called", item, "name"), *_text("called", item, "arguments", "input")]
    for candidate in listed(get(response, "candidates"))[:1]:
        for part in listed(get(candidate, "content", "parts")):
            words += _text("thought" if get(part, "thought") else "said", part)
            words += _called(first(part, "functionCall", "function_call"))
        finish = finish or first(candidate, "finishReason", "finish_reason")
    if not words:  # the formats of Ollama and of llama.cpp
        words += [*_text("thought", response, "thinking"), *_text("said", response, "response", "content")]
        words += _spoken(get(response, "message"))
    finish = finish or first(response, "done_reason", "stop_type", "incomplete_details")
    return Said(
        (Piece(tuple(words), entries),),
        _finish(finish),
        thought_in(first(response, "usage", "usage_metadata", "usageMetadata")),
    )


def said_by_stream(chunks: Sequence[Any], sizes: Mapping[int, int]) -> Said:
    """Return what the chunks or events of a streamed OpenAI answer with one alternative say.

    Args:
        chunks: the chunks or events that came.
        sizes: the number of entries of each choice or event, by its Python id. One that is missing came twice, and is
            skipped.
    """
    pieces: list[Piece] = []
    finish, thought = None, 0
    for chunk in chunks:
        words: list[tuple[Channel, str]] = []
        entries = 0
        for choice in listed(get(chunk, "choices")):
            if id(choice) in sizes or not sizes:
                words += [*_text("said", choice, "text"), *_spoken(get(choice, "delta"))]
                entries += sizes.get(id(choice), 0)
            finish = get(choice, "finish_reason") or finish
        kind = str(get(chunk, "type"))
        if kind.endswith(".delta"):
            words += _text(_DELTAS[kind], chunk, "delta") if kind in _DELTAS else ()
            entries += sizes.get(id(chunk), 0)
        usage, final = usage_in(chunk), get(chunk, "response")
        finish = get(final, "incomplete_details") or get(usage, "finish_reason") or finish
        thought = thought_in(usage) or thought_in(get(final, "usage")) or thought
        total = count(first(usage, "completion_tokens", "output_tokens"))
        total = with_thinking(usage, total, count(first(usage, "prompt_tokens", "input_tokens")))
        if total is None:  # llama.cpp counts here, if timings_per_token was asked for
            total = count(get(chunk, "timings", "predicted_n"))
        if words or entries or total:
            pieces.append(Piece(tuple(words), entries, total))
    return Said(tuple(pieces), _finish(finish), thought)


def _spoken(message: Any) -> list[tuple[Channel, str]]:
    """Return what a message in OpenAI's form says, or a part of one."""
    words = [*_thoughts(message), *_text("thought", message, "thinking")]
    blocks = listed(get(message, "content"))
    words += [*_text("said", message, "content"), *(pair for block in blocks for pair in _block(block))]
    words += _text("said", message, "refusal")
    for called in (*listed(get(message, "tool_calls")), get(message, "function_call")):
        words += _called(called)
    return words


def _thoughts(holder: Any) -> list[tuple[Channel, str]]:
    return _text("thought", holder, *_REASONS)


def _called(call: Any) -> list[tuple[Channel, str]]:
    """Return the texts of a tool call in OpenAI's, Gemini's or LangChain's form. A dict of arguments becomes JSON."""
    inner = first(call, "function", "custom") or call
    arguments = first(inner, "arguments", "input", "args")
    if isinstance(arguments, Mapping):
        arguments = json.dumps(arguments, ensure_ascii=False, default=str)
    said = {"name": get(inner, "name"), "arguments": arguments}
    return [*_text("called", said, "name"), *_text("called", said, "arguments")]


def _block(block: Any) -> Iterator[tuple[Channel, str]]:
    kind = get(block, "type")
    if kind in ("text", "output_text", "refusal"):
        yield from _text("said", block, "text", "refusal")
    elif kind in ("reasoning", "thinking"):
        yield from _text("thought", block, "reasoning", "thinking")


def _text(channel: Channel, holder: Any, *names: str) -> list[tuple[Channel, str]]:
    text = first(holder, *(names or ("text",)))
    return [(channel, text)] if isinstance(text, str) and text else []


def _finish(reason: Any) -> str | None:
    """Return why the answer ended; ``"length"`` in all forms that mean a limit."""
    told = str(get(reason, "reason") or getattr(reason, "name", reason) or "").lower()
    # LangChain may join the reasons of several parts to "lengthlength", so only the beginning is compared.
    return "length" if told.startswith(("length", "max_tokens", "max_output_tokens", "limit")) else told or None
