"""Carrying the calls of a message out, each at most once."""

from __future__ import annotations

import threading
import time
from collections.abc import Container, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from langgraph.errors import GraphInterrupt, ParentCommand

from ec_agent.commits.gate import Done, RolloutGate, RolloutStop
from ec_agent.commits.once import Once
from ec_agent.commits.uses import Talk, Use, alike, answering, says, talk_with, task_here
from ec_agent.errors import CommitError
from ec_agent.support.plans import Plan, Step, pause

CONFUSABLE = (
    "a tool asks by interrupt(), and its node runs several calls of one message, whose answers LangGraph tells apart "
    "by order alone; have the model make one call a message (parallel_tool_calls=False), give each call a task of its "
    'own (Send("tools", [call])), or ask elsewhere'
)
_BEGINNING = 1.0  # seconds; what answers a call without its tool, a wrapper say, has it never begin
_carrying: ContextVar[bool] = ContextVar("ec_agent_carrying_out", default=False)


@dataclass(frozen=True, slots=True)
class Planned:
    """A tool call of the chosen message.

    Attributes:
        name: the tool's name.
        args: the model's arguments.
        key: its idempotency key.
        commits: whether it is carried out under that key; a harmless call is just run.
        made_up: whether no model asked for it: it is known by its name and arguments.
    """

    name: str
    args: Mapping[str, Any]
    key: str
    commits: bool
    made_up: bool = False


def entered(once: Once, what: str, calls: Mapping[str, Planned]) -> Plan[dict[str, Planned]]:
    """The calls of a message, by id, with the keys they are carried out under; see ``Once.enter``.

    Raises:
        CommitUncertain: what one of them came to is not known.
        CommitError: the run has acted on another way.
    """
    if not any(each.commits for each in calls.values()):
        return dict(calls)
    said = [(each.name, each.args) for each in calls.values()]
    keys = yield from once.enter(what, said, [each.key for each in calls.values()])
    return {call_id: replace(each, key=key) for (call_id, each), key in zip(calls.items(), keys, strict=True)}


