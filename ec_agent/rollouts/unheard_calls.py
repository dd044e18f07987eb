"""Find the model calls that our callbacks did not hear, by the messages that they left in the agent's writes.

A call is not heard if it is made in another process, or in a thread without our context. A message with logprobs, or
with another sign that a model made it, stands for a call. Most such messages belong to calls that were heard. Each of
the others counts as one more call, at its place among those that were heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig

from ec_agent.capture.filters import CallInfo
from ec_agent.capture.known_answers import Answer, AnswerOfSeveral, answers_in, put_together
from ec_agent.capture.recorder import Recorder
from ec_agent.capture.shapes import Payload, may_be_summed, payload_of_message, words_of
from ec_agent.insides.langgraph import PUSH, RETURN, own_tags
from ec_agent.rollouts.messages import answers_within

_NOTED = ("unplaced", "repeated", "unmeasured", "summed", "silent", "several", "chosen", "mixed")
_BEFORE = -1.0
"""Stands for the place of a message that was there before the rollout began."""


@dataclass(slots=True)
class _Task:
    """A task of the agent's graph.

    Attributes:
        name: the node's name.
        order: sorts the tasks of one step, as LangGraph does.
        since: when it started, on the recorder's clock.
        said: the messages it wrote that a model has made, with their payloads and answers.
        messages: the AI messages that it wrote.
        written: all that it wrote, by state key.
    """

    name: str
    order: tuple[int, Any]
    since: float
    said: Sequence[tuple[Any, Payload | None, Answer]] = ()
    messages: Sequence[Any] = ()
    written: Any = ()


@dataclass(frozen=True, slots=True)
class _New:
    """An answer from a call that was not heard."""

    task: _Task
    message: Any
    read: Payload | None
    answer: Answer

    @property
    def payload(self) -> Payload:
        """The message's payload."""
        return payload_of_message(self.message) if self.read is None else self.read


