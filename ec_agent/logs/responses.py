"""Reads saved responses of OpenAI and other providers, messages, and bare entropies: all that ``trajectory_of`` reads.

Each record is a rollout. If an answer has alternatives (``n=2``), each of them is a rollout. The parts of a streamed
answer are joined to one answer, whether they are separate lines, an array, or one record. A record of another form is
searched for answers inside it.
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
    listed,
    payloads_of_response,
)
from ec_agent.errors import LogprobsError
from ec_agent.evaluator import KEPT, trajectory_of
from ec_agent.logs.asked import asked_of, earlier_of
from ec_agent.logs.base import ODD, Found, Reader
from ec_agent.logs.bounds import BoundError, Bounds
from ec_agent.logs.dropping import why_none
from ec_agent.logs.messages import is_conversation
from ec_agent.logs.nested import answers_within, unwrapped
from ec_agent.logs.source import Source, Trouble, values
from ec_agent.numbers.trajectory import Trajectory

_NUMBER = int | float | None
_LISTING = ("results", "rollouts", "samples", "rows")
"""Keys under which a document has a list, each element of which is a rollout."""

_PATIENCE = 100  # after an answer has ended, its token count may still follow; wait for this many records
_MOST_DOUBTFUL = 16 << 20  # bytes of a stream that may be no stream at all


def _read(source: Source, trouble: Trouble) -> Iterator[Found]:
    open_streams = _Open(source, trouble)
    for place, (where, record, size) in enumerate(values(source, trouble)):
        try:
            taken = open_streams.take(unwrapped(record, source.bounds), place, size)
            yield from open_streams.ended(place)
            if taken:
                continue
            parts = list(_parts(record, _name(record, place), source.bounds))
        except ODD as error:
            trouble(where, _why(error, record))
            continue
        for name, part in parts:
            try:
                yield from found_within(name, part, source.bounds)
            except ODD as error:
                trouble(where if part is record else f"{where}, {name}", _why(error, part))
    yield from open_streams.rest()


def _why(error: Exception, record: Any) -> str:
    reason = None if isinstance(error, BoundError) else why_none(record)
    return f"cannot be read: {reason or error}"


def _name(record: Any, place: int) -> str:
    named = get(record, "custom_id") or get(record, "id")
    return str(named) if isinstance(named, str | int) else str(place)  # LangChain has records whose id is a list


def _parts(record: Any, name: str, bounds: Bounds) -> Iterator[tuple[str, Any]]:
    """Yield the rollouts in a record that lists several.

    Such are a page of stored completions, a list of conversations, and a document with all results of an evaluation.
    """
    data = listed(get(record, "data"))
    if get(record, "object") == "list" and data:
        yield from ((_name(each, place), each) for place, each in enumerate(data))
    elif isinstance(record, list) and record and all(map(is_conversation, record)):
        yield from ((str(place), each) for place, each in enumerate(record))
    elif (rows := _rows(record)) and any(answers_within(each, bounds) for each in rows):
        yield from ((_name(each, place), each) for place, each in enumerate(rows))
    else:
        yield name, record


def _rows(record: Any) -> list[Any]:
    """Return the rows of a document that lists them under a name of ``_LISTING``, as promptfoo does two levels deep."""
    while isinstance(record, Mapping) and not is_response(record):
        record = next((record[name] for name in _LISTING if isinstance(record.get(name), Mapping | list)), None)
        if isinstance(record, list) and len(record) > 1 and all(isinstance(each, Mapping) for each in record):
            return record
    return []


def found_within(name: str, record: Any, bounds: Bounds) -> Iterator[Found]:
    """Yield the rollouts in a record: one for each alternative of its answer, or one with all of its answers.

    Raises:
        EcAgentError or one of ``ODD``: it has no answers that can be read.
    """
    return _found(name, _trajectories(record, bounds), record)


def _found(name: str, trajectories: list[Trajectory], record: Any) -> Iterator[Found]:
    several = len(trajectories) > 1
    asked, earlier = asked_of(record), earlier_of(record)
    for number, trajectory in enumerate(trajectories):
        bare = all(call.capability == "none" for call in trajectory.calls)
        lacking = why_none(record) if bare and record is not None else None
        yield Found(
            f"{name} choice {number}" if several else name,
            trajectory,
            lacking=lacking,
            asked=asked,
            earlier=earlier,
            record=record,
            line=True,
            alternative=number,
            request=name if several else None,
        )


def _trajectories(record: Any, bounds: Bounds) -> list[Trajectory]:
    """Return the rollouts in a record: each alternative if it has one answer, else one rollout of all answers."""
    if (bare := _of_entropies(record)) is not None:
        return [bare]
    if is_response(record):
        return [_of(payload) for payload in payloads_of_response(record)]
    state = isinstance(get(record, "messages"), list)
    if state and isinstance(record, Mapping):  # if the record also has an answer, its messages are what was asked
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
    """A streamed answer of which more parts may follow.

    Attributes:
        name: name of its rollout.
        stream: the parts so far.
        latest: number of the record with its last part so far.
    """

    name: str
    stream: Stream
    latest: int


@dataclass(slots=True)
class _Open:
    """The streamed answers of a file that are not complete yet, in the order in which they began."""

    source: Source
    trouble: Trouble
    streams: Streams = field(default_factory=Streams)
    waiting: deque[_Waiting] = field(default_factory=deque)

    def take(self, record: Any, place: int, size: int) -> bool:
        """Add a record to the streamed answer that it is a part of.

        Args:
            record: the JSON value of the record.
            place: number of the record in the file.
            size: its size in bytes.

        Returns:
            ``False`` if the record is not a part of a streamed answer.

        Raises:
            BoundError: the parts of that answer are too large together.
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
        """Yield the rollouts of answers that are complete, in the order in which they began.

        An answer waits for those that began before it.

        Args:
            place: number of the last record that was read.
        """
        while self.waiting and (self._over(self.waiting[0], place) or self._too_large()):
            yield from self._closed(self.waiting.popleft())

    def rest(self) -> Iterator[Found]:
        """Yield the rollouts of all remaining answers, because the file has ended."""
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
    knows=lambda source: True,
    read=_read,
)
