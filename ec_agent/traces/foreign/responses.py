"""Saved responses of OpenAI and others, messages, bare entropies: whatever ``trajectory_of`` reads, one a record.

The parts of a streamed answer are one answer, whether they come as lines, as an array or as a record; the alternatives
in an answer are rollouts. Where a record is none of these, the answers in it are looked for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ec_agent.capture.shapes import (
    Payload,
    Stream,
    Streams,
    call_of,
    get,
    is_response,
    payloads_of_response,
)
from ec_agent.errors import LogprobsError
from ec_agent.evaluator import KEPT, trajectory_of
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.traces.foreign.base import ODD, Found, Reader
from ec_agent.traces.foreign.bounds import BoundError, Bounds
from ec_agent.traces.foreign.dropping import why_none
from ec_agent.traces.foreign.nested import answers_within
from ec_agent.traces.foreign.source import Source, Trouble, values

_NUMBER = int | float | None
_PATIENCE = 100  # records after which an answer that has ended is not waited for: its usage may come late
_MOST_DOUBTFUL = 16 << 20  # bytes


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    open_streams = _Open(source, trouble)
    for place, (where, record, size) in enumerate(values(source, trouble)):
        try:
            taken = open_streams.take(record, place, size)
            yield from open_streams.ended(place)
            if not taken:
                yield from _found(_name(record, place), _trajectories(record, source.bounds), record)
        except ODD as error:
            reason = None if isinstance(error, BoundError) else why_none(record)
            trouble(where, f"cannot be read: {reason or error}")
    yield from open_streams.rest()


def _name(record: Any, place: int) -> str:
    named = get(record, "custom_id") or get(record, "id")
    return str(named) if isinstance(named, str | int) else str(place)  # of LangChain's, an id may be a path


def _found(name: str, trajectories: list[Trajectory], record: Any) -> Iterator[Found]:
    several = len(trajectories) > 1
    for number, trajectory in enumerate(trajectories):
        bare = all(call.capability == "none" for call in trajectory.calls)
        lacking = why_none(record) if bare and record is not None else None
        yield Found(f"{name} choice {number}" if several else name, trajectory, lacking=lacking)


def _trajectories(record: Any, bounds: Bounds) -> list[Trajectory]:
    """The rollouts in a record: one, or each alternative in its only answer."""
    if (bare := _of_entropies(record)) is not None:
        return [bare]
    if is_response(record):
        return [_of(payload) for payload in payloads_of_response(record)]
    state = isinstance(get(record, "messages"), list)
    if state and isinstance(record, Mapping):  # beside an answer, they are what was asked
        answers = answers_within({name: value for name, value in record.items() if name != "messages"}, bounds)
    else:
        answers = [] if state or isinstance(record, list) else answers_within(record, bounds)
    if not answers:
        try:
            own = trajectory_of(record)
        except LogprobsError:
            if not (answers := answers_within(record, bounds)):
                raise
        else:
            if not all(call.capability == "none" for call in own.calls):
                return [own]
            if not (answers := answers_within(record, bounds)):
                return [own]
    if len(answers) == 1:
        return [_of(payload) for payload in answers[0].payloads]
    return [_of(*(answer.payloads[0] for answer in answers))]


def _of(*payloads: Payload) -> Trajectory:
    return Trajectory([call_of(payload, KEPT) for payload in payloads])


def _of_entropies(record: Any) -> Trajectory | None:
    if isinstance(record, dict) and "entropies" in record:
        record = record["entropies"]
        if not isinstance(record, list):
            raise LogprobsError(f"'entropies' is {type(record).__name__}; give a list of numbers, or of such lists")
    if isinstance(record, list) and record:
        if all(isinstance(item, _NUMBER) for item in record):
            return Trajectory.from_entropies(record)
        if all(isinstance(item, list) for item in record):
            return Trajectory.from_entropies(*record)
        if all(isinstance(item, dict) and "entropies" in item for item in record):
            return Trajectory.from_entropies(*(item["entropies"] for item in record))
    return None


@dataclass(slots=True)
class _Waiting:
    """A streamed answer of which more may come.

    Attributes:
        name: what its rollout is called.
        stream: what came.
        latest: the number of the record that came last.
    """

    name: str
    stream: Stream
    latest: int


@dataclass(slots=True)
class _Open:
    """The streamed answers of a file that are not over, in the order in which they began."""

    source: Source
    trouble: Trouble
    streams: Streams = field(default_factory=Streams)
    waiting: deque[_Waiting] = field(default_factory=deque)

    def take(self, record: Any, place: int, size: int) -> bool:
        """Whether it is a part of a streamed answer.

        Raises:
            BoundError: what came of that answer is too large.
        """
        placed = self.streams.place(record, size)
        if placed is None:
            return False
        stream, begins = placed
        if begins:
            self.waiting.append(_Waiting(stream.key.name or _name(record, place), stream, place))
        each = next(each for each in reversed(self.waiting) if each.stream is stream)
        each.latest = place
        try:
            self.source.bounds.check_size(stream.size)
        except BoundError:
            self.waiting.remove(each)
            self.streams.forget(stream)
            raise
        return True

    def ended(self, place: int) -> Iterator[Found]:
        """The rollouts of those of which no more will come, if they are the next in order.

        Args:
            place: the number of the record that came last.
        """
        while self.waiting and (self._over(self.waiting[0], place) or self._too_large()):
            yield from self._closed(self.waiting.popleft())

    def rest(self) -> Iterator[Found]:
        """The rollouts of all others: the file has ended."""
        while self.waiting:
            yield from self._closed(self.waiting.popleft())

    def _over(self, each: _Waiting, place: int) -> bool:
        silent = place - each.latest
        if each.stream.doubtful and (silent or each.stream.size > _MOST_DOUBTFUL):
            return True
        return bool(each.stream.over) and silent > (0 if each.stream.counted else _PATIENCE)

    def _too_large(self) -> bool:
        return len(self.waiting) > 1 and sum(each.stream.size for each in self.waiting) > self.source.bounds.most

    def _closed(self, each: _Waiting) -> Iterator[Found]:
        stream = each.stream
        self.streams.forget(stream)
        try:
            yield from self._rollouts(each.name, stream)
        except ODD as error:
            self.trouble(f"{self.source.label}, {each.name}", f"is a streamed answer that cannot be read: {error}")

    def _rollouts(self, name: str, stream: Stream) -> Iterator[Found]:
        if stream.doubtful:
            for number, part in enumerate(stream.parts):
                part_name = f"{name} part {number}" if len(stream.parts) > 1 else name
                yield from _found(part_name, [_of(payload) for payload in payloads_of_response(part)], part)
        elif not stream.empty:
            trajectories = [_of(payload) for payload in stream.payloads()]
            yield from _found(name, trajectories, stream.parts)


READER = Reader(
    name="responses",
    looks="JSON or JSONL: OpenAI's responses (Ollama's, Gemini's, llama.cpp's) or their streamed parts, Batch API "
    "output, messages, entropies",
    knows=lambda source: True,
    read=_read,
)
