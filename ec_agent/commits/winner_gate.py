"""The gate of the winner: its tool calls are carried out, each at most once, while its own steps run again."""

from __future__ import annotations

import threading
import time
from collections.abc import Container, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from langgraph.errors import GraphInterrupt, ParentCommand

from ec_agent.commits.at_most_once import Once
from ec_agent.commits.gate import Done, RolloutGate, RolloutStop
from ec_agent.commits.tool_uses import Talk, Use, alike, answering, says, talk_with, task_here
from ec_agent.errors import CommitError
from ec_agent.support.plans import Plan, Step, pause

CONFUSABLE = (
    "a tool asks by interrupt(), and its node runs several calls of one message. LangGraph gives the answers to such "
    "calls by their order alone, so an answer could reach the wrong call. Have the model make one call a message "
    '(parallel_tool_calls=False), give each call a task of its own (Send("tools", [call])), or ask outside these tools'
)
_BEGINNING = 1.0  # seconds to wait for a call to begin; one that a wrapper answers without its tool never begins
_carrying: ContextVar[bool] = ContextVar("ec_agent_carrying_out", default=False)


@dataclass(frozen=True, slots=True)
class Planned:
    """A tool call of the chosen message.

    Attributes:
        name: the tool's name.
        args: the model's arguments.
        key: the call's idempotency key.
        commits: whether the call commits and so needs the key; a harmless call runs without it.
        made_up: whether the agent's own code made the call, and no model's message has it. Such a call has no id of
            its own and is recognised by its name and arguments.
    """

    name: str
    args: Mapping[str, Any]
    key: str
    commits: bool
    made_up: bool = False


def begin_calls(once: Once, what: str, calls: Mapping[str, Planned]) -> Plan[dict[str, Planned]]:
    """Begin the calls of one message as a step of the run, and return them with the keys they have; see ``Once.enter``.

    Raises:
        CommitUncertain: one of them may have taken effect in an earlier attempt, and its outcome is not known.
        CommitError: another run of this thread went another way and has acted already.
    """
    if not any(each.commits for each in calls.values()):
        return dict(calls)
    said = [(each.name, each.args) for each in calls.values()]
    keys = yield from once.enter(what, said, [each.key for each in calls.values()])
    return {call_id: replace(each, key=key) for (call_id, each), key in zip(calls.items(), keys, strict=True)}


