"""A function that returns the whole state of a graph it calls: what that graph wrote is what counts.

Added to the state around, the whole would count twice what was there. A function may as well return the new part alone,
so that is seen only when it has run: the graph is heard, and its own values are told from others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.channels import BinaryOperatorAggregate

from ec_agent.errors import AgentError
from ec_agent.rollouts.agents import Writes as Pairs
from ec_agent.rollouts.internals import Channel, overwrites
from ec_agent.rollouts.messages import state_values
from ec_agent.rollouts.writes import WriteLog


class Within:
    """Hears the graphs that a function calls.

    Args:
        given: the state the function is given.
    """

    def __init__(self, given: Any) -> None:
        self._given = state_values(given) or {}
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
            if final.get(key, writes) is not value or not _is_of(dict(writes), final, value):
                continue
            before = self._given[key]
            wrote = [each for name, each in log.writes() if name == key]
            # Messages are told apart by their ids, say; and a graph that began with nothing has no more than it wrote.
            if _same(_reduced(channel, before, [value]), value) or _same(_reduced(channel, *_first(wrote)), value):
                break
            if not any(overwrites(each) for each in wrote) and _same(_reduced(channel, before, wrote), value):
                return [(key, each) for each in wrote]
            raise AgentError(
                f"the function returned the whole {key!r} of the graph that it calls, which would count twice what was "
                "there; pass the graph itself, or return the new part alone"
            )
        return [(key, value)]


def _is_of(writes: Mapping[str, Any], final: Mapping[str, Any], value: Any) -> bool:
    """Whether a value is a graph's own: a number may be the same by chance, a whole state is not."""
    return isinstance(value, list | dict | set) or all(writes.get(key, final) is final[key] for key in final)


def _reduced(channel: BinaryOperatorAggregate[Any], value: Any, writes: Sequence[Any]) -> Any:
    try:
        for each in writes:
            value = channel.operator(value, each)
    except Exception:  # it does not take such values
        return _NOTHING
    return value


def _first(writes: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    return (writes[0], writes[1:]) if writes else (_NOTHING, ())


_NOTHING = object()


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # arrays and the like have no one answer
        return False
