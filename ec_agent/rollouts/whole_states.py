"""A function that returns the whole state of a graph it calls: what that graph wrote is what counts.

Added to the state around, the whole would count twice what was there. A function may as well return the new part alone,
so that is seen only when it has run: the graph is heard, and its own values are told from others.
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


class Within:
    """Hears the graphs that a function calls.

    Args:
        given: the state the function is given; it is not changed.
        resumed: whether it is taken up again, so that what a graph wrote before is not heard.
    """

    def __init__(self, given: Any, resumed: bool) -> None:
        self._given = state_values(given) or {}
        self._resumed = resumed
        self._heard: dict[tuple[str, ...], tuple[WriteLog, dict[str, Any]]] = {}

    def hear(self, place: Sequence[str], mode: str, part: Any) -> None:
        """A part of such a graph's stream."""
        log, final = self._heard.setdefault(tuple(place), (WriteLog(), {}))
        if mode == "tasks":
            log.hear(part)
        elif mode == "values" and isinstance(part, Mapping):
            final.clear()
            final.update(part)
            if not (log.split or log.running):
                log.applied()

    def mended(self, writes: Pairs, outer: Mapping[str, Channel]) -> Pairs:
        """The function's writes; for a value that is a graph's whole state, what that graph wrote to it.

        Raises:
            AgentError: it is more than the graph wrote, and would count twice what was there.
        """
        return [pair for key, value in writes for pair in self._of(key, value, writes, outer.get(key))]

    def _of(self, key: str, value: Any, writes: Pairs, channel: Channel | None) -> Pairs:
        if not isinstance(channel, BinaryOperatorAggregate) or key not in self._given:
            return [(key, value)]
        for log, final in self._heard.values():
            if key not in final or not _is_of(writes, final, key, value):
                continue
            done = log.writes()
            if any(name == END for name, _ in done):  # an entrypoint's: it returns what its function returns
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
            # By now messages may have other ids: one that had none before the pause gets one here and there.
            if more and fingerprint(_reduced(channel, before, more)) == fingerprint(value):
                return [(key, each) for each in more]
            raise AgentError(
                f"the function returned the whole {key!r} of the graph that it calls, which would count twice what was "
                "there; pass the graph itself, or return the new part alone"
            )
        return [(key, value)]


def _counts_once(channel: BinaryOperatorAggregate[Any], before: Any, value: Any, wrote: Sequence[Any]) -> bool:
    """Whether nothing of what was there is added again: messages have ids, say; or the graph began with nothing."""
    once = _reduced(channel, before, [value])
    return (
        _same(once, value)
        or _same(_reduced(channel, before, [value, value]), once)
        or _same(_reduced(channel, *_first(wrote)), value)
    )


def _is_of(writes: Pairs, final: Mapping[str, Any], key: str, value: Any) -> bool:
    """Whether a value is a graph's own: a number may be the same by chance, but not beside others of that graph."""
    if isinstance(value, _TOLD):
        return _begins_with(value, final[key])
    if value is not final[key]:
        return False
    returned = dict(writes)
    others = [name for name in final if name in returned and isinstance(returned[name], _TOLD)]
    if others:
        return any(_begins_with(returned[name], final[name]) for name in others)
    return all(returned.get(name, final) is final[name] for name in final)


def _begins_with(value: Any, whole: Any) -> bool:
    """Whether it is that very thing, or a list of the same items, and perhaps more after them."""
    if value is whole:
        return True
    if not (isinstance(value, list) and isinstance(whole, list) and whole):
        return False
    return len(value) >= len(whole) and all(one is other for one, other in zip(value, whole, strict=False))


_TOLD = (list, dict, set)  # made anew wherever they are made


def _reduced(channel: BinaryOperatorAggregate[Any], value: Any, writes: Sequence[Any]) -> Any:
    try:
        value = private_copy(value)  # an operator may change what it adds to
        for each in writes:
            value = channel.operator(value, each)
    except Exception:  # it does not take such values
        return _NOTHING
    return value


def _first(writes: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    return (writes[0], writes[1:]) if writes else (_NOTHING, ())


def _more(before: Any, value: Any) -> list[Any]:
    """What a list or a number has more than it had before."""
    if isinstance(value, list) and isinstance(before, list):
        return [value[len(before) :]]
    return [value - before] if isinstance(value, int | float) and isinstance(before, int | float) else []


_NOTHING = object()


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays and the like have no one answer
        return False
