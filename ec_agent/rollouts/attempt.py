"""One try of a rollout: the agent on a thread of its own, listened to, its end put on record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from typing import Any, NotRequired, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp, GraphInterrupt, GraphRecursionError, ParentCommand
from typing_extensions import TypedDict

from ec_agent.capture.asked import RequestSettings
from ec_agent.capture.kept import Kept
from ec_agent.capture.progress import Progress
from ec_agent.capture.recorder import Recorder, current_recorder, recording
from ec_agent.commits.committing import CommitGate, Planned
from ec_agent.commits.gate import STOPPED, Done, RolloutGate, current_gate, gated
from ec_agent.commits.undeclared import Ran
from ec_agent.environments.worlds import in_environment
from ec_agent.errors import MissingLogprobsError, RolloutCancelledError, RolloutError
from ec_agent.insides.executors import NOBODY, RolloutLeft, RunLeft, around_here
from ec_agent.insides.langgraph import (
    INTERRUPT,
    around_box,
    is_breakpoint,
    no_ambient_run,
)
from ec_agent.rollouts.arguments import arguments_of
from ec_agent.rollouts.limits import Budget, Limits, Meter, bounded, timed
from ec_agent.rollouts.memory import lay_by, saver_for
from ec_agent.rollouts.messages import Said
from ec_agent.rollouts.outcome import outcome_of
from ec_agent.rollouts.parking import finished_in
from ec_agent.rollouts.pausing import question_of
from ec_agent.rollouts.record import End, Record, pack_calls, usage_of
from ec_agent.rollouts.remotes import sending_as_alone
from ec_agent.rollouts.session import Session, listener
from ec_agent.rollouts.store import StoreOverlay
from ec_agent.rollouts.unheard import Unheard
from ec_agent.rollouts.whole_states import Within
from ec_agent.rollouts.writes import WriteLog
from ec_agent.support.loop import on_loop
from ec_agent.support.plans import Plan, Step
from ec_agent.tracing import feedback
from ec_agent.tracing.seam import current_question


class Start(TypedDict):
    """Where a rollout begins.

    Attributes:
        index: number of the rollout.
        round: number of the stretch, from 0.
        thread: where the rollout it goes on from is parked; it begins afresh without one.
        answers: to the interrupts that one stopped at, by their ids.
        all: whether all rollouts go on with them, not the winner alone.
        earlier: the answers to those before, in their order, where it begins again with each of its questions.
        done: what it carried out before.
        anew: the keys that it overwrote before.
    """

    index: int
    round: int
    thread: NotRequired[str | None]
    answers: NotRequired[dict[str, Any] | None]
    all: NotRequired[bool]
    earlier: NotRequired[list[dict[str, Any]]]
    done: NotRequired[list[Done]]
    anew: NotRequired[list[str]]


class Attempt:
    """One try of a rollout while it runs.

    Args:
        session: the question.
        start: where it begins.
        config: the config of the task it runs in.
        calls: the calls it carries out, to go no further; without, it stops at the first that commits.
        ran: where the undeclared tools that it runs are noted, with those of its other attempts.
    """

    def __init__(
        self,
        session: Session,
        start: Start,
        config: RunnableConfig,
        calls: Mapping[str, Planned] | None = None,
        ran: Ran | None = None,
    ) -> None:
        options = session.options
        self.session, self.start, self.config = session, start, config
        self.index = start["index"]
        self.answers = [*(start.get("earlier") or []), start.get("answers")]
        self.saver: InMemorySaver | None = None
        self.thread = session.thread(start["round"], self.index)
        self.ran = ran or Ran(self.thread)
        self._asking: list[AIMessage] = []
        self.gate = self._new_gate()
        self.committing = CommitGate(calls, session.once, self.gate) if calls is not None else None
        # What was decided is carried out, however long that takes.
        self.around = session.around if calls is None else NOBODY
        self._left = self._broken_off = False
        self._halts = [self._stop_if_left, (self.committing or self.gate).halt]
        limits, budget = (options.limits, session.budget) if calls is None else (Limits(), Budget(None))
        self.meter = Meter(limits, budget, self._halts, current_recorder.get())
        self.trace = current_question.get().rollout(self.index, start["round"])
        self.langsmith = feedback.place_of(config)
        self.recorder = self._new_recorder()
        # Events from within the agent leave as from here: there, the run around would be taken for the agent's.
        self._here = copy_context()
        if session.heard:
            self.recorder.progress = Progress(self._emit)
        self.log = WriteLog()
        self.unheard = Unheard(self.recorder, session.known, config)
        self.final: Any = None
        self.settled: Any = None
        self.said = Said()
        resumed = start.get("thread") is not None
        self.within = Within(session.known, resumed) if session.agent.is_function else None
        self.command: Any = None
        self.paused = False  # at a breakpoint
        self.error: Exception | None = None
        self.store = StoreOverlay(session.below) if session.below is not None else None
        self.held = session.held.get(start.get("thread") or "", {})
        self._late = False
        self._started = time.perf_counter()

    def _new_gate(self) -> RolloutGate:
        session = self.session
        done, outcome = self.start.get("done") or [], session.once.outcome
        return RolloutGate(
            session.policy, self._asking, current_gate.get(), session.seen, done=done, outcome=outcome, ran=self.ran
        )

    def _new_recorder(self) -> Recorder:
        options = self.session.options
        return self.trace.recorder(
            self.index,
            signals=options.selector.signals,
            calls=options.calls,
            kept=Kept(options.keep_text, options.keep_candidates),
            requests=RequestSettings(options.sampling_of(self.index), options.request_logprobs, options.keep_logprobs),
            raise_on_missing=options.on_missing == "raise",
            guard=self.meter,
            asking=self._asking,
        )

    def run(self) -> Plan[None]:
        """Run it to its end; a failure is kept for the record.

        Raises:
            RunLeft: nobody waits for it any more.
        """
        with self.trace.running():
            try:
                yield from self._run()
            except RolloutLeft:
                raise RunLeft from None
            finally:
                if (around := current_recorder.get()) is not None:
                    around.within += self.recorder.started_calls()
            if self._left:  # whatever the agent made of that
                raise RunLeft

    def _run(self) -> Plan[None]:
        session, parked = self.session, self.start.get("thread")
        session.ran.add(self.index)
        acting = self.committing is not None
        self._emit("started", n=session.n, round=self.start["round"], acting=acting)
        with self._failing():
            if self.committing is None:
                session.budget.check("not started")
            exact = session.agent.needs_saver and parked is None
            self.saver = saver_for(session.memory, self.thread, exact)
            if parked is not None:
                yield from session.parking.fetch(parked, self.thread, self.saver)
                self.log.finished = finished_in(self.saver, self.thread, session.agent.state_keys)
                self.unheard.resumed(list(self.saver.list(None)))
            yield from timed(session.enter(self.index), self.meter)
        if self.error is None:
            with self._failing(), self._inside():
                yield bounded(Step(self._stream, self._astream), self.meter)
                while self.committing is not None and self.interrupts and len(self.answers) > 1:
                    yield from self._next_answers(self.committing)
                    yield bounded(Step(self._stream, self._astream), self.meter)
            self._late = self.meter.expired

    def _next_answers(self, committing: CommitGate) -> Plan[None]:
        """Go on to the next question of a call that begins anew with each: one that was answered, too."""
        assert self.saver is not None
        yield from committing.quiet()
        committing.again()
        self.log.again(finished_in(self.saver, self.thread, self.session.agent.state_keys))
        self.held = {}
        del self.answers[0]

    def _stop_if_left(self) -> None:
        """Make no further call where nobody waits for it."""
        self._left = self._left or self.around.left
        if self._left or self._broken_off or around_here().interrupted:
            raise RolloutLeft

    def _stream(self) -> None:
        for found in self._graph.stream(**arguments_of(self)):
            if not self._hear(*found):
                return

    async def _astream(self) -> None:
        async for found in self._graph.astream(**arguments_of(self)):
            if not self._hear(*found):
                return

    @property
    def _graph(self) -> Any:
        session = self.session
        return session.agent.graph(self.store, self.saver, lasting=session.root and session.memory is not None)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        """Around the run: capture on, the gate set, the ambient run out of sight."""
        heard = listener.set(None)
        around = around_box.set(self.session.outer)
        try:
            own = self.session.options.environment is not None
            world = in_environment(self.session.environment(self.index)) if own else nullcontext()
            with (
                recording(self.recorder),
                gated(self.committing or self.gate),
                world,
                self.around.heeded(),
                sending_as_alone(self.thread, self.session.given),
                no_ambient_run(),
            ):
                yield
        finally:
            around_box.reset(around)
            listener.reset(heard)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except ParentCommand as stop:
            self.command = stop.args[0]
        except GraphInterrupt:
            pass  # a bare one, from beneath a graph of its own; the stop is known to the gate
        except GraphBubbleUp:
            raise  # the runtime's own control flow: a drain, say
        except asyncio.CancelledError as error:
            task = asyncio.current_task() if on_loop() else None
            if task is None or task.cancelling():
                self._broken_off = self.committing is None  # it may have threads, which cannot be cancelled
                raise
            self.error = RolloutCancelledError(f"something in the rollout cancelled it ({error!r}); see what, and why")
        except Exception as error:
            self.error = error

    def _hear(self, *found: Any) -> bool:
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
        return self.meter.timeout() if self._late else self.error

    @property
    def pauses(self) -> bool:
        """Whether it stopped at a breakpoint. After the last node a graph that stands alone is done all the same."""
        if not self.paused or not self.session.root:
            return self.paused
        return bool(self._graph.get_state({"configurable": {"thread_id": self.thread}}).next)

    @property
    def interrupts(self) -> list[list[Any]]:
        """Ids, values and, where given, schemas of the interrupts it stopped at, ours left out."""
        asked = [question_of(each) for each in self.log.interrupts]
        return [each for each in asked if not (isinstance(each[1], Mapping) and STOPPED in each[1])]

    def record(self) -> Plan[Record]:
        """The end of the rollout, put on record, and parked where it may go on.

        Raises:
            MissingLogprobsError: a call came back without logprobs and ``on_missing="raise"`` was set.
        """
        if isinstance(self.recorder.failure, MissingLogprobsError):
            raise self.recorder.failure
        try:
            if self.failure is None:
                self.recorder.settle()
            if (failure := self.failure) is not None:
                raise failure
            parts = outcome_of(self)
            yield from lay_by(self, parts["end"])
            record = self._record(**parts, store=self.store.writes if self.store is not None else [])
        except Exception as error:
            if error is self.recorder.failure and isinstance(error, MissingLogprobsError):
                raise  # found in the messages of an agent that runs elsewhere
            self.session.errors[self.index] = self.error = error
            # A filter that raised has left calls uncounted.
            filtered = self.recorder.failure is not None and not isinstance(self.recorder.failure, RolloutError)
            calls = [] if filtered else pack_calls(self.recorder.heard())
            record = self._record(error=described(error), end={"kind": "failed"}, calls=calls)
            if self.committing is None:
                yield from self.session.leave(self.index)
        self.recorder.release()
        self._halts.clear()  # they lead back here: messages with logprobs must go now, not with the garbage
        self.trace.finished(record, self.error or self.failure)
        self._emit("finished", error=record["error"], seconds=record["seconds"])
        return record

    def hold(self, end: End) -> None:
        """Keep in memory what the thread it is parked on leaves out; alone it would not have paused at an action."""
        if end["kind"] != "interrupt" and (keys := self.session.agent.sieve.own):
            final = self.final or {}
            self.session.held[end["thread"]] = {key: final[key] for key in keys if key in final}

    def _record(self, **parts: Any) -> Record:
        record: Record = {
            "index": self.index,
            "seconds": time.perf_counter() - self._started,
            "error": None,
            "calls": [],
            "usage": usage_of(self.recorder.every_call()),
            "writes": [],
            "goto": [],
            "final_action": None,
            "facts": self._facts(),
            "fingerprint": None,
            "end": {"kind": "answer"},
            "store": [],
            "token": self.session.token(self.index),
        }
        return cast("Record", {**record, **parts})

    def _facts(self) -> dict[str, Any]:
        place = {} if self.langsmith is None else {feedback.PLACE: self.langsmith}
        return {**self.recorder.facts(), **self.unheard.facts(), "undeclared": self.ran.counts(), **place}

    def _emit(self, event: str, **details: Any) -> None:
        if self.session.heard:
            details = {"type": f"ec_agent.rollout.{event}", "index": self.index, **details}
            # A copy: a context can be entered once at a time, and an agent may make calls side by side.
            self._here.copy().run(self.session.emit, details)


def described(error: Exception) -> str:
    """An error as a record names it."""
    if isinstance(error, GraphRecursionError):  # its own advice is about a setting that does not apply here
        reached = str(error).split(" without")[0]
        return f"{type(error).__name__}: {reached}; allow more with limits=Limits(recursion_limit=...)"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
