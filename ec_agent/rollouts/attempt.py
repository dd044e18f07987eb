"""One attempt at a rollout: its data while it runs. ``running`` runs it, ``record_of_attempt`` makes its record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NotRequired

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from typing_extensions import TypedDict

from ec_agent.capture.kept import Kept
from ec_agent.capture.recorder import Recorder, current_recorder
from ec_agent.capture.request_params import RequestSettings
from ec_agent.commits.gate import STOPPED, Done, RolloutGate, current_gate
from ec_agent.commits.undeclared import Ran
from ec_agent.commits.winner_gate import CommitGate, Planned
from ec_agent.insides.executors import NO_EXECUTORS, RolloutLeft, executors_here
from ec_agent.insides.langgraph import INTERRUPT, is_breakpoint
from ec_agent.rollouts import langsmith
from ec_agent.rollouts.cancelling import Brake
from ec_agent.rollouts.limits import Budget, Limits, Meter, bounded
from ec_agent.rollouts.messages import MessagesSeen
from ec_agent.rollouts.pausing import question_of
from ec_agent.rollouts.question import Question
from ec_agent.rollouts.record import End
from ec_agent.rollouts.store_overlay import StoreOverlay
from ec_agent.rollouts.unheard_calls import Unheard
from ec_agent.rollouts.whole_states import InnerGraphs
from ec_agent.rollouts.writes import WriteLog
from ec_agent.support.plans import Step


class Start(TypedDict):
    """How a rollout starts.

    Attributes:
        index: number of the rollout, from 0.
        round: number of its round, from 0.
        thread: the thread on which the rollout is parked that it goes on from; without one it starts from the input.
        answers: answers to the interrupts at which that rollout stopped, by the interrupts' ids.
        all: whether all n rollouts go on with these answers, and not the winner alone.
        earlier: the answers to earlier interrupts, in their order: a tool runs from its start for each answer.
        done: the calls that earlier rounds carried out.
        anew: the state keys that earlier rounds overwrote.
        wave: the wave in which it is started, from 0; left out in the first.
        agent: with several agents, the index of the rollout of the first round whose agent it runs; left out in the
            first round, where that is its own index.
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
    agent: NotRequired[int]


