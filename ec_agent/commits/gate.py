"""Stopping a rollout at a tool that commits, before the tool runs.

The gate stands around each run of a LangChain tool (``ec_agent.insides.tool_runs``) from the first rollout of the
process on, and does nothing where none is set.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt
from typing_extensions import TypedDict

from ec_agent.commits.effects import CommitPolicy
from ec_agent.commits.undeclared import Ran
from ec_agent.commits.uses import (
    Talk,
    Use,
    alike,
    answering,
    asks,
    place_here,
    says,
    talk_with,
    talks,
    task_here,
    task_of,
)
from ec_agent.insides.tool_runs import ToolRun, hear_tools
from ec_agent.support.plans import Plan, Step

STOPPED = "ec_agent.stopped"


class RolloutStop(GraphInterrupt):
    """Ends a rollout where it stands, the way LangGraph interrupts a run: the step can be taken up again."""

    def __init__(self, where: str) -> None:
        super().__init__((Interrupt(value={STOPPED: where}, id=uuid.uuid4().hex),))


@dataclass(frozen=True, slots=True)
class Proposal:
    """The message at whose tool calls a rollout stopped.

    Attributes:
        message: the model's message, unchanged; made up for a tool that no model's message asked for.
        task: the graph task that was about to run the tools: its checkpoint namespace.
        commits: ids of those of its calls that commit.
        made_up: whether the message is.
        talk: the conversation it is in, where it was stopped, by its state key.
    """

    message: AIMessage
    task: str
    commits: tuple[str, ...]
    made_up: bool
    talk: Talk | None


class Done(TypedDict):
    """A call that an earlier round of the rollout carried out, in a step that may be run again.

    Attributes:
        task: the graph task that made it.
        id: of the call.
        name: of the tool.
        args: what it was called with.
        key: the idempotency key; ``None`` for a harmless call.
        made_up: whether no model asked for it.
    """

    task: str
    id: str
    name: str
    args: dict[str, Any]
    key: str | None
    made_up: bool


class Gate(Protocol):
    """Decides on each tool call in its context."""

    @property
    def heard(self) -> int | None:
        """How many messages with tool calls models have returned so far, if it knows."""

    def plan(self, use: Use, execute: Step) -> Plan[Any]:
        """Run the tool by yielding ``execute``, or do not."""


current_gate: ContextVar[Gate | None] = ContextVar("ec_agent_gate", default=None)
_outer: ContextVar[Use | None] = ContextVar("ec_agent_outer_call", default=None)


class RolloutGate:
    """The gate of a rollout: it stops at the first message with a call that commits.

    Attributes:
        proposal: the message it stopped at.
        names: further tools to stop at, found on the way.

    Args:
        policy: which calls commit.
        heard: the AI messages with tool calls that models have returned; more may be added as they come.
        around: the gate of the rollout around this one; what it stops at, this one does.
        seen: where the tools it stops at are noted, by name.
        done: calls that were carried out already, and whose steps may be run again.
        outcome: the plan that gives what one of them came to.
        ran: where undeclared tools that run are noted.
    """

    def __init__(
        self,
        policy: CommitPolicy,
        heard: Sequence[AIMessage] = (),
        around: Gate | None = None,
        seen: dict[str, BaseTool] | None = None,
        done: Sequence[Done] = (),
        outcome: Callable[[Done], Plan[Any]] | None = None,
        ran: Ran | None = None,
    ) -> None:
        self.proposal: Proposal | None = None
        self.names: frozenset[str] = frozenset()
        self._own, self._policies = policy, [policy]
        self._heard = heard
        self._seen = seen
        self._done = list(done)
        self._outcome = outcome
        self._ran = ran
        self._around = around if isinstance(around, RolloutGate) else None
        self._lock = threading.Lock()

    def commits(self, name: str, tool: BaseTool | None = None) -> bool:
        """Whether a call of this tool is to be stopped at."""
        if name in self.names or any(policy.commits(name, tool) for policy in self._policies):
            return True
        return self._around is not None and self._around.commits(name, tool)

    def join(self, policy: CommitPolicy) -> None:
        """Stop at what this policy names, too."""
        if policy not in self._policies:
            self._policies.append(policy)

    def plan(self, use: Use, execute: Step) -> Plan[Any]:
        """Stop, or run the tool; what was carried out already is answered with what it came to."""
        done = self._taken(use)
        if done is None:
            self._check(use)
        elif done["key"] is not None and self._outcome is not None:
            return answering((yield from self._outcome(done)), use)
        asks = False
        try:
            return (yield execute)
        except GraphInterrupt:  # it asks a person, and is called again with the answer
            asks = True
            raise
        finally:
            if not asks and self._ran is not None and not self._declares(use.tool):
                self._note(use.tool, self._ran.rollout)

    def _declares(self, tool: BaseTool) -> bool:
        return self._own.declares(tool) or (self._around is not None and self._around._declares(tool))

    def _note(self, tool: BaseTool, rollout: str) -> None:
        if self._ran is not None:
            self._ran.note(tool.name, rollout)
        if self._around is not None:
            self._around._note(tool, rollout)

    def has(self, use: Use) -> bool:
        """Whether the call was carried out already: a step that went no further is run from its start."""
        return any(_same(each, use) for each in self._done)

    def _taken(self, use: Use) -> Done | None:
        with self._lock:
            done = next((each for each in self._done if _same(each, use)), None)
            if done is not None and use.call_id is None:  # a further one is another call
                self._done.remove(done)
        return done

    def _check(self, use: Use) -> None:
        with self._lock:
            if self.proposal is None:
                self.proposal = self._proposal(use)
        self.halt()

    def halt(self) -> None:
        """Stop here too if the rollout has stopped already, whoever caught that."""
        if self.proposal is not None:
            raise RolloutStop("commit")

    def _proposal(self, use: Use) -> Proposal | None:
        message = self._message(use)
        calls = [] if message is None else message.tool_calls
        stops = self.commits(use.tool.name, use.tool)
        commits = [str(c["id"]) for c in calls if (stops if c["id"] == use.answers else self.commits(c["name"]))]
        if not stops and not commits:
            return None
        if self._seen is not None:
            self._seen[use.tool.name] = use.tool
        made_up = message is None
        if message is None:
            made = use.call_id or f"call_{uuid.uuid4().hex}"
            call = {"name": use.tool.name, "args": use.args, "id": made, "type": "tool_call"}
            message, commits = AIMessage("", tool_calls=[call], id=str(uuid.uuid4())), [made]
        task = task_of(use.asked.place)
        talk = talk_with({c["id"] for c in calls}, message, use.asked.place)
        return Proposal(message, task, tuple(commits), made_up, talk)

    def _message(self, use: Use) -> AIMessage | None:
        """The message that asked for the call: in the state, or as a model has just returned it."""
        if use.answers is None:
            return None
        asking = self.asking(use)  # models may number their calls, so that branches have the same ids
        asking = [m for m in asking if says(m, use.asked)] or asking
        heard = next((m for m in reversed(self._heard) if any(m is each for each in asking)), None)
        # The state may hold it changed by the agent, or another one of old that had the same call id.
        same = (m for m in reversed(asking) if m is not heard and (heard is None or m.id == heard.id))
        return next(same, heard)

    def asking(self, use: Use) -> list[AIMessage]:
        """The messages that have such a call: as models have just returned them, then those in the state."""
        asked = use.asked
        state = [m for _, talk in talks(asked.place) for m in talk if isinstance(m, AIMessage)]
        return [m for m in (*self._heard[: asked.heard], *state) if asks(m, asked.call_id, asked.tool.name)]

    @property
    def heard(self) -> int:
        """How many messages with tool calls models have returned so far."""
        return len(self._heard)


def _same(done: Done, use: Use) -> bool:
    if use.inside is not None or (done["task"], done["name"]) != (task_here(), use.tool.name):
        return False
    if use.call_id is None:
        return done["made_up"] and alike(done["args"], use.args)
    return done["id"] == use.call_id and use.is_of(done["args"])


@contextmanager
def gated(gate: Gate) -> Iterator[None]:
    """Every tool call inside, in this context and those copied from it, comes to this gate."""
    install_patch()
    tokens = current_gate.set(gate), _outer.set(None)
    try:
        yield
    finally:
        current_gate.reset(tokens[0])
        _outer.reset(tokens[1])


def install_patch() -> None:
    """Put the gate before LangChain's tools; it lets everything through where no gate is set."""
    hear_tools("gate", _at_the_gate)


def _at_the_gate(run: ToolRun, execute: Step) -> Plan[Any] | None:
    gate = current_gate.get()
    return None if gate is None else _passing(gate, run, execute)


def _passing(gate: Gate, run: ToolRun, execute: Step) -> Plan[Any]:
    use = Use(run.tool, run.given, run.call_id, _outer.get(), place_here(), gate.heard)
    token = _outer.set(use.asked if use.answers is not None else None)
    try:
        return (yield from gate.plan(use, execute))
    finally:
        _outer.reset(token)
