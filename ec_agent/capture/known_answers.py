"""Recognises an answer of a model again, even if its message was copied, renamed, changed or sent to another process.

An answer is identified by its logprobs, or else by the ids of the answer, of its message, or of the LangChain run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from uuid import UUID
from weakref import ref

from langchain_core.messages import AIMessage

from ec_agent.capture.made_later import LaterEntries
from ec_agent.capture.shapes import Payload, get, payload_of_message
from ec_agent.capture.shapes.marks import WIDTH, marks_of_entries
from ec_agent.capture.shapes.readings import ReadEntries

_EDGE = 4 * WIDTH

LOGPROBS = "logprobs"
"""The key under which a message has them in its ``response_metadata``."""

# LangChain makes the id of a message from the id of the run, unless the provider gives one.
_RUN = re.compile(r"(?:lc_)?run--?([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})")


def marks_of(entries: Sequence[Any]) -> bytes:
    """Return the marks of an answer; see ``shapes.marks``. If its entries were read before, the marks are known."""
    if isinstance(entries, LaterEntries):
        return entries.source.marks
    return entries.marks if isinstance(entries, ReadEntries) else marks_of_entries(entries)


@dataclass(frozen=True, slots=True)
class Answer:
    """What identifies one answer of a model, in few bytes. All values but the counts are hashes, or ``None``.

    Attributes:
        length: number of tokens that came with logprobs.
        digest: hash of the marks of these tokens.
        first: hash of the marks of the first four of them.
        last: hash of the marks of the last four of them.
        response: hash of the provider's id of the answer.
        message: hash of the id of its message.
        run: hash of the id of the LangChain run, if the id of the message shows it.
        tokens: number of tokens, if it was reported.
    """

    length: int = 0
    digest: int = 0
    first: int = 0
    last: int = 0
    response: int | None = None
    message: int | None = None
    run: int | None = None
    tokens: int | None = None

    @classmethod
    def of(cls, payload: Payload, message: Any = None) -> Self:
        """Return what identifies a payload and the message that it was read from."""
        name = get(message, "id")
        made_by = _RUN.match(name) if isinstance(name, str) else None
        marks = marks_of(payload.entries)
        return cls(
            length=len(payload.entries),
            digest=hash(marks),
            first=hash(marks[:_EDGE]),
            last=hash(marks[-_EDGE:]),
            response=None if payload.response is None else hash(payload.response),
            message=hash(name) if isinstance(name, str) else None,
            run=None if made_by is None else hash(made_by[1]),
            tokens=payload.tokens,
        )

    @classmethod
    def of_run(cls, run: UUID) -> Answer:
        """Return what identifies the answer of a LangChain run before any part of it came."""
        return cls(run=hash(str(run)))

    @property
    def told(self) -> bool:
        """Whether anything shows that a model made it. A message that code wrote has no logprobs, usage or ids."""
        return bool(self.length) or {self.tokens, self.response, self.run} != {None}

    def is_of(self, other: Answer) -> bool:
        """Tell whether this is the other answer, or a part of it, or the other in a message that lost its logprobs."""
        for own, its in ((self.response, other.response), (self.run, other.run)):
            if own is not None and its is not None and own != its:
                return False  # equal tokens with different ids: a model may give the same short answer twice
        if self.length and self.same(other):
            return True
        names = ((self.response, other.response), (self.message, other.message), (self.run, other.run))
        if not any(own is not None and own == its for own, its in names):
            return False
        # Code may put a new answer into a message with an old id. It then has other tokens.
        return not self.length or not other.length or self._cut_from(other)

    def same(self, other: Answer) -> bool:
        """Tell whether two answers have the same tokens with the same logprobs. True also if both have none."""
        return (self.length, self.digest) == (other.length, other.digest)

    def _cut_from(self, other: Answer) -> bool:
        return self.length < other.length and (self.first == other.first or self.last == other.last)


@dataclass(frozen=True, slots=True)
class AnswerOfSeveral(Answer):
    """What identifies one of several answers to one request.

    Attributes:
        number: index of the answer, from 0.
        words: hashes of its text and of the ids of its tool calls.
    """

    number: int = 0
    words: frozenset[int] = frozenset()


def choices_of(payload: Payload) -> list[AnswerOfSeveral]:
    """Return what identifies each of several answers to one request. Empty if there is only one."""
    told = payload.alternatives if len(payload.alternatives) > 1 else ()
    return [
        replace(AnswerOfSeveral.of(each.payload), number=number, words=frozenset(map(hash, each.words)))
        for number, each in enumerate(told)
    ]


class Returned:
    """The messages that LangChain's models returned, with what identifies them. Most of them are written unchanged."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[ref[Any], tuple[Any, ...], Answer]] = {}

    def note(self, message: Any, answer: Answer) -> None:
        """Note a message as it is now. It is not kept alive, and nothing is kept of it once it is gone."""
        if (state := _state(message)) is not None and (state[1] or not answer.length):
            place, known = id(message), self._known
            known[place] = ref(message, lambda _: known.pop(place, None)), state, answer

    def answer(self, message: Any) -> Answer | None:
        """Return what identifies a message, if it is one of them and still has its id, logprobs and usage."""
        held, state, answer = self._known.get(id(message), (None, None, None))
        return answer if held is not None and held() is message and _state(message) == state else None

    def clear(self) -> None:
        """Forget all messages."""
        self._known.clear()


