"""Stop a rollout at a tool that commits, before the tool runs.

From the first rollout of the process on, each run of a LangChain tool asks the gate of its context first (see
``ec_agent.insides.tool_runs``). Where no gate is set, the tool just runs.
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

from ec_agent.commits.declared_tools import CommitPolicy
from ec_agent.commits.tool_uses import (
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
from ec_agent.commits.undeclared import Ran
from ec_agent.insides.tool_runs import ToolRun, hook_tools
from ec_agent.support.plans import Plan, Step

STOPPED = "ec_agent.stopped"


class RolloutStop(GraphInterrupt):
    """Ends a rollout in the middle of a step, in the way of LangGraph's ``interrupt()``: the step can be resumed."""

    def __init__(self, where: str) -> None:
        super().__init__((Interrupt(value={STOPPED: where}, id=uuid.uuid4().hex),))


@dataclass(frozen=True, slots=True)
class Proposal:
    """The message at whose tool calls a rollout stopped.

    Attributes:
        message: the model's message, unchanged. Where the agent's own code called the tool, a message made for it.
        task: checkpoint namespace of the graph task that was about to run the tools.
        commits: ids of the message's calls that commit.
        made_up: whether the message was made here, for a call that no model asked for.
        talk: the conversation the message is in, with its state key; ``None`` if no state has it.
    """

    message: AIMessage
    task: str
    commits: tuple[str, ...]
    made_up: bool
    talk: Talk | None


class Done(TypedDict):
    """A call that an earlier round carried out, in a step that this round may run again from its start.

    Attributes:
        task: checkpoint namespace of the graph task that made the call.
        id: the call's id.
        name: the tool's name.
        args: the call's arguments.
        key: the idempotency key; ``None`` for a harmless call.
        made_up: whether the agent's own code made the call, and no model asked for it.
    """

    task: str
    id: str
    name: str
    args: dict[str, Any]
    key: str | None
    made_up: bool


class Gate(Protocol):
    """Decides about each tool call in its context: whether the tool runs, and what the call gives."""

    @property
    def answers_seen(self) -> int | None:
        """How many messages with tool calls models have returned so far, if it knows."""

    def plan(self, use: Use, execute: Step) -> Plan[Any]:
        """Decide about one call of a tool.

        The plan yields ``execute`` to run the tool. It raises, or returns an earlier result, if the tool must not run.
        """


current_gate: ContextVar[Gate | None] = ContextVar("ec_agent_gate", default=None)
_outer: ContextVar[Use | None] = ContextVar("ec_agent_outer_call", default=None)