class Attempt:
    """One attempt at a rollout while it runs.

    Args:
        question: the question that the rollouts answer.
        start: how the rollout starts.
        config: the config of the graph task in which it runs.
        calls: the calls that it carries out, and then stops. Without them it proposes: it stops at the first call that
            commits.
        ran: notes the undeclared tools that it runs; shared by all attempts at the rollout.
        brake: stops it early once enough is known; ``None`` without ``cancel=True``.
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
        place = question.agents.place_of(start.get("agent", self.index))
        self.agent, self.agent_label = question.agents.all[place], question.agents.label_of(place)
        self.answers = [*(start.get("earlier") or []), start.get("answers")]
        self.saver: InMemorySaver | None = None
        self.thread = question.thread(start["round"], self.index)
        self.ran = ran or Ran(self.thread)
        self._asking: list[AIMessage] = []
        self.gate = self._new_gate()
        self.winner_gate = CommitGate(calls, question.once, self.gate) if calls is not None else None
        # An attempt that acts is never stopped early, and has no limits: what was chosen is carried out.
        self.executors = question.executors if calls is None else NO_EXECUTORS
        self.left = self.broken_off = False
        self.halts = [self._stop_if_left, (self.winner_gate or self.gate).halt]
        limits, budget = (options.limits, question.budget) if calls is None else (Limits(), Budget(None))
        self.brake = brake
        self.meter = Meter(limits, budget, self.halts, current_recorder.get())
        self.langsmith = langsmith.place_of(config)
        self.recorder = self._new_recorder()
        if brake is not None:
            self.halts.insert(1, brake.check)
            brake.let_end(self.recorder.tools)
        self.told = question.told.rollout(self.index, start["round"], acting=calls is not None, agent=self.agent_label)
        if self.told.calls:
            self.recorder.told = self.told
        self.log = WriteLog()
        self.unheard = Unheard(self.recorder, question.known, config)
        self.final: Any = None
        self.settled: Any = None
        self.said = MessagesSeen()
        resumed = start.get("thread") is not None
        self.inner_graphs = InnerGraphs(question.known, resumed) if self.agent.is_function else None
        self.command: Any = None
        self.paused = False  # whether it stopped at a breakpoint
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
        """Raise if the run around has ended early, so that no further call is made."""
        self.left = self.left or self.executors.left
        if self.left or self.broken_off or executors_here().interrupted:
            raise RolloutLeft

    @property
    def cancelled(self) -> bool:
        """Whether it was told to stop because enough is known."""
        return self.brake is not None and self.brake.pulled

    def bounded(self, step: Step) -> Step:
        """Return the step with the attempt's time limit. In an async run, cancelling the rollout ends it as well."""
        return bounded(step if self.brake is None else self.brake.stopping(step), self.meter)

    @property
    def graph(self) -> Any:
        """The agent's graph to stream, with the attempt's own store and saver."""
        question = self.question
        return self.agent.graph(self.store, self.saver, lasting=question.root and question.memory is not None)

    def hear(self, *found: Any) -> bool:
        """Take in one part of the agent's stream, or of a nested graph's. Return whether to go on streaming."""
        *place, mode, part = found
        if place and place[0]:
            if self.inner_graphs is not None:
                self.inner_graphs.hear(place[0], mode, part)
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
            # If a task is still open, these values are no step's result: LangGraph shows them when the run stops.
            if not (self.log.split or self.log.running):
                self.settled = part
                if INTERRUPT not in part:
                    self.log.applied()
        return not self.log.over

    @property
    def failure(self) -> Exception | None:
        """The attempt's error, also if the agent has caught it; ``None`` without one."""
        if self.winner_gate is not None and self.winner_gate.failure is not None:
            return self.winner_gate.failure
        if self.recorder.failure is not None:
            return self.recorder.failure
        return self.meter.timeout() if self.late else self.error

    @property
    def pauses(self) -> bool:
        """Whether it stopped at a breakpoint with something left to do.

        A breakpoint after the last node leaves nothing to do; without an outer graph the run has ended then.
        """
        if not self.paused or not self.question.root:
            return self.paused
        return bool(self.graph.get_state({"configurable": {"thread_id": self.thread}}).next)

    @property
    def interrupts(self) -> list[list[Any]]:
        """The interrupts at which it stopped, without our own: for each its id, value and, if given, schema."""
        asked = [question_of(each) for each in self.log.interrupts]
        return [each for each in asked if not (isinstance(each[1], Mapping) and STOPPED in each[1])]

    def hold(self, end: End) -> None:
        """Keep untracked values in memory for a rollout parked at an action, since its parked checkpoints lack them.

        Without ``best_of_n`` the agent would not pause there, and so would keep these values.
        """
        if end["kind"] != "interrupt" and (keys := self.agent.sieve.own):
            final = self.final or {}
            self.question.held[end["thread"]] = {key: final[key] for key in keys if key in final}

    def facts(self) -> dict[str, Any]:
        """Return what the record needs to know of how the attempt's calls were made."""
        place = {} if self.langsmith is None else {langsmith.PLACE: self.langsmith}
        of_agent = {} if self.agent_label is None else {"agent": self.agent_label}
        facts = {**self.recorder.facts(), **self.unheard.facts(), "undeclared": self.ran.counts()}
        return {**facts, **of_agent, **place}


def described(error: Exception) -> str:
    """Return the text of an error for a record: its type and message."""
    if isinstance(error, GraphRecursionError):  # replace LangGraph's advice: the agent's own setting does not apply
        reached = str(error).split(" without")[0]
        return f"{type(error).__name__}: {reached}; allow more with limits=Limits(recursion_limit=...)"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
