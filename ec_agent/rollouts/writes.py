"""Turn the writes of an agent, step by step, into the writes that the outer graph receives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn, SupportsIndex, overload

from langgraph.types import Command, Overwrite

from ec_agent.errors import AgentError, StateMismatchError
from ec_agent.insides.langgraph import (
    PUSH,
    RETURN,
    ROOT,
    Channel,
    Place,
    accumulates,
    collects,
    handler_place,
    overwrites,
    passing,
)
from ec_agent.rollouts.agents import Agent
from ec_agent.rollouts.agents import Writes as Pairs
from ec_agent.rollouts.messages import message_ids
from ec_agent.rollouts.refused_agents import no_update, refuse_message_maker


class WriteLog:
    """Reads a graph's writes from its ``tasks`` stream, in the order in which the graph applies them.

    The tasks of one step finish in any order, but LangGraph applies their writes in a fixed order: nodes by name, then
    ``Send`` tasks by number, an error handler right after the task that failed. A step that stops in the middle, at a
    question or an action, is applied only after its remaining tasks have run, together with the writes of the others.

    Attributes:
        finished: writes of the tasks that were finished when the rollout stopped in their step, by task id.
        rescued: ids of the tasks that failed, by the ids of their error handlers' tasks.
        interrupts: the interrupts of the step's tasks.
        split: whether a task stopped in the middle, so that the step's writes are not applied yet.
    """

    def __init__(self) -> None:
        self.finished: Mapping[str, Pairs] = {}
        self.rescued: Mapping[str, str] = {}
        self.interrupts: list[Any] = []
        self.split = False
        self._stopped: str | None = None
        self._over = self._caught = False
        self._wave, self._waves = 0, dict[str, int]()
        self._ended = False
        self._done: Pairs = []
        self._running: set[str] = set()
        self._order: dict[str, Place] = {}
        self._results: dict[str, Pairs] = {}

    def stop(self, task: str) -> None:
        """Note the task in which the rollout was stopped: its own writes do not count, and no later step does."""
        self._stopped = task

    @property
    def over(self) -> bool:
        """Whether the agent began another step after it was stopped, because something in it caught the stop."""
        return self._over

    @property
    def caught(self) -> bool:
        """Whether something in the agent caught the stop, so that its step has finished and cannot be resumed."""
        return self._caught or self._over

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take in an event of the stream: a task starts, or has a result."""
        if self._over:
            return
        if "triggers" in event:
            self._start(event)
        else:
            self._end(event)

    def _start(self, event: Mapping[str, Any]) -> None:
        if self._ended:
            self._wave, self._ended = self._wave + 1, False
            if not self._running:  # otherwise a running node has called a functional task, inside the same step
                self._close_step()
        wave = self._waves.setdefault(event["id"], self._wave)
        if event["id"] == self._stopped:
            return
        pushed = tuple(event["triggers"]) == (PUSH,)
        place = (1, len(self._order), 0) if pushed else (0, event["name"], 0)
        if event["id"] in self.finished:  # LangGraph does not run it again, but applies what it wrote before
            self._order[event["id"]] = place
            self._results.setdefault(event["id"], self.finished[event["id"]])
            return
        # Nodes of one step start together, though their events may come late. A ``Send`` task may start in between.
        if self._stopped is not None and not pushed and wave > self._waves.get(self._stopped, wave):
            self._over = True
            return
        self._running.add(event["id"])
        self._order[event["id"]] = place

    def _end(self, event: Mapping[str, Any]) -> None:
        self._ended = True
        self._running.discard(event["id"])
        self.split = self.split or bool(event.get("interrupts"))
        if event["id"] == self._stopped:
            self._caught = not event.get("interrupts") and event.get("error") is None
            return
        self.interrupts += event.get("interrupts") or []
        if (failed := self.rescued.get(event["id"], "")) in self._order:
            self._order[event["id"]] = handler_place(self._order[failed])
        self._order.setdefault(event["id"], (0, event["name"], 0))
        self._results[event["id"]] = _unfolded(event.get("result") or {})

    def resumed(self, finished: Mapping[str, Pairs]) -> None:
        """Prepare for the run to resume the step in which it stopped; these tasks of it are finished."""
        self.finished, self.interrupts, self.split = finished, [], False
        self._ended, self._running = False, set()
        self._results, self._order = {}, {}

    def applied(self) -> None:
        """Note that the graph has applied the writes of its step."""
        if not self._over:
            self._close_step()

    def _close_step(self) -> None:
        self._done += self._open()
        self._results, self._order = {}, {}

    def _open(self) -> Pairs:
        tasks = sorted(self._results, key=lambda task: self._order[task])
        return [write for task in tasks for write in self._results[task]]

    def writes(self) -> Pairs:
        """Return all writes so far; those of an unfinished step come last."""
        return [*self._done, *self._open()]

    @property
    def running(self) -> bool:
        """Whether a task has started and not ended."""
        return bool(self._running)

    @property
    def open(self) -> int:
        """How many of ``writes()`` belong to an unfinished step."""
        return len(self._open()) if self.split else 0


