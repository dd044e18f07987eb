"""One rollout: the agent on a thread of its own, listened to, its end put on record."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphBubbleUp, GraphRecursionError, ParentCommand

from ec_agent.capture.recorder import Recorder, recording
from ec_agent.capture.shapes import call_of, payload_of_message
from ec_agent.errors import (
    AgentError,
    MissingLogprobsError,
    NoFinalActionError,
    RolloutInterruptedError,
    StateMismatchError,
)
from ec_agent.rollouts.agents import Agent, Writes, commands, update_and_goto, update_of
from ec_agent.rollouts.final_action import default_final_action
from ec_agent.rollouts.internals import (
    BOX_OUT,
    ROOT,
    Channel,
    around_box,
    own_configurable,
    own_tags,
    without_streaming,
)
from ec_agent.rollouts.messages import (
    ai_messages,
    fingerprint,
    private_copy,
    rebuilt,
    with_id,
    without_logprobs,
)
from ec_agent.rollouts.options import Options
from ec_agent.rollouts.record import Record, pack_calls, usage_of
from ec_agent.rollouts.writes import WriteLog, outer_writes

Emit = Callable[[Mapping[str, Any]], None]


@dataclass(eq=False, slots=True)
class Listener:
    """Who called ``run()``: where events go, and where a node leaves what is not part of the state."""

    on_event: Emit | None = None
    left: tuple[Any, ...] = ()


# A nested best_of_n must not be heard here: a rollout hides it.
listener: ContextVar[Listener | None] = ContextVar("ec_agent_listener", default=None)


@dataclass(eq=False, slots=True)
class Session:
    """One question on its way through ``best_of_n``. Lives in memory only; nothing of it is checkpointed."""

    agent: Agent
    options: Options
    n: int
    known: Any
    outer: Mapping[str, Channel]
    context: Any = None
    store: Any = None
    emit: Emit = lambda _: None
    max_concurrency: int | None = None
    # Which rollouts ran here and now; those missing were found in a checkpoint.
    ran: set[int] = field(default_factory=set)
    # Exceptions themselves, by rollout: records carry only their text.
    errors: dict[int, Exception] = field(default_factory=dict)


class Attempt:
    """One rollout while it runs; sync and async runs drive it alike.

    Args:
        session: the question.
        index: number of the rollout.
        config: the config of the fan-out task it runs in.
    """

    def __init__(self, session: Session, index: int, config: RunnableConfig) -> None:
        options = session.options
        self.session = session
        self.index = index
        session.ran.add(index)
        self.recorder = Recorder(
            index,
            signals=options.selector.signals,
            calls=options.calls,
            keep_text=options.keep_text,
            sampling=options.sampling_of(index),
            raise_on_missing=options.on_missing == "raise",
        )
        self._config = config
        self._log = WriteLog()
        self._final: Any = None
        self._command: Any = None
        self._error: Exception | None = None
        self._started = time.perf_counter()

    @property
    def graph(self) -> Any:
        """The graph to stream."""
        graph = self.session.agent.graph(self.session.store)
        # Only a saver gives a subgraph with checkpointer=True its memory within the rollout.
        return graph.copy({"checkpointer": InMemorySaver()}) if self.session.agent.needs_saver else graph

    def arguments(self) -> dict[str, Any]:
        """How to stream it: on a fresh thread, with the user's own config and context and nothing else."""
        config, agent = self._config, self.session.agent
        conf = config.get("configurable") or {}
        thread = f"{conf.get('thread_id') or uuid.uuid4()}/{conf.get('checkpoint_ns', '')}/{self.index}"
        own: RunnableConfig = {
            "configurable": {**own_configurable(config), "thread_id": thread},
            "callbacks": without_streaming(config.get("callbacks")),
            "tags": own_tags(config),
            "metadata": {**(config.get("metadata") or {}), "ec_rollout": self.index},
            "recursion_limit": self.session.options.limits.recursion_limit,
        }
        if self.session.max_concurrency is not None:  # the outer run's own, for the agent's parallel nodes
            own["max_concurrency"] = self.session.max_concurrency
        return {
            "input": agent.boxed(private_copy(self.session.known)),
            "config": own,
            "context": agent.context_of(self.session.context),
            "stream_mode": ["tasks", "values"],
            "output_keys": agent.state_keys,
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around the run: capture on, the ambient run out of sight, and a failure put on record."""
        self._emit("started")
        ambient = var_child_runnable_config.set(None)
        heard = listener.set(None)
        around = around_box.set(self.session.outer)
        try:
            with recording(self.recorder):
                yield
        except ParentCommand as stop:
            self._command = stop.args[0]
        except GraphBubbleUp:
            raise  # the runtime's own control flow: a drain, say
        except Exception as error:
            self._error = error
        finally:
            around_box.reset(around)
            listener.reset(heard)
            var_child_runnable_config.reset(ambient)

    def hear(self, mode: str, part: Any) -> None:
        """One part of the agent's stream."""
        if mode == "tasks":
            self._log.hear(part)
        else:
            self._final = part

    def record(self) -> Record:
        """The end of the rollout, put on record.

        Raises:
            MissingLogprobsError: a call came back without logprobs and ``on_missing="raise"`` was set.
        """
        if isinstance(self.recorder.failure, MissingLogprobsError):
            raise self.recorder.failure
        try:
            if self.recorder.failure is not None:
                raise self.recorder.failure
            if self._error is not None:
                raise self._error
            record = self._success()
        except Exception as error:
            self.session.errors[self.index] = error
            record = self._record(error=_described(error))
        self._emit("finished", error=record["error"], seconds=record["seconds"])
        return record

    def _success(self) -> Record:
        agent, options = self.session.agent, self.session.options
        if self._log.interrupts:
            raise RolloutInterruptedError(
                "the rollout stopped at an interrupt(); ask people after the selection, in a node of the outer "
                "graph, not inside the rollouts"
            )
        written, final, goto = self._outcome()
        if not written and not goto:
            raise NoFinalActionError("the rollout ended without writing anything; have the agent return an update")
        if self._command is not None:  # it names the outer keys itself
            outer = written
        elif options.output is not None:
            outer = _mapped(options.output(final), self.session.outer)
        else:
            outer = outer_writes(agent, written, final, self.session.outer)
        action = options.final_action(final, written) if options.final_action else default_final_action(written)
        derived = options.final_action is None and default_final_action(outer) is action
        return self._record(
            writes=[[key, value] for key, value in outer],
            goto=goto,
            final_action={"derived": True} if derived else {"value": action},
            fingerprint=fingerprint([written, goto, [call.tokens for call in self.recorder.trajectory().calls]]),
        )

    def _outcome(self) -> tuple[Writes, Any, list[Any]]:
        """What the agent wrote, the state it ended in, and where it wants to go next: bare, with ids."""
        agent, keep = self.session.agent, self.session.options.keep_logprobs

        def tidy(message: Any) -> Any:
            return with_id(message if keep else without_logprobs(message))

        # As everywhere in LangGraph, a command to the parent stands for the whole of the agent's output.
        done = self._command is None
        raw, goto = agent.writes_of(self._log.writes()) if done else update_and_goto(self._command)
        if not self.recorder.started_calls():
            # An agent that runs elsewhere is heard only through the messages it sends back.
            self.recorder.adopt(_calls_in(raw, self.session.options.selector.signals))
        written = [(key, rebuilt(value, tidy)) for key, value in raw]
        final = self._final
        if agent.is_function and final:
            output = final[BOX_OUT]
            final = update_of(written) if commands(output) or isinstance(output, dict) else output
        return written, rebuilt(final, tidy), rebuilt(goto, tidy)

    def _record(self, **parts: Any) -> Record:
        trajectory = self.recorder.trajectory() if self.recorder.failure is None else None
        record: Record = {
            "index": self.index,
            "seconds": time.perf_counter() - self._started,
            "error": None,
            "calls": pack_calls(trajectory) if trajectory is not None else [],
            "usage": usage_of(self.recorder.every_call()),
            "writes": [],
            "goto": [],
            "final_action": None,
            "facts": self.recorder.facts(),
            "fingerprint": None,
        }
        return cast("Record", {**record, **parts})

    def _emit(self, event: str, **details: Any) -> None:
        self.session.emit({"type": f"ec_agent.rollout.{event}", "index": self.index, **details})


def _calls_in(written: Writes, signals: Any) -> list[Any]:
    payloads = [payload_of_message(message) for _, value in written for message in ai_messages(value)]
    return [call_of(payload, tuple(dict.fromkeys(("entropy", *signals)))) for payload in payloads]


def _mapped(update: Any, outer: Mapping[str, Channel]) -> Writes:
    if not isinstance(update, Mapping):
        raise AgentError(f"output= returned {type(update).__name__}; return a dict of outer state keys")
    strangers = [key for key in update if key not in outer and ROOT not in outer]
    if strangers:
        raise StateMismatchError(
            f"output= returned the keys {strangers}, which the outer state does not have; add them to its schema"
        )
    return list(update.items())


def _described(error: Exception) -> str:
    if isinstance(error, GraphRecursionError):  # its own advice is about a setting that does not apply here
        reached = str(error).split(" without")[0]
        return f"{type(error).__name__}: {reached}; allow more with limits=Limits(recursion_limit=...)"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def run(session: Session, index: int, config: RunnableConfig) -> Record:
    """Run one rollout to its end."""
    attempt = Attempt(session, index, config)
    with attempt.running():
        for mode, part in attempt.graph.stream(**attempt.arguments()):
            attempt.hear(mode, part)
    return attempt.record()


async def arun(session: Session, index: int, config: RunnableConfig) -> Record:
    """Run one rollout to its end."""
    attempt = Attempt(session, index, config)
    with attempt.running():
        async for mode, part in attempt.graph.astream(**attempt.arguments()):
            attempt.hear(mode, part)
    return attempt.record()