class CommitGate:
    """The gate under which a message's calls are carried out.

    Attributes:
        talk: the conversation they are in, with their results, once the run has gone on.
        failure: a commit that is uncertain, whether or not somebody caught that.
        beyond: as given.

    Args:
        calls: the calls to carry out, by id.
        once: how those that commit are carried out.
        beyond: the gate for every other call.
        beside: the names of the tools whose calls run side by side, all in one graph task.
    """

    def __init__(
        self,
        calls: Mapping[str, Planned],
        once: Once,
        beyond: RolloutGate | None = None,
        beside: Container[str] = (),
    ) -> None:
        self.talk: Talk | None = None
        self.failure: CommitError | None = None
        self._calls = calls
        self._once = once
        self.beyond = beyond
        self._beside = beside
        self._done: set[str] = set()
        self._tasks: dict[str, str] = {}
        self._running: set[str] = set()
        self._under_way: set[str] = set()
        self._asked: set[str] = set()
        self._misfits: set[str] = set()
        self._nested: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def heard(self) -> int | None:
        """How many messages with tool calls models have returned so far."""
        return None if self.beyond is None else self.beyond.heard

    @property
    def complete(self) -> bool:
        """Whether every call has been carried out."""
        return len(self._done) == len(self._calls)

    def halt(self) -> None:
        """Stop a run that has carried its calls out, or cannot, and now goes on to something else."""
        if self.failure is not None:
            raise self.failure
        if _carrying.get() or self._in_step():  # what a step does around its calls is part of it
            return
        if self.complete:
            self.talk = self.talk or talk_with(self._calls)
            raise RolloutStop("committed")
        if self.beyond is not None:  # a branch beside them, stopped already
            self.beyond.halt()

    def _in_step(self) -> bool:
        here = task_here()
        with self._lock:
            return any(here == task or here.startswith(f"{task}|") for task in self._tasks.values())

    def plan(self, use: Use, execute: Step) -> Plan[Any]:
        """Carry a call out, or leave it to the gate beyond."""
        if use.inside is not None and use.inside in self._calls:
            return (yield from self._within(self._calls[use.inside], use, execute))
        if self.beyond is not None and self.beyond.has(use):
            return (yield from self.beyond.plan(use, execute))
        call_id = use.call_id if use.call_id is not None else self._bare(use)
        planned = self._calls.get(call_id or "")
        if use.outer is not None and planned is not None and not planned.made_up:
            planned = None  # asked by a model that a tool has asked, and that numbers its calls alike
        if planned is None or call_id is None or planned.name != use.tool.name or self._of_another(planned, use):
            return (yield from self.beyond.plan(use, execute)) if self.beyond is not None else (yield execute)
        misfit = planned.commits and use.misfits
        with self._lock:
            self._tasks[call_id] = task_here()
            if misfit:  # answered with an error, as a rule; nothing is done, so nothing is noted down
                self._done.add(call_id)
                self._misfits.add(call_id)
            else:
                self._under_way.add(call_id)
        if misfit:
            return (yield execute)
        token = _carrying.set(True)
        ended = False
        try:
            value = yield from self._carry_out(planned, use, execute)
            ended = True
        except ParentCommand:  # an agent within hands the run over
            ended = True
            raise
        except GraphInterrupt:
            with self._lock:
                self._asked.add(call_id)
            yield from self._all_begun()
            raise
        finally:
            _carrying.reset(token)
            with self._lock:
                self._under_way.discard(call_id)
                if ended:
                    self._done.add(call_id)
        return value

    def _carry_out(self, planned: Planned, use: Use, execute: Step) -> Plan[Any]:
        if not planned.commits:
            return (yield execute)
        step = self._surely(planned.key, planned.name, planned.args, execute, use.call_id)
        return answering((yield from step), use)

    def done(self) -> list[Done]:
        """The calls that were carried out, for when their steps are run again."""
        return [
            {
                "task": self._tasks[call_id],
                "id": call_id,
                "name": each.name,
                "args": dict(each.args),
                "key": each.key if each.commits and call_id not in self._misfits else None,
                "made_up": each.made_up,
            }
            for call_id, each in self._calls.items()
            if call_id in self._done
        ]

    def _bare(self, use: Use) -> str | None:
        """The call that no model asked for that this is: by its tool and its arguments, there is no id to go by.

        Of two tasks that make the same call it is the first one's.
        """
        here = task_here()
        with self._lock:
            for call_id, each in self._calls.items():
                its = each.made_up and each.name == use.tool.name and alike(each.args, use.args)
                if its and call_id not in self._done and self._tasks.setdefault(call_id, here) == here:
                    return call_id
        return None

    def _of_another(self, planned: Planned, use: Use) -> bool:
        """Whether another message, in which a call has the same id, asked for this: some models number their calls."""
        if use.call_id is None or self.beyond is None:
            return False
        asked = {message.id for message in self.beyond.asking(use) if says(message, use)}
        if not use.is_of(planned.args):
            return bool(asked)
        here = task_here()
        with self._lock:  # where several messages ask for the very same it is the first task's
            return len(asked) > 1 and self._tasks.setdefault(use.call_id, here) != here

    def _within(self, around: Planned, use: Use, execute: Step) -> Plan[Any]:
        """A tool called by a tool: if it commits, under a key of its own."""
        if self.beyond is None or not self.beyond.commits(use.tool.name, use.tool):
            return (yield execute)
        with self._lock:
            self._nested[around.key] = count = self._nested.get(around.key, 0) + 1
        args = {k: v for k, v in use.input.items() if k in use.tool.args} if isinstance(use.input, dict) else use.input
        key = f"{around.key}/{use.tool.name}/{count}"
        try:
            (key,) = yield from self._once.enter(key, [(use.tool.name, args)], [key])
        except CommitError as error:
            self.failure = self.failure or error
            raise
        return (yield from self._surely(key, use.tool.name, args, execute, use.call_id))

    def _surely(self, key: str, name: str, args: Any, execute: Step, call_id: str | None) -> Plan[Any]:
        while not self._begun(key):  # tried again while the first try goes on: an async tool node leaves it behind
            yield pause(0.005)
        try:
            return (yield from self._once.plan(key, name, args, execute, call_id))
        except CommitError as error:
            self.failure = self.failure or error
            raise
        finally:
            with self._lock:
                self._running.discard(key)

    def _begun(self, key: str) -> bool:
        with self._lock:
            if key in self._running:
                return False
            self._running.add(key)
            return True

    @property
    def confusable(self) -> bool:
        """Whether several calls are open in one graph task, where answers to their questions go by order alone."""
        tasks = [self._tasks.get(call_id) for call_id in self._calls if call_id not in self._done]
        return len(tasks) > 1 and (None in tasks or len(set(tasks)) < len(tasks))

    def _all_begun(self) -> Plan[None]:
        """Wait for those beside a call that asks: in threads, its node would leave without having begun them."""
        until = time.monotonic() + _BEGINNING
        while self._unbegun and time.monotonic() < until:
            yield pause(0.005)

    @property
    def _unbegun(self) -> bool:
        return any(each.name in self._beside and call_id not in self._tasks for call_id, each in self._calls.items())

    def confused(self, at_once: int) -> bool:
        """Whether several calls in one graph task have asked, or may do so later: it runs so many ``at_once``."""
        return len(self._asked) > 1 or (at_once < len(self._calls) and self._unbegun)

    def again(self) -> None:
        """The calls that are not done begin anew."""
        self._nested.clear()

    def quiet(self) -> Plan[None]:
        """Wait for calls that go on beside one that asked: an async tool node does not."""
        while self._running or self._under_way:
            yield pause(0.005)