def _unfolded(result: Mapping[str, Any]) -> Pairs:
    """Return a task's result as single writes. The stream folds several writes to a key into ``{"$writes": [...]}``."""
    pairs: Pairs = []
    for key, value in result.items():
        if key == RETURN:  # the return value of a functional task goes to its caller, not to the state
            continue
        several = value.get("$writes") if isinstance(value, dict) else None
        pairs += [(key, each) for each in several] if isinstance(several, list) else [(key, value)]
    return pairs


def check_fit(agent: Agent, outer: Mapping[str, Channel], selection_key: str | None, mapped: bool) -> None:
    """Refuse, before any rollout runs, an outer state that cannot take the winner's writes.

    Raises:
        StateMismatchError: the two states have no key in common; the outer state has a reducer for a key that the
            agent sets as a plain value; or the outer state has no key for the receipt.
        AgentError: the agent is a sequence that returns a message or a text.
    """
    if not outer:
        raise StateMismatchError(
            "there is no state here to write to (a functional entrypoint or task?); call "
            "best_of_n(...).as_agent().invoke(...) to get the winner's full output"
        )
    if selection_key is not None and selection_key not in outer and ROOT not in outer:
        raise StateMismatchError(
            f"selection_key={selection_key!r} is not a key of the outer state, so the receipt would be "
            "dropped; add the key to the state schema"
        )
    if agent.channels is None and not mapped and ROOT not in outer:
        refuse_message_maker(agent.original)
    if mapped or agent.channels is None:
        return
    shared = [key for key in agent.channels if key in outer]
    if ROOT in outer:
        raise StateMismatchError(
            "the graph around the node has a state without keys, so the winner's writes have nowhere to go; "
            "call best_of_n(...).as_agent().invoke(...) to get the agent's full state"
        )
    if not shared:
        raise StateMismatchError(
            f"the agent writes {_names(agent.channels)}, the outer state has {_names(outer)}: no key in "
            "common; rename one, or map the agent's output: best_of_n(agent, output=lambda state: {...})"
        )
    plain = [key for key in shared if not accumulates(agent.channels[key]) and not collects(agent.channels[key])]
    clashes = [key for key in plain if accumulates(outer[key])]
    if clashes:
        raise StateMismatchError(
            f"the outer state has a reducer for {_names(clashes)}, which the agent sets as plain values. The reducer "
            "would add each whole value to the present one. Give the agent's schema the same reducer, or map the "
            "output: best_of_n(agent, output=lambda state: {...})"
        )


