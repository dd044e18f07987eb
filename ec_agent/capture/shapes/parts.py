"""Answers put together from their parts, and taken apart into their alternatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import Any, NamedTuple

from ec_agent.capture.shapes.alternatives import pick, split
from ec_agent.capture.shapes.closing import FINAL_EVENTS, ends
from ec_agent.capture.shapes.cumulative import added
from ec_agent.capture.shapes.doubled import once_in_all
from ec_agent.capture.shapes.ending import finished
from ec_agent.capture.shapes.messages import payload_of_message
from ec_agent.capture.shapes.payloads import Payload, payload_of_response
from ec_agent.capture.shapes.pieces import Said, joined
from ec_agent.capture.shapes.reading import first, get, listed
from ec_agent.capture.shapes.streamed import payload_of_stream
from ec_agent.capture.shapes.summed import MessageParts

# OpenAI's, Gemini's, llama.cpp's own; Ollama's own has none of these.
_ANSWERS = ("choices", "output", "candidates", "completion_probabilities")
_MESSAGES = {"AIMessage": "ai", "AIMessageChunk": "AIMessageChunk"}
_FIRST_EVENT = "response.created"


def is_response(thing: Any) -> bool:
    """Whether it looks like a whole answer of a provider."""
    return any(isinstance(get(thing, key), list) for key in _ANSWERS) or isinstance(get(thing, "eval_count"), int)


def plain_message(thing: Any) -> Any:
    """The message in LangChain's serial forms (``dumps``, ``messages_to_dict``); anything else as it is."""
    if not isinstance(thing, Mapping):
        return thing
    kwargs, data, name = thing.get("kwargs"), thing.get("data"), thing.get("type")
    if thing.get("lc") and isinstance(kwargs, Mapping):
        kind = next(iter(listed(thing.get("id"))[-1:]), None)
        return {"type": _MESSAGES.get(kind) if isinstance(kind, str) else None, **kwargs}
    if isinstance(data, Mapping) and isinstance(name, str) and "content" in data:
        return {"type": name, **data}
    return thing


def is_ai(message: Any) -> bool:
    """Whether it is an AI message of LangChain."""
    return get(message, "type") in ("ai", "AIMessageChunk")


def payloads_of_response(response: Any) -> list[Payload]:
    """A whole answer as its alternatives: OpenAI's ``choices``, Gemini's ``candidates``; the usage is that of all."""
    return _each(payload_of_response(response))


def _each(payload: Payload) -> list[Payload]:
    if len(payload.alternatives) < 2:
        return [payload]
    places = range(len(payload.alternatives))
    return [replace(pick(payload, place), beside=0, alternatives=()) for place in places]


class PartKey(NamedTuple):
    """What tells the parts of one answer from those of others.

    Attributes:
        kind: ``"chat"``, ``"text"`` (OpenAI's), ``"events"`` (of its Responses API), ``"gemini"``, ``"ollama"``,
            ``"llama.cpp"``, ``"message"`` (LangChain's chunks).
        name: the answer's id, where the parts have one.
    """

    kind: str
    name: str | None


def key_of(thing: Any) -> PartKey | None:
    """Which answer it is a part of; ``None`` for what is no part of a streamed answer."""
    kind, choices = get(thing, "object"), get(thing, "choices")
    if isinstance(choices, list):
        if kind == "text_completion":
            return PartKey("text", _name(thing, "id"))
        delta = any(get(choice, "delta") is not None for choice in choices)
        return PartKey("chat", _name(thing, "id")) if delta or kind in ("chat.completion.chunk", "") else None
    if isinstance(get(thing, "candidates"), list):
        return PartKey("gemini", _name(thing, "responseId", "response_id"))
    if str(get(thing, "type")).startswith("response."):
        return PartKey("events", None)
    if get(thing, "type") == "AIMessageChunk":  # without an id, it may be a whole answer that was streamed
        return PartKey("message", name) if (name := _name(thing, "id")) else None
    said = first(thing, "message", "response")
    if isinstance(get(thing, "done"), bool) and (isinstance(said, str) or get(said, "role") is not None):
        return PartKey("ollama", None)
    if isinstance(get(thing, "stop"), bool) and isinstance(get(thing, "content"), str):
        return PartKey("llama.cpp", None)
    return None


def _name(thing: Any, *names: str) -> str | None:
    name = first(thing, *names)
    return name if isinstance(name, str) and name else None


