"""Mend the output of a function that returns the whole state of a graph it calls.

The outer state already has most of that whole: a reducer that adds it would count those values twice. So the value is
replaced by what the inner graph wrote. A function may also return only the new part, which is right. Which of the two
it returns is known only after it has run: we stream the inner graph, and compare its values with the function's output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.channels import BinaryOperatorAggregate
from langgraph.graph import END

from ec_agent.errors import AgentError
from ec_agent.insides.langgraph import Channel, overwrites
from ec_agent.rollouts.agents import Writes as Pairs
from ec_agent.rollouts.messages import fingerprint, private_copy, state_values
from ec_agent.rollouts.writes import WriteLog


class InnerGraphs:
    """Follows the graphs that a function calls, by their streams.

    Args:
        given: the state that the function gets; it is not changed.
        resumed: whether the function runs again after a pause. Its graphs' earlier writes are not streamed then.
    """

    def __init__(self, given: Any, resumed: bool) -> None:
        self._given = state_values(given) or {}
        self._resumed = resumed
        self._heard: dict[tuple[str, ...], tuple[WriteLog, dict[str, Any]]] = {}

    def hear(self, place: Sequence[str], mode: str, part: Any) -> None:
        """Take in one part of an inner graph's stream; ``place`` identifies the graph."""
        log, final = self._heard.setdefault(tuple(place), (WriteLog(), {}))
        if mode == "tasks":
            log.hear(part)
        elif mode == "values" and isinstance(part, Mapping):
            final.clear()
            final.update(part)
            if not (log.split or log.running):
                log.applied()

    def mended(self, writes: Pairs, outer: Mapping[str, Channel]) -> Pairs:
        """Return the function's writes, with each whole state of an inner graph replaced by that graph's own writes.

        Raises:
            AgentError: a value is a graph's whole state plus something else, so that the new part cannot be found.
        """
        return [pair for key, value in writes for pair in self._of(key, value, writes, outer.get(key))]

    def _of(self, key: str, value: Any, writes: Pairs, channel: Channel | None) -> Pairs:
        if not isinstance(channel, BinaryOperatorAggregate) or key not in self._given:
            return [(key, value)]
        for log, final in self._heard.values():
            if key not in final or not _is_of(writes, final, key, value):
                continue
            done = log.writes()
            if any(name == END for name, _ in done):  # an entrypoint, which returns what its function returns
                continue
            before = self._given[key]
            wrote = [each for name, each in done if name == key]
            if any(each is value for each in wrote) or _counts_once(channel, before, value, wrote):
                break
            added = value[len(final[key]) :] if isinstance(value, list) else []
            all_of_it = [*wrote, added] if added else wrote
            if not any(overwrites(each) for each in wrote) and _same(_reduced(channel, before, all_of_it), value):
                return [(key, each) for each in all_of_it]
            more = _more(before, value) if self._resumed else []
            # Compare by content: a message without an id before the pause has got different ids in the two states.
            if more and fingerprint(_reduced(channel, before, more)) == fingerprint(value):
                return [(key, each) for each in more]
            raise AgentError(
                f"the function returned the whole {key!r} of the graph that it calls, so what the state had before "
                "would count twice; pass the graph itself, or return only the new part"
            )
        return [(key, value)]


def _counts_once(channel: BinaryOperatorAggregate[Any], before: Any, value: Any, wrote: Sequence[Any]) -> bool:
    """Whether adding the whole value counts nothing twice.

    That is so where the reducer compares ids, as for messages, or where the inner graph began with an empty state.
    """
    once = _reduced(channel, before, [value])
    return (
        _same(once, value)
        or _same(_reduced(channel, before, [value, value]), once)
        or _same(_reduced(channel, *_first(wrote)), value)
    )


def _is_of(writes: Pairs, final: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether a value comes from the final state of a graph.

    A list or dict is recognised by its identity. A number may be equal by chance, so for a number the function must
    have returned other parts of the same state as well.
    """
    if isinstance(value, _IDENTIFIED):
        return _begins_with(value, final[key])
    if value is not final[key]:
        return False
    returned = dict(writes)
    others = [name for name in final if name in returned and isinstance(returned[name], _IDENTIFIED)]
    if others:
        return any(_begins_with(returned[name], final[name]) for name in others)
    return all(returned.get(name, final) is final[name] for name in final)


def _begins_with(value: Any, whole: Any) -> bool:
    """Whether the value is the same object as ``whole``, or a list that begins with the same items."""
    if value is whole:
        return True
    if not (isinstance(value, list) and isinstance(whole, list) and whole):
        return False
    return len(value) >= len(whole) and all(one is other for one, other in zip(value, whole, strict=False))


_IDENTIFIED = (list, dict, set)  # each of these is a new object wherever it is made, so identity tells its origin


def _reduced(channel: BinaryOperatorAggregate[Any], value: Any, writes: Sequence[Any]) -> Any:
    try:
        value = private_copy(value)  # a reducer may change its first argument
        for each in writes:
            value = channel.operator(value, each)
    except Exception:  # the reducer does not take such values
        return _NOTHING
    return value


def _first(writes: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    return (writes[0], writes[1:]) if writes else (_NOTHING, ())


def _more(before: Any, value: Any) -> list[Any]:
    """Return what was added to a list or a number, as a list of at most one write."""
    if isinstance(value, list) and isinstance(before, list):
        return [value[len(before) :]]
    return [value - before] if isinstance(value, int | float) and isinstance(before, int | float) else []


_NOTHING = object()


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays compare element by element, which gives no single truth value
        return False