def outer_writes(
    agent: Agent,
    writes: Pairs,
    final: Any,
    outer: Mapping[str, Channel],
    anew: Collection[str] = (),
    *,
    ended: bool = True,
) -> Pairs:
    """Turn the agent's writes into writes to the outer state.

    A key with a reducer receives every write once. A key without one receives the agent's final value once, if there
    is one: some channels keep a value for one step only. A key that the agent overwrote also receives the final value,
    because an ``Overwrite`` hides the other writes of its step.

    Args:
        agent: the agent.
        writes: its writes, in order.
        final: its final state.
        outer: the channels of the outer graph.
        anew: keys that an earlier round overwrote.
        ended: whether the agent has ended, and not only paused.

    Raises:
        AgentError: the agent returned a value without keys.
        StateMismatchError: a function wrote no key that the outer state has.
    """
    if ROOT in outer:
        return [(ROOT, final)] if agent.channels is None else writes
    for key, value in writes:
        if key == ROOT:
            raise no_update(value)
    if agent.channels is None:
        return _of_a_function(writes, outer)
    known = [(key, value) for key, value in writes if key in outer and key in agent.channels]
    kinds = {key: (accumulates(outer[key]), passing(agent.channels[key])) for key in {key for key, _ in known}}
    reset = {*anew, *set_anew(known)} & set(final or ())
    kept: Pairs = []
    once: dict[str, Any] = {}
    for key, value in known:
        adds, passes = kinds[key]
        if adds and not passes and key not in reset:
            kept.append((key, value))
        elif key in final and (ended or not passes):
            once[key] = Overwrite(final[key]) if key in reset and adds else final[key]
        elif not ended and not passes:
            once[key] = value
    return [*kept, *once.items()]


def _of_a_function(writes: Pairs, outer: Mapping[str, Channel]) -> Pairs:
    kept = [(key, value) for key, value in writes if key in outer]
    if writes and not kept:
        raise StateMismatchError(
            f"the agent wrote {_names(dict(writes))}, the outer state has {_names(outer)}: no key in common; "
            "rename one, or map the agent's output: best_of_n(agent, output=lambda update: {...})"
        )
    return _last_of_each(kept, lambda key, _: not _gathers(outer[key]))


def set_anew(writes: Iterable[Sequence[Any]]) -> list[str]:
    """Return the keys that these writes set by ``Overwrite``, in spite of their reducers."""
    return sorted({key for key, value in writes if overwrites(value)})


def open_writes(agent: Agent, writes: Pairs, outer: Mapping[str, Channel]) -> Pairs:
    """Turn the writes of an unfinished step into writes to the outer state, as its graph would apply them."""
    known = [(key, value) for key, value in writes if key in outer and key in (agent.channels or ())]
    return _last_of_each(known, lambda key, value: not _gathers(outer[key]) or overwrites(value))


def _last_of_each(writes: Pairs, alone: Callable[[str, Any], bool]) -> Pairs:
    """Drop each write that a later write to the same key replaces; ``alone`` tells whether a write replaces."""
    last = {key: place for place, (key, value) in enumerate(writes) if alone(key, value)}
    return [pair for place, pair in enumerate(writes) if last.get(pair[0], place) == place]


def _gathers(channel: Channel) -> bool:
    """Whether several writes of one step all count."""
    return accumulates(channel) or collects(channel)


