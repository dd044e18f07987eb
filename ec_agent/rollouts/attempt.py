"""One try of a rollout: what is known of it while it runs. ``running`` runs it, ``ending`` puts its end on record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NotRequired

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from typing_extensions import TypedDict

from ec_agent.capture.asked import RequestSettings
from ec_agent.capture.kept import Kept
from ec_agent.capture.recorder import Recorder, current_recorder
from ec_agent.commits.committing import CommitGate, Planned
from ec_agent.commits.gate import STOPPED, Done, RolloutGate, current_gate
from ec_agent.commits.undeclared import Ran
from ec_agent.insides.executors import NOBODY, RolloutLeft, executors_here
from ec_agent.insides.langgraph import INTERRUPT, is_breakpoint
from ec_agent.rollouts import langsmith
from ec_agent.rollouts.cancelling import Brake
from ec_agent.rollouts.limits import Budget, Limits, Meter, bounded
from ec_agent.rollouts.messages import MessagesSeen
from ec_agent.rollouts.pausing import question_of
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import End
from ec_agent.rollouts.store import StoreOverlay
from ec_agent.rollouts.unheard import Unheard
from ec_agent.rollouts.whole_states import Within
from ec_agent.rollouts.writes import WriteLog
from ec_agent.support.plans import Step


class Start(TypedDict):
    """Where a rollout begins.

    Attributes:
        index: number of the rollout.
        round: which round this is, from 0.
        thread: where the rollout it goes on from is parked; it begins afresh without one.
        answers: to the interrupts that one stopped at, by their ids.
        all: whether all rollouts go on with them, not the winner alone.
        earlier: the answers to those before, in their order, where it begins again with each of its questions.
        done: what it carried out before.
        anew: the keys that it overwrote before.
        wave: in which wave it is started, from 0; left out in the first.
    """

    index: int
    round: int
    thread: NotRequired[str | None]
    answers: NotRequired[dict[str, Any] | None]
    all: NotRequired[bool]
    earlier: NotRequired[list[dict[str, Any]]]
    done: NotRequired[list[Done]]
    anew: NotRequired[list[str]]
    wave: NotRequired[int]


class Attempt:
    """One try of a rollout while it runs.

    Args:
        question: the question that the rollouts answer.
        start: where it begins.
        config: the config of the task it runs in.
        calls: the calls it carries out, to go no further; without, it stops at the first that commits.
        ran: where the undeclared tools that it runs are noted, with those of its other attempts.
        brake: stops it once enough is known, if anything does.
    """

    def __init__(
        self,
        question: Question,
        start: Start,
        config: RunnableConfig,
        calls: Mapping[str, Planned] | None = None,
        ran: Ran | None = None,
        brake: Brake | None = None,
    ) -> None:
        options = question.options
        self.question, self.start, self.config = question, start, config
        self.index = start["index"]
        self.answers = [*(start.get("earlier") or []), start.get("answers")]
        self.saver: InMemorySaver | None = None
        self.thread = question.thread(start["round"], self.index)
        self.ran = ran or Ran(self.thread)
        self._asking: list[AIMessage] = []
        self.gate = self._new_gate()
        self.committing = CommitGate(calls, question.once, self.gate) if calls is not None else None
        # What was decided is carried out, however long that takes.
        self.executors = question.executors if calls is None else NOBODY
        self.left = self.broken_off = False
        self.halts = [self._stop_if_left, (self.committing or self.gate).halt]
        limits, budget = (options.limits, question.budget) if calls is None else (Limits(), Budget(None))
        self.brake = brake
        self.meter = Meter(limits, budget, self.halts, current_recorder.get())
        self.langsmith = langsmith.place_of(config)
        self.recorder = self._new_recorder()
        if brake is not None:
            self.halts.insert(1, brake.check)
            brake.heed(self.recorder.tools)
        self.told = question.told.rollout(self.index, start["round"], acting=calls is not None)
        if self.told.calls:
            self.recorder.told = self.told
        self.log = WriteLog()
        self.unheard = Unheard(self.recorder, question.known, config)
        self.final: Any = None
        self.settled: Any = None
        self.said = MessagesSeen()
        resumed = start.get("thread") is not None
        self.within = Within(question.known, resumed) if question.agent.is_function else None
        self.command: Any = None
        self.paused = False  # at a breakpoint
        self.error: Exception | None = None
        self.store = StoreOverlay(question.outer_store) if question.outer_store is not None else None
        self.held = question.held.get(start.get("thread") or "", {})
        self.late = False
        self.started = time.perf_counter()

    def _new_gate(self) -> RolloutGate:
        question = self.question
        done, outcome = self.start.get("done") or [], question.once.outcome
        return RolloutGate(
            question.policy, self._asking, current_gate.get(), question.seen, done=done, outcome=outcome, ran=self.ran
        )

    def _new_recorder(self) -> Recorder:
        options = self.question.options
        return Recorder(
            self.index,
            signals=options.signals,
            calls=options.calls,
            kept=Kept(options.keep_text, options.keep_candidates),
            requests=RequestSettings(options.sampling_of(self.index), options.request_logprobs, options.keep_logprobs),
            raise_on_missing=options.on_missing == "raise",
            guard=self.meter,
            asking=self._asking,
        )

    def _stop_if_left(self) -> None:
        """Make no further call where nobody waits for it."""
        self.left = self.left or self.executors.left
        if self.left or self.broken_off or executors_here().interrupted:
            raise RolloutLeft

    @property
    def cancelled(self) -> bool:
        """Whether it is to go no further, for enough is known."""
        return self.brake is not None and self.brake.pulled

    def bounded(self, step: Step) -> Step:
        """The step within its time, and, in an async run, no longer than it is to go on."""
        return bounded(step if self.brake is None else self.brake.stopping(step), self.meter)

    @property
    def graph(self) -> Any:
        """The agent as a graph that is streamed, with its store and its saver."""
        question = self.question
        return question.agent.graph(self.store, self.saver, lasting=question.root and question.memory is not None)

    def hear(self, *found: Any) -> bool:
        """One part of the agent's stream, of a graph within it too; whether to go on listening."""
        *place, mode, part = found
        if place and place[0]:
            if self.within is not None:
                self.within.hear(place[0], mode, part)
            return not self.log.over
        if self.gate.proposal is not None:
            self.log.stop(self.gate.proposal.task.split("|")[0].rpartition(":")[2])
        if mode == "tasks":
            self.log.hear(part)
            self.unheard.hear(part)
        elif mode == "updates":
            if is_breakpoint(part):
                self.paused, self.log.split = True, self.log.split or self.log.running
        elif not self.log.over:
            self.unheard.settle()
            self.final = part
            self.said.hear(part)
            # Else the stream ends with a look at what the others have written.
            if not (self.log.split or self.log.running):
                self.settled = part
                if INTERRUPT not in part:
                    self.log.applied()
        return not self.log.over

    @property
    def failure(self) -> Exception | None:
        """What it failed with, whether or not the agent caught it."""
        if self.committing is not None and self.committing.failure is not None:
            return self.committing.failure
        if self.recorder.failure is not None:
            return self.recorder.failure
        return self.meter.timeout() if self.late else self.error

    @property
    def pauses(self) -> bool:
        """Whether it stopped at a breakpoint. After the last node a graph that stands alone is done all the same."""
        if not self.paused or not self.question.root:
            return self.paused
        return bool(self.graph.get_state({"configurable": {"thread_id": self.thread}}).next)

    @property
    def interrupts(self) -> list[list[Any]]:
        """Ids, values and, where given, schemas of the interrupts it stopped at, ours left out."""
        asked = [question_of(each) for each in self.log.interrupts]
        return [each for each in asked if not (isinstance(each[1], Mapping) and STOPPED in each[1])]

    def hold(self, end: End) -> None:
        """Keep in memory what the thread it is parked on leaves out; alone it would not have paused at an action."""
        if end["kind"] != "interrupt" and (keys := self.question.agent.sieve.own):
            final = self.final or {}
            self.question.held[end["thread"]] = {key: final[key] for key in keys if key in final}

    def facts(self) -> dict[str, Any]:
        """What is known of how its calls were made, for the record."""
        place = {} if self.langsmith is None else {langsmith.PLACE: self.langsmith}
        return {**self.recorder.facts(), **self.unheard.facts(), "undeclared": self.ran.counts(), **place}


def described(error: Exception) -> str:
    """An error as a record names it."""
    if isinstance(error, GraphRecursionError):  # its own advice is about a setting that does not apply here
        reached = str(error).split(" without")[0]
        return f"{type(error).__name__}: {reached}; allow more with limits=Limits(recursion_limit=...)"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