def _state(message: Any) -> tuple[Any, ...] | None:
    """Return what ``Answer.of`` goes by, by identity. ``None`` for what is no message object."""
    if not isinstance(message, AIMessage):
        return None
    logprobs = message.response_metadata.get(LOGPROBS)
    return (
        message.id,
        0 if logprobs is None else id(logprobs),
        id(message.usage_metadata),
        len(message.response_metadata),
    )


def answers_in(messages: Iterable[Any]) -> list[tuple[Any, Payload, Answer]]:
    """Return the messages that a model made, each with its payload and what identifies it."""
    found = []
    for message in messages:
        if _written_by_code(message):
            continue
        payload = payload_of_message(message)
        answer = Answer.of(payload, message)
        if answer.told or payload.model:
            found.append((message, payload, answer))
    return found


def _written_by_code(message: Any) -> bool:
    """Tell whether nothing in a message object can show that a model made it: no metadata, no usage, no id of a run."""
    if not isinstance(message, AIMessage) or message.response_metadata or message.usage_metadata is not None:
        return False
    return not (isinstance(message.id, str) and _RUN.match(message.id))


def made_of(whole: bytes, parts: Sequence[bytes]) -> list[int] | None:
    """Find parts whose marks, joined in order, are the marks of the whole.

    Args:
        whole: the marks of an answer.
        parts: the marks of answers that may be parts of it.

    Returns:
        The indices of the parts, or ``None`` if no choice of them makes the whole.
    """
    lengths, digests = [len(part) for part in parts], [hash(part) for part in parts]
    return _made_of(whole, lengths, digests)


def put_together(entries: Sequence[Any], answers: Sequence[Answer]) -> bool:
    """Tell whether these entries are those of two or more of the answers, one after the other."""
    lengths, digests = [answer.length * WIDTH for answer in answers], [answer.digest for answer in answers]
    return len(_made_of(marks_of(entries), lengths, digests) or ()) > 1


def _made_of(whole: bytes, lengths: Sequence[int], digests: Sequence[int]) -> list[int] | None:
    reached: dict[int, list[int]] = {0: []}
    for place, (length, digest) in enumerate(zip(lengths, digests, strict=True)):
        for start, way in list(reached.items()):
            end = start + length
            if length and end <= len(whole) and end not in reached and hash(whole[start:end]) == digest:
                reached[end] = [*way, place]
    return reached.get(len(whole))


def is_answer(message: Any) -> bool:
    """Tell whether a value is an AI message, as an object or as the dict that a server sends."""
    kind = message.get("type") if isinstance(message, Mapping) else getattr(message, "type", None)
    return kind in ("ai", "AIMessageChunk")