class Writes(list[Command[Any]]):
    """The winner's writes, which ``best_of_n`` returns inside a graph. A node returns them as they are.

    ``return node.invoke(state)`` is right. Do not read them like a state: adding their messages to a state again would
    count them twice. So every operation that belongs to a dict raises ``AgentError``: a key in square brackets or
    before ``in``, ``keys``, ``items``, ``get``, ``dict(writes)``, ``{**writes}``, ``writes | more``.

    The class is a list of commands, because LangGraph accepts such a list from a node. Operations that LangGraph itself
    needs cannot be refused: a ``for`` loop, ``len``, ``bool``, ``messages += writes``, ``json.dumps``. Nor can code be
    caught that first asks ``isinstance(writes, dict)`` or ``hasattr``.
    """

    @overload
    def __getitem__(self, key: SupportsIndex) -> Command[Any]: ...
    @overload
    def __getitem__(self, key: slice) -> list[Command[Any]]: ...
    def __getitem__(self, key: Any) -> Any:
        """Return an item by position.

        Raises:
            AgentError: ``key`` is a state key.
        """
        self._by_place(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._by_place(key)
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        self._by_place(key)
        super().__delitem__(key)

    def __contains__(self, key: object) -> bool:
        return self._not_a_state() if isinstance(key, str) else super().__contains__(key)

    def pop(self, key: Any = -1, *default: Any) -> Command[Any]:
        """Remove an item by position and return it."""
        self._by_place(key)
        return super().pop(key, *default)

    def copy(self) -> Writes:
        """Return the same writes in another list."""
        return Writes(self)

    def _by_place(self, key: Any) -> None:
        # Not only text is refused: a loop over the writes gives commands, which code may then use like keys.
        if not isinstance(key, slice) and not hasattr(type(key), "__index__"):
            self._not_a_state()

    def _not_a_state(self, *_: Any, **__: Any) -> NoReturn:
        raise AgentError(
            "inside a graph best_of_n(...).invoke() returns the winner's writes, not a state; return them "
            "from the node as they are, or call best_of_n(...).as_agent().invoke(...) to get the full state"
        )

    # Methods of a dict, which a list lacks: they raise our error, which tells what to do, instead of AttributeError.
    get = keys = values = items = update = setdefault = popitem = _not_a_state
    __add__ = __radd__ = __mul__ = __or__ = __ror__ = __ior__ = _not_a_state

    @classmethod
    def of(cls, pairs: Sequence[Sequence[Any]], goto: Sequence[Any] = ()) -> Writes:
        """Make one command per write, and one for the nodes to go to next."""
        commands: list[Command[Any]] = [
            # A state without keys takes only pairs. Otherwise use a dict, in which LangGraph's message streaming looks
            # for messages.
            Command(update=[(key, value)] if key == ROOT else {key: value})
            for key, value in pairs
        ]
        if goto or not commands:  # LangGraph refuses an empty list from a node
            commands.append(Command(goto=list(goto)))
        return cls(commands)


def joined(rounds: Sequence[Sequence[Sequence[Any]]], outer: Mapping[str, Channel]) -> Pairs:
    """Join the writes of one rollout's rounds, in order.

    A write that replaces a key's value makes all earlier writes to that key superfluous; they are dropped.
    """
    pairs: Pairs = []
    for written in rounds:
        plain = {key for key in {key for key, _ in written} if key in outer and not accumulates(outer[key])}
        anew = {key for key, value in written if key in plain or (key in outer and overwrites(value))}
        pairs = [pair for pair in pairs if pair[0] not in anew]
        pairs += [(key, value) for key, value in written]
    return pairs


def with_talk(pairs: Pairs, talk: Sequence[Any] | None, known: Any, outer: Mapping[str, Channel]) -> Pairs:
    """Add to the writes those messages of a conversation that they lack.

    Args:
        pairs: the writes.
        talk: the conversation's state key and messages; ``None`` adds nothing.
        known: the agent's input. The outer state has its messages already.
        outer: the channels of the outer graph.
    """
    if talk is None:
        return pairs
    key, messages = talk
    there = set(message_ids([known, [value for _, value in pairs]]))
    new = [message for message in messages if message.id not in there]
    if not new:
        return pairs
    if ROOT in outer:  # the state has no keys: add to the one update that a function returned, if any
        update = dict(pairs[-1][1]) if pairs and isinstance(pairs[-1][1], Mapping) else {}
        return [*pairs[:-1], (ROOT, {**update, key: [*update.get(key, ()), *new]})]
    return [*pairs, (key, new)] if key in outer and accumulates(outer[key]) else pairs


def _names(keys: Any) -> str:
    return ", ".join(repr(key) for key in keys) or "nothing"