@dataclass(slots=True)
class Unheard:
    """Finds a rollout's calls that were not heard, step by step, and adds them to its recorder.

    Args:
        recorder: the rollout's recorder.
        known: the agent's input. Messages in it are older than the rollout, so they stand for no call of it.
        config: the config of the task in which the rollout runs.
    """

    recorder: Recorder
    known: Any
    config: RunnableConfig
    _before: list[Answer] | None = None
    _parked: list[Answer] = field(default_factory=list)
    _tasks: dict[str, _Task] = field(default_factory=dict)
    _ended: list[_Task] = field(default_factory=list)
    _seen: dict[int, tuple[Any, float]] = field(default_factory=dict)
    _taken: list[tuple[float, _New]] = field(default_factory=list)
    _went_on: dict[float, set[int]] = field(default_factory=dict)
    _unplaced: int = 0
    _repeated: int = 0

    def resumed(self, parked: Any) -> None:
        """Note the messages of a parked rollout that now goes on: their calls were counted before the pause."""
        self._parked += [answer for _, _, answer in _said_in(parked)]

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in an event of the agent's ``tasks`` stream: a task starts, or has a result."""
        if "triggers" in event:
            pushed = tuple(event["triggers"]) == (PUSH,)
            order = (1, len(self._tasks)) if pushed else (0, event["name"])
            self._tasks[event["id"]] = _Task(event["name"], order, self.recorder.now())
        elif (task := self._tasks.pop(event["id"], None)) is not None:
            result = event.get("result") or {}
            written = {key: value for key, value in result.items() if key != RETURN}
            messages = list(answers_within(written))
            task.said, task.messages, task.written = self._said(messages), messages, written
            self._ended.append(task)

    def _said(self, messages: Sequence[Any]) -> list[tuple[Any, Payload | None, Answer]]:
        """Return the messages that a model made. One that a model has just returned here need not be read again."""
        found: list[tuple[Any, Payload | None, Answer]] = []
        for message in messages:
            if (answer := self.recorder.returned.answer(message)) is not None and answer.told:
                found.append((message, None, answer))
            else:
                found += answers_in([message])
        return found

    def settle(self) -> None:
        """Count the calls behind the messages of a finished step.

        Raises:
            Exception: whatever ``Recorder.end`` raises, for example because a limit was reached.
        """
        ended, self._ended = sorted(self._ended, key=lambda task: task.order), []
        self._count(ended)

    def finish(self, left: Any) -> None:
        """Count the calls behind messages that are not among the writes, after the rollout's end.

        Such messages are left by a step that did not finish.

        Raises:
            Exception: as ``settle``.
        """
        self.settle()
        open_tasks = list(self._tasks.values())
        name = open_tasks[0].name if open_tasks else ""
        since = min((task.since for task in open_tasks), default=self.recorder.now())
        messages = list(answers_within(left))
        if messages or self.recorder.call_list.brought_several():
            self._count([_Task(name, (0, ""), since, answers_in(messages), messages, left)])

    def _count(self, tasks: Sequence[_Task]) -> None:
        if self.recorder.call_list.brought_several():
            self._choose([each for task in tasks for each in (*task.messages, *_texts_in(task.written))])
        new: list[_New] = []
        found: list[tuple[_New | None, float]] = []
        took_part: set[int] = set()
        for task in tasks:
            for message, payload, answer in task.said:
                each = _New(task, message, payload, answer)
                place = self._place(each, new)
                if place is None:
                    new.append(each)
                    found.append((each, 0.0))
                elif place >= task.since:
                    found.append((None, place))
                else:
                    continue
                took_part.add(id(task))
        if not new:
            return
        since = min(task.since for task in tasks)
        others = self.recorder.call_list.places()
        while found:
            waiting = []
            while found and (first := found[0][0]) is not None:
                waiting.append(first)
                found.pop(0)
            until = found.pop(0)[1] if found else None
            self._unplaced += len(waiting) if len(took_part) > 1 or _between(others, since, until) else 0
            for number, each in enumerate(waiting, start=1):
                place = self.recorder.now() if until is None else until - 1 + number / (len(waiting) + 1)
                self._take(each, place)
            since = since if until is None else max(since, until)

    def _choose(self, written: Sequence[Any]) -> None:
        """Find out which answer the agent used, where a request had several (``n > 1``): only that one counts.

        What the agent wrote shows it. If it shows nothing, or more than one, the first answer counts.
        """
        several = [
            (place, answer)
            for place, answer in self.recorder.call_list.answers()
            if isinstance(answer, AnswerOfSeveral)
        ]
        before = {hash(word) for message in answers_within(self.known) for word in words_of([message])}
        for each in written:
            text = isinstance(each, str)
            answer = Answer() if text else Answer.of(payload_of_message(each), each)
            words = frozenset(map(hash, [each.strip()] if text else words_of([each]))) - before
            fitting: dict[float, list[int]] = {}
            for place, other in several:
                if answer.same(other) if answer.length else words & other.words:
                    fitting.setdefault(place, []).append(other.number)
            for place, choices in fitting.items():
                self._went_on.setdefault(place, set()).add(min(choices))
        for place, chosen in self._went_on.items():
            self.recorder.choose(place, min(chosen) if len(chosen) == 1 else 0)

    def _place(self, each: _New, new: Sequence[_New]) -> float | None:
        """Return the place of the call that gave this answer; ``None`` where that call is not known yet."""
        if (seen := self._seen.get(id(each.message))) is not None:
            return seen[1]
        place = self._known_place(each, new)
        # Keep the message: if it were freed, a new object could get the same id().
        self._seen[id(each.message)] = each.message, _BEFORE if place is None else place
        return place

    def _known_place(self, each: _New, new: Sequence[_New]) -> float | None:
        answer = each.answer
        heard = [*self.recorder.call_list.answers(), *((place, other.answer) for place, other in self._taken)]
        heard += [(_BEFORE, other.answer) for other in new]
        if (place := next((place for place, other in heard if answer.is_of(other)), None)) is not None:
            self._repeated += any(_may_be_two(each, other) for other in (*new, *(taken for _, taken in self._taken)))
            return place
        before = [*self._old(), *self.recorder.known]
        if any(answer.is_of(other) for other in before):
            return _BEFORE
        others = [other for _, other in heard]
        if answer.length:
            return _BEFORE if put_together(each.payload.entries, [*before, *others]) else None
        return _BEFORE if _may_be_heard(answer, [*before, *others]) else None

    def _old(self) -> list[Answer]:
        if self._before is None:
            self._before = [answer for _, _, answer in _said_in(self.known)]
        return [*self._before, *self._parked]

    def _take(self, each: _New, place: float) -> None:
        metadata = {**(self.config.get("metadata") or {}), "langgraph_node": each.task.name}
        name = each.task.name
        info = CallInfo(name, (name,), tuple(own_tags(self.config)), metadata)
        self._seen[id(each.message)] = each.message, place
        self._taken.append((place, each))
        self.recorder.take(each.payload, info, place)

    def facts(self) -> dict[str, int]:
        """Return whether any call was made, and the counts behind the receipt's warnings about calls not heard."""
        taken = [each for _, each in self._taken]
        facts = {
            "unheard": len(taken),
            "unplaced": self._unplaced,
            "repeated": self._repeated,
            "unmeasured": sum(not each.payload.entries for each in taken),
            "summed": sum(bool(may_be_summed(each.payload, each.message)) for each in taken),
            "silent": self.recorder.remotes > 0 and not taken,
            "chosen": sum(len(chosen) == 1 for chosen in self._went_on.values()),
        }
        some = {name: count for name, count in facts.items() if count}
        return {"asked": self.recorder.started_calls() + self.recorder.remotes > 0, **some}