@dataclass(eq=False, slots=True)
class Stream:
    """The parts of one streamed answer, as far as they came.

    Attributes:
        key: what they have in common.
        parts: in their order.
        over: the places of the alternatives that have come to their end.
        last: what the latest part that ended one said.
        counted: whether a usage has come.
        size: of the parts, in bytes, where the reader says.
    """

    key: PartKey
    parts: list[Any] = field(default_factory=list)
    over: set[int] = field(default_factory=set)
    last: Any = None
    counted: bool = False
    size: int = 0

    def continued_by(self, part: Any) -> bool:
        """Whether it goes on with this: what has come to its end does not speak again."""
        kind = self.key.kind
        if kind in ("ollama", "llama.cpp"):
            return not self.over
        if kind == "events":
            return part == self.parts[-1] or (not self.over and get(part, "type") != _FIRST_EVENT)
        if kind == "gemini" and self.key.name is None and _asked(part) != _asked(self.parts[0]):
            return False
        if self.key.name is not None and self.last is not None and _content(kind, part) == self.last:
            return True  # it closes twice
        return not any(place in self.over and speaks for place, _, speaks in _said(kind, part))

    def add(self, part: Any, size: int = 0) -> None:
        """A part comes."""
        self.parts.append(part)
        self.size += size
        said = _said(self.key.kind, part)
        if ended := {place for place, ends, _ in said if ends}:
            self.over |= ended
            self.last = _content(self.key.kind, part) if len(self.parts) > 1 else None  # alone, it is a whole answer
        counts = first(part, "usage", "usageMetadata", "usage_metadata", "eval_count") is not None
        if counts and not self.counted and not said and finished(self.parts):  # it closes what has no reason to end
            self.over |= {place for each in self.parts for place, _, _ in _said(self.key.kind, each)}
        self.counted |= counts

    @property
    def empty(self) -> bool:
        """Whether nothing of an answer came: Azure begins its streams with such a part."""
        return self.key.kind == "chat" and not self.counted and not any(get(part, "choices") for part in self.parts)

    @property
    def doubtful(self) -> bool:
        """Whether nothing says that its parts belong together: whole answers may look so."""
        return self.key == PartKey("gemini", None) and not self.over

    def payloads(self) -> list[Payload]:
        """The answer; several where it has alternatives. One that broke off lacks a token at least.

        Gemini counts in each of its parts. Saved parts in which nothing is counted, and nothing ends, have lost both on
        their way: that they broke off is not known, so no token is missing that is known of.
        """
        found = self._payloads()
        if self.key.kind == "gemini" and not self.counted and not self.over and len(found) == 1:
            return found
        return [_lacking_its_end(payload) if payload.partial else payload for payload in found]

    def _payloads(self) -> list[Payload]:
        kind = self.key.kind
        if kind == "message":
            heard = MessageParts()
            for part in self.parts:
                heard.hear(part)
            told = [payload_of_message(part) for part in self.parts]
            return [heard.counted_once(_joined(told, summed=True))]
        if kind == "events":
            return [replace(payload_of_stream(self.parts), partial=not self.over)]
        if len(self.parts) == 1 and kind != "chat":
            return payloads_of_response(self.parts[0])
        if kind in ("chat", "text"):
            alone = zip(_each(payload_of_stream(self.parts)), split(self.parts), strict=True)
            over = finished(self.parts)
            return [replace(payload, partial=not (over or finished(parts))) for payload, parts in alone]
        each = [_added([payload_of_response(part) for part in parts]) for parts in split(self.parts)]
        found = self._lacking([_joined(payloads) for payloads in self._each_once(each)])
        places = sorted({place for part in self.parts for place, _, _ in _said(kind, part)})
        if len(places) != len(found):
            return [replace(payload, partial=not self.over) for payload in found]
        return [replace(one, partial=place not in self.over) for place, one in zip(places, found, strict=True)]

    def _all_tokens(self) -> int | None:
        """Generated tokens of all alternatives, by the latest part that counts them."""
        told = map(payload_of_response, reversed(self.parts))
        return next((each.tokens + each.beside for each in told if each.tokens), None)

    def _lacking(self, found: list[Payload]) -> list[Payload]:
        """Several answers, each with what it may lack of the tokens that are counted for all; one each is no gap."""
        counted = self._all_tokens() if len(found) > 1 else None
        missing = (counted or 0) - sum(len(each.entries) for each in found)
        if missing <= len(found):
            return found
        return [replace(each, tokens=len(each.entries) + ceil(missing / len(found))) for each in found]

    def _each_once(self, told: list[list[Payload]]) -> list[list[Payload]]:
        """The parts of each alternative, less those that came twice, by the count of all, or by that of each."""
        counted = self._all_tokens()
        came = sum(len(each.entries) for payloads in told for each in payloads)
        if counted is None or came == counted * len(told):
            return told
        kept = once_in_all([[list(each.entries) for each in payloads] for payloads in told], counted)
        return [
            [replace(each, entries=part) for each, part in zip(payloads, parts, strict=True)]
            for payloads, parts in zip(told, kept, strict=True)
        ]


