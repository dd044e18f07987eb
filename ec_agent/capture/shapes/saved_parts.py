"""Joins saved parts to streamed answers, and splits answers into their alternatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import ceil
from typing import Any, NamedTuple

from ec_agent.capture.shapes.alternatives import pick, split
from ec_agent.capture.shapes.completeness import finished
from ec_agent.capture.shapes.cumulative_parts import added
from ec_agent.capture.shapes.end_reasons import FINAL_EVENTS, ends
from ec_agent.capture.shapes.messages import payload_of_message
from ec_agent.capture.shapes.payload import FACTS, Payload, last_known, total
from ec_agent.capture.shapes.pieces import Said, joined
from ec_agent.capture.shapes.repeated_parts import once_in_all
from ec_agent.capture.shapes.streamed_answers import payload_of_stream
from ec_agent.capture.shapes.summed_messages import MessageParts
from ec_agent.capture.shapes.values import first, get, listed
from ec_agent.capture.shapes.whole_answers import payload_of_response

_MESSAGES = {"AIMessage": "ai", "AIMessageChunk": "AIMessageChunk"}
_FIRST_EVENT = "response.created"


def plain_message(thing: Any) -> Any:
    """Return the message in a dict that LangChain's ``dumps`` or ``messages_to_dict`` made; other values unchanged."""
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
    """Tell whether a value is an AI message of LangChain, as an object or JSON."""
    return get(message, "type") in ("ai", "AIMessageChunk")


def payloads_of_response(response: Any) -> list[Payload]:
    """Read a whole answer as one payload per alternative (OpenAI's ``choices``, Gemini's ``candidates``)."""
    return _each(payload_of_response(response))


def _each(payload: Payload) -> list[Payload]:
    if len(payload.alternatives) < 2:
        return [payload]
    places = range(len(payload.alternatives))
    return [replace(pick(payload, place), beside=0, alternatives=()) for place in places]


class PartKey(NamedTuple):
    """Identifies the streamed answer that a part belongs to.

    Attributes:
        kind: ``"chat"`` and ``"text"`` (OpenAI), ``"events"`` (OpenAI's Responses API), ``"gemini"``, ``"ollama"``,
            ``"llama.cpp"``, or ``"message"`` (LangChain's chunks).
        name: id of the answer, or ``None`` if the parts have none.
    """

    kind: str
    name: str | None


def key_of(thing: Any) -> PartKey | None:
    """Return the key of the answer that a value is a part of, or ``None`` if it is not a part of a streamed answer."""
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
    """The parts of one streamed answer that came so far.

    Attributes:
        key: identifies the answer.
        parts: the parts, in order.
        over: indices of the alternatives that are complete.
        last: the content of the latest part that completed an alternative.
        counted: whether a usage came.
        size: size of all parts in bytes, if the reader says it.
    """

    key: PartKey
    parts: list[Any] = field(default_factory=list)
    over: set[int] = field(default_factory=set)
    last: Any = None
    counted: bool = False
    size: int = 0

    def continued_by(self, part: Any) -> bool:
        """Tell whether a part belongs to this answer. An alternative that is complete gets no further text."""
        kind = self.key.kind
        if kind in ("ollama", "llama.cpp"):
            return not self.over
        if kind == "events":
            return part == self.parts[-1] or (not self.over and get(part, "type") != _FIRST_EVENT)
        if kind == "gemini" and self.key.name is None and _asked(part) != _asked(self.parts[0]):
            return False
        if self.key.name is not None and self.last is not None and _content(kind, part) == self.last:
            return True  # the closing part came twice
        return not any(place in self.over and speaks for place, _, speaks in _said(kind, part))

    def add(self, part: Any, size: int = 0) -> None:
        """Add a part of ``size`` bytes, and decide which alternatives are complete now (``over``).

        An alternative is complete if the part says that it has ended. If nothing says so, the usage completes all: the
        first one, in a part without alternatives, that makes the parts ``finished``.
        """
        self.parts.append(part)
        self.size += size
        said = _said(self.key.kind, part)
        if ended := {place for place, ends, _ in said if ends}:
            self.over |= ended
            self.last = _content(self.key.kind, part) if len(self.parts) > 1 else None  # one part is a whole answer
        counts = first(part, "usage", "usageMetadata", "usage_metadata", "eval_count") is not None
        # A usage after all other parts completes an answer that has no finish_reason.
        if counts and not self.counted and not said and finished(self.parts):
            self.over |= {place for each in self.parts for place, _, _ in _said(self.key.kind, each)}
        self.counted |= counts

    @property
    def empty(self) -> bool:
        """Whether no piece of an answer came. Azure begins its streams with such a part."""
        return self.key.kind == "chat" and not self.counted and not any(get(part, "choices") for part in self.parts)

    @property
    def doubtful(self) -> bool:
        """Whether the parts may also be separate whole answers, because nothing says that they belong together."""
        return self.key == PartKey("gemini", None) and not self.over

    def payloads(self) -> list[Payload]:
        """Return the answer, one payload per alternative. An incomplete answer gets a gap of at least one token.

        One exception: Gemini puts a usage into each part. If saved parts have neither a usage nor a reason to end, both
        were lost when they were saved. Then nobody knows whether the answer is incomplete, and no gap is added.
        """
        found = self._payloads()
        if self.key.kind == "gemini" and not self.counted and not self.over and len(found) == 1:
            return found
        return [_lacking_its_end(payload) if payload.partial else payload for payload in found]

    def _payloads(self) -> list[Payload]:
        kind = self.key.kind
        if kind == "message":
            whole = MessageParts()
            for part in self.parts:
                whole.add(part)
            told = [payload_of_message(part) for part in self.parts]
            return [whole.counted_once(_joined(told, summed=True))]
        if kind == "events":
            return [replace(payload_of_stream(self.parts), partial=not self.over)]
        if len(self.parts) == 1 and kind != "chat":  # one such part has the form of a whole answer
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
        """Return the number of generated tokens of all alternatives, from the latest part that has it."""
        told = map(payload_of_response, reversed(self.parts))
        return next((each.tokens + each.beside for each in told if each.tokens), None)

    def _lacking(self, found: list[Payload]) -> list[Payload]:
        """Divide tokens that were counted, but did not come, among the alternatives. One for each is no gap."""
        counted = self._all_tokens() if len(found) > 1 else None
        missing = (counted or 0) - sum(len(each.entries) for each in found)
        if missing <= len(found):
            return found
        return [replace(each, tokens=len(each.entries) + ceil(missing / len(found))) for each in found]

    def _each_once(self, told: list[list[Payload]]) -> list[list[Payload]]:
        """Return the parts of each alternative without those that came twice."""
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
    """Return the parts of one answer, without the tokens that a part repeats from earlier parts."""
    tokens = next((each.tokens for each in reversed(payloads) if each.tokens), None)
    parts = added([list(each.entries) for each in payloads], tokens=tokens)
    return [replace(each, entries=part) for each, part in zip(payloads, parts, strict=True)]


