"""The protocol of observers: what they can be told of a question. ``observing`` is the module that calls them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from langchain_core.runnables import RunnableConfig

from ec_agent.capture.listeners import Came
from ec_agent.capture.open_calls import OpenCall
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.rollouts.record import Record
from ec_agent.rollouts.selection import Selection
from ec_agent.support.plans import Plan


@dataclass(frozen=True, slots=True)
class OpenedQuestion:
    """What is known of a question when it is opened.

    Attributes:
        agent: the agent's name.
        selector: the selector's name.
        config: the config of the graph task in which the question is asked.
    """

    agent: str
    selector: str
    config: RunnableConfig

    @property
    def thread(self) -> str | None:
        """The id of the thread on which the outer graph runs; ``None`` without one."""
        thread = (self.config.get("configurable") or {}).get("thread_id")
        return None if thread is None else str(thread)


@dataclass(frozen=True, slots=True)
class AttemptId:
    """Identifies one attempt at one rollout of a question.

    Attributes:
        index: number of the rollout, from 0.
        round: number of its round, from 0.
        attempt: how many attempts at this rollout came before in this round: earlier tries of ``retry=``, or the
            attempt whose action is now carried out.
        acting: whether it carries the winner's action out.
        agent: the name of the agent that it runs, where ``best_of_n`` has several; else ``None``.
    """

    index: int
    round: int
    attempt: int = 0
    acting: bool = False
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice. Its fields have the names of a ``BestOfNResult``'s.

    Attributes:
        selection: the receipt.
        trajectories: the LLM calls of every rollout, in index order.
        final_actions: the final action of every rollout, in index order; ``None`` for a failed one.
        records: the rollouts' records, in no particular order.
        config: the config of the graph task in which the choice was made.
    """

    selection: Selection
    trajectories: tuple[Trajectory, ...]
    final_actions: tuple[Any, ...]
    records: Sequence[Record]
    config: RunnableConfig


_as_of: ContextVar[float | None] = ContextVar("ec_agent_as_of", default=None)


def moment() -> float:
    """When it happened of which an observer is told now, in seconds since the epoch."""
    when = told_later()
    return time.time() if when is None else when


def told_later() -> float | None:
    """When it happened on a worker of which an observer is told now; ``None`` if it happens now, in this process."""
    return _as_of.get()


@contextmanager
def as_of(when: float) -> Iterator[None]:
    """Inside the ``with`` block, observers are told of something that happened earlier, on a worker."""
    token = _as_of.set(when)
    try:
        yield
    finally:
        _as_of.reset(token)


class Observer:
    """Base class of observers, which are told what happens to one question. Here every method does nothing.

    Derive a class and write the methods that you need. Each question gets an observer of its own (see ``observing``).
    Rollouts that run at the same time call it, in a sync run from several threads, so it must lock data that they
    share. An error in a method does not end the run: it becomes a ``ProgressWarning``, and the observer is not called
    again.

    Attributes:
        may_raise: whether an error of ``chosen`` or ``answer_written`` ends the question, because the user wants that.
        reads_calls: whether it reads what calls are asked and what they come back with. If no observer does, these do
            not come from rollouts on workers.
    """

    may_raise: ClassVar[bool] = False
    reads_calls: ClassVar[bool] = False

    # The question

    def around_question(self) -> AbstractContextManager[None]:
        """Return a context for everything that is done for the question. Rollouts inherit variables set in it."""
        return nullcontext()

    def question_asked(self, name: str, n: int) -> None:
        """The question is about to run ``n`` rollouts. Its name stays the same when it is resumed."""

    def question_waits(self, chosen: Chosen) -> None:
        """The question waits for a person's answer, or at a breakpoint. Called again when it is resumed there."""

    def question_over(self, chosen: Chosen) -> None:
        """The question is over: the last choice is made and its action carried out, and the receipt is complete."""

    def answer_written(self, known: Any, answer: Any) -> Plan[None] | None:
        """The winner's writes, ``answer``, are about to go to the outer graph; ``known`` is the agent's input."""

    # What ``stop=`` says

    def wave_started(self, wave: int, round: int, indices: Sequence[int]) -> None:
        """A wave of rollouts is about to start; only with ``stop=``. Waves and rounds are numbered from 0."""

    def enough_known(self, reason: str, started: int) -> None:
        """The plan given as ``stop=`` says that enough is known; ``started`` counts the round's rollouts so far."""

    # One attempt at a rollout

    def rollout_started(self, rollout: AttemptId) -> None:
        """An attempt at a rollout starts; if ``rollout.attempt`` is above 0, there was an earlier one."""

    def around_rollout(self, rollout: AttemptId) -> AbstractContextManager[None]:
        """Return a context for the agent's run. The agent inherits context variables set in it."""
        return nullcontext()

    def rollout_ended(self, rollout: AttemptId, record: Record, failure: BaseException | None) -> None:
        """An attempt is over, with this record. It is not told of one that nobody waits for any more."""

    # LLM calls and tools: of an attempt, or of no rollout, where a selector asks a model

    def call_started(self, rollout: AttemptId | None, call: OpenCall, asked: Mapping[str, Any]) -> None:
        """An LLM call starts.

        Args:
            rollout: the attempt that makes the call; ``None`` for a selector's call.
            call: the call; ``call.counted`` says whether ``calls=`` counts it.
            asked: the request's parameters, with its ``messages`` or ``prompt``.
        """

    def call_streamed(self, rollout: AttemptId | None, call: OpenCall) -> None:
        """A part of a streamed answer came through LangChain, for a call that counts; ``call.parts`` counts them."""

    def call_ended(self, rollout: AttemptId | None, call: OpenCall, came: Came, told_before: int) -> None:
        """An LLM call has ended.

        Args:
            rollout: the attempt that made the call; ``None`` for a selector's call.
            call: the call; ``call.done`` has its numbers, or is ``None`` if it failed or only passed on the answers of
                other calls. Calls of a nested question, and calls found in messages, end without having started.
            came: LangChain's result or error; of a call without LangChain, the client's requests that were answered.
            told_before: how many of its tokens were reported before, as tokens of calls made during it.
        """

    def tool_started(self, rollout: AttemptId | None, run: UUID, name: str) -> None:
        """A LangChain tool starts."""

    def tool_ended(self, rollout: AttemptId | None, run: UUID, failed: bool) -> None:
        """A LangChain tool has returned or raised."""

    # The choice

    def around_choice(self) -> AbstractContextManager[None]:
        """Return a context for the selector's work."""
        return nullcontext()

    def chosen(self, chosen: Chosen) -> Plan[None] | None:
        """A winner is chosen."""

    def commit_started(self, tool: str, key: str) -> None:
        """The winner's call of this tool is about to be carried out, with this idempotency key."""