def _added(payloads: list[Payload]) -> list[Payload]:
    """The parts of one answer, less what each repeats of those before."""
    tokens = next((each.tokens for each in reversed(payloads) if each.tokens), None)
    parts = added([list(each.entries) for each in payloads], tokens=tokens)
    return [replace(each, entries=part) for each, part in zip(payloads, parts, strict=True)]


def _lacking_its_end(payload: Payload) -> Payload:
    known = len(payload.entries)
    lacks = not known or (payload.tokens or 0) > known + 1  # with one token less, it would be taken for the end token
    return payload if lacks else replace(payload, tokens=known + 1, entries=[*payload.entries, None])


def _said(kind: str, part: Any) -> list[tuple[int, bool, bool]]:
    """Of each alternative in a part: its place, whether it ends, whether anything of it comes."""
    if kind in ("chat", "text"):
        return [(get(each, "index") or 0, ends(each), _speaks(each)) for each in listed(get(part, "choices"))]
    if kind == "gemini":
        return [
            (
                get(each, "index") or 0,
                bool(first(each, "finishReason", "finish_reason")),
                first(each, "logprobsResult", "logprobs_result", "content") is not None,
            )
            for each in listed(get(part, "candidates"))
        ]
    last = {
        "events": get(part, "type") in FINAL_EVENTS,
        "ollama": get(part, "done") is True,
        "llama.cpp": get(part, "stop") is True,
        "message": get(part, "chunk_position") == "last",
    }
    return [(0, last[kind], bool(get(part, "content")))]


def _content(kind: str, part: Any) -> Any:
    """What a part says, without its usage."""
    if kind in ("chat", "text"):
        return get(part, "choices")
    return [get(part, name) for name in ("content", "tool_call_chunks", "response_metadata", "candidates")]


def _speaks(choice: Any) -> bool:
    return bool(get(choice, "text") or get(choice, "delta", "content") or get(choice, "logprobs"))


def _asked(part: Any) -> tuple[Any, Any]:
    """What the parts of one answer of Gemini's share, where they have no id."""
    usage = first(part, "usageMetadata", "usage_metadata")
    return first(part, "modelVersion", "model_version"), first(usage, "promptTokenCount", "prompt_token_count")


def _joined(payloads: Sequence[Payload], *, summed: bool = False) -> Payload:
    """One answer out of parts that each tell their own tokens; the last usage is that of all, unless it is summed."""

    def told(name: str) -> Any:
        values = [value for each in payloads if (value := getattr(each, name)) is not None]
        return None if not values else sum(values) if summed else values[-1]

    return replace(
        payloads[-1],
        entries=[entry for each in payloads for entry in each.entries],
        tokens=told("tokens"),
        prompt_tokens=told("prompt_tokens"),
        cached_tokens=told("cached_tokens"),
        model=next((each.model for each in payloads if each.model), None),
        response=next((each.response for each in payloads if each.response), None),
        said=partial(_said_by_all, payloads),
    )


def _said_by_all(payloads: Sequence[Payload]) -> Said:
    return joined([each.said() for each in payloads if each.said is not None])


class Streams:
    """Parts of streamed answers, brought together as they come."""

    def __init__(self) -> None:
        self._latest: dict[PartKey, Stream] = {}

    def place(self, thing: Any, size: int = 0) -> tuple[Stream, bool] | None:
        """The answer that it is a part of, and whether that begins with it; ``None`` where it is no part."""
        thing = plain_message(thing)
        key = key_of(thing)
        if key is None:
            return None
        stream = self._latest.get(key)
        begins = stream is None or not stream.continued_by(thing)
        if stream is None or begins:
            stream = self._latest[key] = Stream(key)
        stream.add(thing, size)
        return stream, begins

    def forget(self, stream: Stream) -> None:
        """What comes from now on is of another answer."""
        if self._latest.get(stream.key) is stream:
            del self._latest[stream.key]