def _lacking_its_end(payload: Payload) -> Payload:
    known = len(payload.entries)
    lacks = not known or (payload.tokens or 0) > known + 1  # a single missing token would be taken for the end token
    return payload if lacks else replace(payload, tokens=known + 1, entries=[*payload.entries, None])


def _said(kind: str, part: Any) -> list[tuple[int, bool, bool]]:
    """Return ``(index, whether it is complete, whether a piece of it came)`` for each alternative in a part."""
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
    """Return the content of a part, without its usage."""
    if kind in ("chat", "text"):
        return get(part, "choices")
    return [get(part, name) for name in ("content", "tool_call_chunks", "response_metadata", "candidates")]


def _speaks(choice: Any) -> bool:
    return bool(get(choice, "text") or get(choice, "delta", "content") or get(choice, "logprobs"))


def _asked(part: Any) -> tuple[Any, Any]:
    """Return the model and the size of the prompt, which identify an answer of Gemini whose parts have no id."""
    usage = first(part, "usageMetadata", "usage_metadata")
    return first(part, "modelVersion", "model_version"), first(usage, "promptTokenCount", "prompt_token_count")


def _joined(payloads: Sequence[Payload], *, summed: bool = False) -> Payload:
    """Join payloads of the parts of one answer.

    Args:
        payloads: the parts; each has only its own tokens.
        summed: whether to add up the counts. Otherwise the last count is that of the whole answer.
    """
    joins = {each.name: total if summed and each.requests is total else each.parts for each in FACTS}
    joins["tokens"] = total if summed else last_known
    told = {name: join([getattr(each, name) for each in payloads]) for name, join in joins.items() if join is not None}
    return replace(
        payloads[-1],
        entries=[entry for each in payloads for entry in each.entries],
        said=partial(_said_by_all, payloads),
        **told,
    )


def _said_by_all(payloads: Sequence[Payload]) -> Said:
    return joined([each.said() for each in payloads if each.said is not None])


class Streams:
    """Collects parts of several streamed answers, and assigns each part to its answer."""

    def __init__(self) -> None:
        self._latest: dict[PartKey, Stream] = {}

    def place(self, thing: Any, size: int = 0) -> tuple[Stream, bool] | None:
        """Add a part to its answer.

        Args:
            thing: the part, or any other value.
            size: its size in bytes, if the reader knows it.

        Returns:
            The answer, and whether this is its first part. ``None`` if the value is not a part of a streamed answer.
        """
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
        """End an answer: parts that come from now on belong to another one."""
        if self._latest.get(stream.key) is stream:
            del self._latest[stream.key]
