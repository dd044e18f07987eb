"""What an answer is told by, whatever becomes of the message that it came in.

A message may be copied, renamed, changed or sent through another process; the logprobs in it stay those of one answer.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from uuid import UUID

from ec_agent.capture.shapes import Payload, get, payload_of_message

_WIDTH = 8  # bytes a token in marks
_EDGE = 4 * _WIDTH

# LangChain names a message after the run that made it, unless the provider names it.
_RUN = re.compile(r"(?:lc_)?run--?([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})")


def marks_of(entries: Sequence[Any]) -> bytes:
    """What the tokens of an answer are told by, eight bytes each: their texts and logprobs, in this process."""
    return array("q", [_mark(entry) for entry in entries]).tobytes()


def _mark(entry: Any) -> int:
    if type(entry) is dict:
        token, logprob = entry.get("token"), entry.get("logprob")
    else:
        token, logprob = getattr(entry, "token", None), getattr(entry, "logprob", None)
    try:
        return hash((token, logprob if logprob == logprob else None))  # each NaN has a hash of its own
    except (TypeError, ValueError):  # whatever a server sent
        return hash((str(token), str(logprob)))


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a model, in few bytes: names stand for what they name in this process only.

    Attributes:
        length: how many tokens came with logprobs.
        digest: what these are told by together.
        first: what the first four of them are told by.
        last: what the last four of them are told by.
        response: stands for the provider's id of it.
        message: stands for the id of the message it came in.
        run: stands for the LangChain run that made that message, as far as its id tells.
        tokens: how many tokens it has, where reported.
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
        """What a payload is told by, and the message that it was read from."""
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
        """What the answer of a LangChain run is told by before any of it came."""
        return cls(run=hash(str(run)))

    @property
    def told(self) -> bool:
        """Whether anything says that a model made it: a text that code wrote has none of this."""
        return bool(self.length) or {self.tokens, self.response, self.run} != {None}

    def is_of(self, other: Answer) -> bool:
        """Whether it is that answer again, or a part of it, or that answer in a message that lost its logprobs."""
        for own, its in ((self.response, other.response), (self.run, other.run)):
            if own is not None and its is not None and own != its:
                return False
        if self.length and self.same(other):
            return True
        names = ((self.response, other.response), (self.message, other.message), (self.run, other.run))
        if not any(own is not None and own == its for own, its in names):
            return False
        # Under an old name there may be a new answer, which has tokens of its own.
        return not self.length or not other.length or self._cut_from(other)

    def same(self, other: Answer) -> bool:
        """Whether they have the same tokens with the same logprobs; true of two without any."""
        return (self.length, self.digest) == (other.length, other.digest)

    def _cut_from(self, other: Answer) -> bool:
        return self.length < other.length and (self.first == other.first or self.last == other.last)


@dataclass(frozen=True, slots=True)
class AnswerOfSeveral(Answer):
    """One of several answers to one request.

    Attributes:
        number: which, from 0.
        words: what stands for its text and its tool calls.
    """

    number: int = 0
    words: frozenset[int] = frozenset()


def choices_of(payload: Payload) -> list[AnswerOfSeveral]:
    """What each of several answers to one request is told by; none for a single one."""
    told = payload.alternatives if len(payload.alternatives) > 1 else ()
    return [
        replace(AnswerOfSeveral.of(each.payload), number=number, words=frozenset(map(hash, each.words)))
        for number, each in enumerate(told)
    ]


def answers_in(messages: Iterable[Any]) -> list[tuple[Any, Payload, Answer]]:
    """The messages that a model made, with what they hold and what they are told by."""
    found = []
    for message in messages:
        payload = payload_of_message(message)
        answer = Answer.of(payload, message)
        if answer.told or payload.model:
            found.append((message, payload, answer))
    return found


def made_of(whole: bytes, parts: Sequence[bytes]) -> list[int] | None:
    """Which of the parts, in their order, make the whole; ``None`` if none do."""
    lengths, digests = [len(part) for part in parts], [hash(part) for part in parts]
    return _made_of(whole, lengths, digests)


def put_together(entries: Sequence[Any], answers: Sequence[Answer]) -> bool:
    """Whether these token entries are those of several of the answers, in their order, one after the other."""
    lengths, digests = [answer.length * _WIDTH for answer in answers], [answer.digest for answer in answers]
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
    """Whether it is an AI message, as an object or as the dict that a server sends."""
    kind = message.get("type") if isinstance(message, Mapping) else getattr(message, "type", None)
    return kind in ("ai", "AIMessageChunk")