def _said_in(value: Any) -> list[tuple[Any, Payload, Answer]]:
    return answers_in(answers_within(value))


def _texts_in(written: Any, depth: int = 3) -> Iterator[str]:
    """Yield the texts in a write, also those in lists and dicts up to some depth."""
    if isinstance(written, str):
        yield written
    elif isinstance(written, Mapping | list | tuple) and depth:
        for each in written.values() if isinstance(written, Mapping) else written:
            yield from _texts_in(each, depth - 1)


def _between(places: Iterable[float], since: float, until: float | None) -> bool:
    return any(since < place and (until is None or place < until) for place in places)


def _may_be_two(one: _New, other: _New) -> bool:
    """Whether two messages with equal content may come from two calls: neither has an id from the model or server.

    LangGraph's state gives ids to messages without one, so different ids do not mean different calls.
    """
    named = (one.answer.run, one.answer.response, other.answer.run, other.answer.response)
    if one.message is other.message or one.answer.message == other.answer.message or any(named):
        return False
    return one.answer.same(other.answer) and _said(one.message) == _said(other.message)


def _may_be_heard(answer: Answer, heard: Sequence[Answer]) -> bool:
    """Whether a message without logprobs may come from a call that was heard, judged by ids and token counts."""
    if answer.run is not None or not heard:
        return False
    if answer.response is not None and all(other.response is not None for other in heard):
        return False
    counts = [other.tokens for other in heard if other.tokens is not None]
    return answer.tokens is None or answer.tokens in (*counts, sum(counts))


def _said(message: Any) -> Any:
    return message.get("content") if isinstance(message, Mapping) else message.content


def notes_of(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the receipt's warnings about calls that were not heard.

    Args:
        facts: the facts of each rollout that ended without an error.
    """
    counts = {name: sum(each.get(name, 0) for each in facts) for name in _NOTED}
    notes = []
    if counts["unplaced"]:
        notes.append(
            f"the place of {counts['unplaced']} calls is not known: ec_agent could not hear them, and they ran beside "
            "others, so they stand where the graph received their messages; make them in nodes of their own, one after "
            "the other"
        )
    if counts["repeated"]:
        notes.append(
            f"{counts['repeated']} messages have the same content as another message, and count as one call with it; "
            "if they come from different calls, keep the ids that the model or its server gave the messages"
        )
    if counts["unmeasured"]:
        notes.append(
            f"{counts['unmeasured']} messages came without logprobs from calls that ec_agent could not hear, so their "
            "tokens count as gaps; have the other side return logprobs in response_metadata, or leave the node out of "
            "calls="
        )
    if counts["summed"]:
        notes.append(
            f"the usage of {counts['summed']} messages is a whole multiple of the tokens that came with logprobs. "
            "LangChain may have added up a usage that a stream reports several times. The surplus counts as gaps; have "
            "the other side answer without streaming, and compare"
        )
    if counts["silent"]:
        notes.append(
            f"{counts['silent']} rollouts called a RemoteGraph that returned no message of a model, so what its models "
            "generated is not on the timeline; have it return its messages, with their logprobs"
        )
    if counts["several"]:
        notes.append(
            f"{counts['several']} calls returned several answers each (n > 1), of which one counts: in "
            f"{counts['chosen']} calls the answer that the agent used, in the rest the first answer, because it is not "
            "known which one was used. The other answers are paid for but on no timeline; ask for one answer a call"
        )
    if counts["mixed"]:
        notes.append(
            f"in {counts['mixed']} streamed calls LangChain mixed several answers into one message, so the answer that "
            "the agent used has no timeline of its own; ask for one answer a call, or do not stream"
        )
    return notes