class CommitGate:
    """The gate that lets the calls of the winner's message through, each at most once, and stops the run after them.

    Attributes:
        talk: the conversation with the calls' results, once all of them are done.
        failure: the first ``CommitError`` of a call. It is kept here because the agent's own error handling may catch
            it.
        beyond: the argument of that name.

    Args:
        calls: the calls to carry out, by id.
        once: carries out those that commit.
        beyond: the rollout's gate, which decides about every other call; ``None`` in the outer graph.
        beside: names of the tools whose calls one tool node runs side by side, in one graph task.
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
    def answers_seen(self) -> int | None:
        """How many messages with tool calls the models of the run have returned so far; ``None`` if not known."""
        return None if self.beyond is None else self.beyond.answers_seen

    @property
    def complete(self) -> bool:
        """Whether every call has been carried out."""
        return len(self._done) == len(self._calls)

    def halt(self) -> None:
        """Stop the run if its calls are done, or one of them failed, and it now goes on to its next step.

        Raises:
            RolloutStop: all calls are done, or the rollout's own gate has stopped it.
            CommitError: one of the calls failed.
        """
        if self.failure is not None:
            raise self.failure
        if _carrying.get() or self._in_step():  # the step of the calls may do more around them: let it end
            return
        if self.complete:
            self.talk = self.talk or talk_with(self._calls)
            raise RolloutStop("committed")
        if self.beyond is not None:  # a parallel branch that has stopped already
            self.beyond.halt()

    def _in_step(self) -> bool:
        """Whether this is called in the graph task of one of the calls, or in a graph within it."""
        here = task_here()
        with self._lock:
            return any(here == task or here.startswith(f"{task}|") for task in self._tasks.values())

    def plan(self, use: Use, execute: Step) -> Plan[Any]:
        """Carry out a call that is one of ours; leave any other to the gate beyond."""
        if use.inside is not None and use.inside in self._calls:  # one of our tools has called another tool
            return (yield from self._called_by_a_tool(self._calls[use.inside], use, execute))
        if self.beyond is not None and self.beyond.has(use):  # an earlier round has carried this call out
            return (yield from self.beyond.plan(use, execute))
        call_id = use.call_id if use.call_id is not None else self._made_up_call(use)
        planned = self._calls.get(call_id or "")
        if use.outer is not None and planned is not None and not planned.made_up:
            planned = None  # a nested agent's model made this call, and happens to use the same call id
        if planned is None or call_id is None or planned.name != use.tool.name or self._of_another(planned, use):
            return (yield from self.beyond.plan(use, execute)) if self.beyond is not None else (yield execute)
        misfit = planned.commits and use.misfits
        with self._lock:
            self._tasks[call_id] = task_here()
            if misfit:  # the tool's schema refuses the arguments: the tool does nothing, so the journal needs no entry
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
        except ParentCommand:  # the call is done, and hands the run over to another agent
            ended = True
            raise
        except GraphInterrupt:
            with self._lock:  # calls may run in threads of one tool node
                self._asked.add(call_id)
            yield from self._wait_for_others()
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
        step = self._carry_out_once(planned.key, planned.name, planned.args, execute, use.call_id)
        return answering((yield from step), use)

    def done(self) -> list[Done]:
        """Return the calls that were carried out, for the next round: it may run their steps again."""
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

    def _made_up_call(self, use: Use) -> str | None:
        """Return the id of the planned call that this is, where no model asked for it; ``None`` if it is none of them.

        Such a call has no id, so its tool and its arguments tell. Where two tasks make the same call, the first task
        gets it.
        """
        here = task_here()
        with self._lock:
            for call_id, each in self._calls.items():
                its = each.made_up and each.name == use.tool.name and alike(each.args, use.args)
                if its and call_id not in self._done and self._tasks.setdefault(call_id, here) == here:
                    return call_id
        return None

    def _of_another(self, planned: Planned, use: Use) -> bool:
        """Whether another message asked for this call. Some models number their calls, so that ids repeat."""
        if use.call_id is None or self.beyond is None:
            return False
        asked = {message.id for message in self.beyond.asking(use) if says(message, use)}
        if not use.is_of(planned.args):
            return bool(asked)
        here = task_here()
        with self._lock:  # where several messages ask for the same call with the same id, the first task gets it
            return len(asked) > 1 and self._tasks.setdefault(use.call_id, here) != here

    def _called_by_a_tool(self, outer: Planned, use: Use, execute: Step) -> Plan[Any]:
        """Run a tool that one of our calls calls in turn. If it commits, it gets a key of its own."""
        if self.beyond is None or not self.beyond.commits(use.tool.name, use.tool):
            return (yield execute)
        with self._lock:  # numbered, so that two equal calls inside one tool are two actions
            self._nested[outer.key] = count = self._nested.get(outer.key, 0) + 1
        args = {k: v for k, v in use.input.items() if k in use.tool.args} if isinstance(use.input, dict) else use.input
        key = f"{outer.key}/{use.tool.name}/{count}"
        try:
            (key,) = yield from self._once.enter(key, [(use.tool.name, args)], [key])
        except CommitError as error:
            self.failure = self.failure or error
            raise
        return (yield from self._carry_out_once(key, use.tool.name, args, execute, use.call_id))

    def _carry_out_once(self, key: str, name: str, args: Any, execute: Step, call_id: str | None) -> Plan[Any]:
        # An async tool node may have been left while its tool still runs. A second try of the call waits for the first.
        while not self._enter_key(key):
            yield pause(0.005)
        try:
            return (yield from self._once.plan(key, name, args, execute, call_id))
        except CommitError as error:
            self.failure = self.failure or error
            raise
        finally:
            with self._lock:
                self._running.discard(key)

    def _enter_key(self, key: str) -> bool:
        with self._lock:
            if key in self._running:
                return False
            self._running.add(key)
            return True

    @property
    def several_open(self) -> bool:
        """Whether several calls of one graph task are not done. LangGraph gives them answers by their order alone."""
        tasks = [self._tasks.get(call_id) for call_id in self._calls if call_id not in self._done]
        return len(tasks) > 1 and (None in tasks or len(set(tasks)) < len(tasks))

    def _wait_for_others(self) -> Plan[None]:
        """Wait, once a call has asked by ``interrupt()``, until the calls beside it have begun.

        The interrupt ends their node. A node that runs its calls in threads would end without having begun them all.
        """
        until = time.monotonic() + _BEGINNING
        while self._some_not_begun and time.monotonic() < until:
            yield pause(0.005)

    @property
    def _some_not_begun(self) -> bool:
        return any(each.name in self._beside and call_id not in self._tasks for call_id, each in self._calls.items())

    def several_ask(self, at_once: int) -> bool:
        """Whether several calls of one graph task have asked, or may still ask: the task runs ``at_once`` together."""
        return len(self._asked) > 1 or (at_once < len(self._calls) and self._some_not_begun)

    def start_over(self) -> None:
        """Prepare for the calls that are not done to begin again from their start."""
        self._nested.clear()

    def wait_until_idle(self) -> Plan[None]:
        """Wait until no call runs any more. An async tool node ends at one call while others still run."""
        while self._running or self._under_way:
            yield pause(0.005)
