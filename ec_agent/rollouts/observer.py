"""The one protocol for whoever wants to know what happens to a question; ``observing`` calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from langchain_core.runnables import RunnableConfig

from ec_agent.capture.calls import OpenCall, Request
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
        config: of the graph task that asks the question.
    """

    agent: str
    selector: str
    config: RunnableConfig

    @property
    def thread(self) -> str | None:
        """The thread that the graph around runs on."""
        thread = (self.config.get("configurable") or {}).get("thread_id")
        return None if thread is None else str(thread)


@dataclass(frozen=True, slots=True)
class AttemptId:
    """Which attempt at which rollout of the question something is about.

    Attributes:
        index: number of the rollout.
        round: which round it is in, from 0.
        attempt: how often this rollout of this round was begun before: by ``retry=``, or to carry its action out.
        acting: whether it carries the winner's action out.
    """

    index: int
    round: int
    attempt: int = 0
    acting: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice. Its parts are named as those of a ``BestOfNResult``.

    Attributes:
        selection: the receipt.
        trajectories: the LLM calls of every rollout, in index order.
        final_actions: the final action of every rollout, in index order; ``None`` for a failed one.
        records: what the rollouts left, in no order.
        config: of the graph task in which it was chosen.
    """

    selection: Selection
    trajectories: tuple[Trajectory, ...]
    final_actions: tuple[Any, ...]
    records: Sequence[Record]
    config: RunnableConfig


class Observer:
    """Hears what happens to one question. Derive from it and write the methods you need; each does nothing here.

    One is made for each question (``observing``). It is called where the thing happens: by rollouts side by side, in
    threads of a sync run, so it locks what it shares. What a method raises costs the run nothing: it is caught, told
    as a ``ProgressWarning``, and that observer is not called again.

    Attributes:
        may_raise: what it raises ends the question all the same, for its user has asked for that.
    """

    may_raise: ClassVar[bool] = False

    # The question

    def around_question(self) -> AbstractContextManager[None]:
        """Around everything that is done for the question; what it sets in the context holds in rollouts, too."""
        return nullcontext()

    def question_asked(self, name: str, n: int) -> None:
        """The question has a name, the same when it is resumed, and will be asked ``n`` times."""

    def question_waits(self, chosen: Chosen) -> None:
        """The question waits for a person, or at a breakpoint; it is told again where it is taken up there."""

    def question_over(self, chosen: Chosen) -> None:
        """The last choice of the question is made and acted upon; the receipt is whole."""

    def answer_written(self, known: Any, answer: Any) -> Plan[None] | None:
        """The graph around gets this, the winner's writes; ``known`` is what the agent was asked."""

    # What ``stop=`` says

    def wave_started(self, wave: int, round: int, indices: Sequence[int]) -> None:
        """With ``stop=``: these rollouts are about to start, as a wave of a round; both are counted from 0."""

    def enough_known(self, reason: str, started: int) -> None:
        """The plan says that enough is known, in these words, with so many rollouts of the round started."""

    # One attempt at a rollout

    def rollout_started(self, rollout: AttemptId) -> None:
        """An attempt begins; where ``rollout.attempt`` is above 0 the rollout begins again."""

    def around_rollout(self, rollout: AttemptId) -> AbstractContextManager[None]:
        """Around the agent's run; what it sets in the context holds in the agent."""
        return nullcontext()

    def rollout_ended(self, rollout: AttemptId, record: Record, failure: BaseException | None) -> None:
        """An attempt is over, with this record. It is not told of one that nobody waits for any more."""

    # Its LLM calls and tools

    def call_started(self, rollout: AttemptId, call: OpenCall, asked: Mapping[str, Any]) -> None:
        """An LLM call is made, with these parameters; ``call.counted`` says whether ``calls=`` counts it."""

    def call_streamed(self, rollout: AttemptId, call: OpenCall) -> None:
        """LangChain passed a part of a counted call's answer on: ``call.parts`` is how many so far."""

    def call_ended(self, rollout: AttemptId, call: OpenCall, requests: Sequence[Request], told_before: int) -> None:
        """An LLM call is over: ``call.done`` has its numbers, or ``None`` where it failed or only passed others' on.

        Args:
            rollout: whose it is.
            call: the call. A nested question's, and one found in messages, ends without having started.
            requests: the client's requests for it that were answered.
            told_before: how many of its tokens were told of already, as those of calls that it made.
        """

    def tool_started(self, rollout: AttemptId, run: UUID, name: str) -> None:
        """A LangChain tool runs."""

    def tool_ended(self, rollout: AttemptId, run: UUID, failed: bool) -> None:
        """A LangChain tool has returned or raised."""

    # The choice

    def around_choice(self) -> AbstractContextManager[None]:
        """Around the selector's work."""
        return nullcontext()

    def chosen(self, chosen: Chosen) -> Plan[None] | None:
        """One is chosen."""

    def commit_started(self, tool: str, key: str) -> None:
        """The winner's action, this tool, is about to be carried out with this idempotency key."""