class RolloutGate:
    """The gate of a rollout: it stops the rollout at the first message with a call that commits.

    Attributes:
        proposal: the message that the rollout stopped at; ``None`` before.
        names: names of further tools to stop at, found while the rollout runs.

    Args:
        policy: which calls commit.
        answers: the AI messages with tool calls that models have returned; the caller may add more at any time.
        outer: the gate of an outer rollout, for a ``best_of_n`` inside another one. This gate also stops at whatever
            the outer gate stops at.
        seen: a dict that gets each tool the rollout stops at, by name.
        done: calls that an earlier round carried out; their steps may run again.
        outcome: gives the result of one of these calls.
        ran: notes the undeclared tools that run.
    """

    def __init__(
        self,
        policy: CommitPolicy,
        answers: Sequence[AIMessage] = (),
        outer: Gate | None = None,
        seen: dict[str, BaseTool] | None = None,
        done: Sequence[Done] = (),
        outcome: Callable[[Done], Plan[Any]] | None = None,
        ran: Ran | None = None,
    ) -> None:
        self.proposal: Proposal | None = None
        self.names: frozenset[str] = frozenset()
        self._own, self._policies = policy, [policy]
        self._answers = answers
        self._seen = seen
        self._done = list(done)
        self._outcome = outcome
        self._ran = ran
        self._outer = outer if isinstance(outer, RolloutGate) else None
        self._lock = threading.Lock()

    def commits(self, name: str, tool: BaseTool | None = None) -> bool:
        """Whether the rollout has to stop at a call of this tool."""
        if name in self.names or any(policy.commits(name, tool) for policy in self._policies):
            return True
        return self._outer is not None and self._outer.commits(name, tool)

    def join(self, policy: CommitPolicy) -> None:
        """Stop at the tools of this policy as well."""
        if policy not in self._policies:
            self._policies.append(policy)

    def plan(self, use: Use, execute: Step) -> Plan[Any]:
        """Stop at a call that commits; run any other. A call that is already done gives its first result again."""
        done = self._taken(use)
        if done is None:
            self._check(use)
        elif done["key"] is not None and self._outcome is not None:
            return answering((yield from self._outcome(done)), use)
        asks = False
        try:
            return (yield execute)
        except GraphInterrupt:  # the tool asks a person and will run again with the answer: count it then
            asks = True
            raise
        finally:
            if not asks and self._ran is not None and not self._declares(use.tool):
                self._note(use.tool, self._ran.rollout)

    def _declares(self, tool: BaseTool) -> bool:
        return self._own.declares(tool) or (self._outer is not None and self._outer._declares(tool))

    def _note(self, tool: BaseTool, rollout: str) -> None:
        if self._ran is not None:
            self._ran.note(tool.name, rollout)
        if self._outer is not None:
            self._outer._note(tool, rollout)

    def has(self, use: Use) -> bool:
        """Whether an earlier round carried this call out. A step that was not finished runs again from its start."""
        return any(_same(each, use) for each in self._done)

    def _taken(self, use: Use) -> Done | None:
        with self._lock:
            done = next((each for each in self._done if _same(each, use)), None)
            if done is not None and use.call_id is None:  # without ids, a second equal call counts as a new one
                self._done.remove(done)
        return done

    def _check(self, use: Use) -> None:
        with self._lock:
            if self.proposal is None:
                self.proposal = self._proposal(use)
        self.halt()

    def halt(self) -> None:
        """Stop again if the rollout has stopped before: the agent's own error handling may have caught the first stop.

        Raises:
            RolloutStop: it has stopped before.
        """
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
        """Return the message that asked for the call: from the state, else as a model has just returned it."""
        if use.answers is None:
            return None
        asking = self.asking(use)  # several where models number their calls: parallel branches then have equal ids
        asking = [m for m in asking if says(m, use.asked)] or asking
        heard = next((m for m in reversed(self._answers) if any(m is each for each in asking)), None)
        # The state may have the message as the agent changed it; it may also have an old message with the same call id.
        same = (m for m in reversed(asking) if m is not heard and (heard is None or m.id == heard.id))
        return next(same, heard)

    def asking(self, use: Use) -> list[AIMessage]:
        """Return all messages with a call of this id and tool: first those that models returned, then the state's."""
        asked = use.asked
        state = [m for _, talk in talks(asked.place) for m in talk if isinstance(m, AIMessage)]
        return [m for m in (*self._answers[: asked.answers_seen], *state) if asks(m, asked.call_id, asked.tool.name)]

    @property
    def answers_seen(self) -> int:
        """How many messages with tool calls the models of the rollout have returned so far."""
        return len(self._answers)


def _same(done: Done, use: Use) -> bool:
    if use.inside is not None or (done["task"], done["name"]) != (task_here(), use.tool.name):
        return False
    if use.call_id is None:
        return done["made_up"] and alike(done["args"], use.args)
    return done["id"] == use.call_id and use.is_of(done["args"])


@contextmanager
def gated(gate: Gate) -> Iterator[None]:
    """Inside the ``with`` block, every tool call in this context, or in a copy of it, asks this gate first."""
    install_patch()
    tokens = current_gate.set(gate), _outer.set(None)  # calls of a nested rollout are not inside an outer tool call
    try:
        yield
    finally:
        current_gate.reset(tokens[0])
        _outer.reset(tokens[1])


def install_patch() -> None:
    """Patch LangChain's tools, so that each run asks the gate of its context; without a gate it just runs."""
    hook_tools("gate", _at_the_gate)


def _at_the_gate(run: ToolRun, execute: Step) -> Plan[Any] | None:
    gate = current_gate.get()
    return None if gate is None else _passing(gate, run, execute)


def _passing(gate: Gate, run: ToolRun, execute: Step) -> Plan[Any]:
    use = Use(run.tool, run.given, run.call_id, _outer.get(), place_here(), gate.answers_seen)
    # A tool may call tools, or ask an agent with tools: for these, the model's call that led to them is the outer one.
    token = _outer.set(use.asked if use.answers is not None else None)
    try:
        return (yield from gate.plan(use, execute))
    finally:
        _outer.reset(token)
