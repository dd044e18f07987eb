"""The differences that are right: docs/differences.md gives each its reason, and here it is told exactly."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from diff_gist import ID, MISSING, Difference

Told = dict[str, Any]  # what a run left
Tells = Callable[[Difference, Told, Told], bool]
ALLOWED: dict[str, Tells] = {}


def allowed(name: str) -> Callable[[Tells], Tells]:
    def add(tells: Tells) -> Tells:
        ALLOWED[name] = tells
        return tells

    return add


FAILURE = "the error of a failed run"


@allowed(FAILURE)
def failure(found: Difference, bare: Told, agent: Told) -> bool:
    """All rollouts fail as the agent alone does: ours names their error, its class and its words."""
    alone, ours = found.alone, found.ours
    if found.place[1:] != ("output",) or not all(isinstance(each, dict) and "error" in each for each in (alone, ours)):
        return False
    told = f"{alone['error']}: {alone['says'].splitlines()[0]}"
    return ours["error"] == "AllRolloutsFailedError" and told in ours["says"]


@allowed("a failed run leaves its input alone")
def failed_half_way(found: Difference, bare: Told, agent: Told) -> bool:
    """The steps before a failure are in the state of the agent alone; no rollout is chosen, so none is in ours."""
    return "error" in bare[found.place[0]]["output"] and found.place[1:2] == ("state",) and _the_input(found)


@allowed("half a turn is not in the state while it asks")
def asks_half_way(found: Difference, bare: Told, agent: Told) -> bool:
    """While a node asks, what it did before is not in the state around it, as with every node of LangGraph."""
    return bare[found.place[0]]["paused"] and found.place[1] in ("output", "state") and _the_input(found)


@allowed("a function's state is its input while it asks")
def input_of_a_function(found: Difference, bare: Told, agent: Told) -> bool:
    """A function has a state without keys: what it was given, until it gives something back."""
    if not bare[found.place[0]]["paused"] or found.place[1] not in ("output", "state"):
        return False
    return found.place[2:] in ((), ("messages",)) and _holds_no_answer(found.ours)


@allowed("messages without an id get one")
def ids_given(found: Difference, bare: Told, agent: Told) -> bool:
    """What is taken up again must be the same message; a state with keys gives them ids anyhow."""
    return found.place[-1] == "id" and found.alone == MISSING and bool(ID.fullmatch(str(found.ours)))


def _holds_no_answer(told: Any) -> bool:
    return "'type': 'ai'" not in repr(told) and "error" not in repr(told)


def _the_input(found: Difference) -> bool:
    """Whether ours is what the turn began with, and the agent alone has gone on from it."""
    if len(found.place) < 3 or found.place[2] == "__interrupt__":
        return False
    if not isinstance(found.ours, list):
        return isinstance(found.ours, str)  # nothing yet, or the last turn's
    begun = _without_ids(found.alone[: len(found.ours)]) == _without_ids(found.ours)
    return begun and len(found.alone) > len(found.ours)


WRITES = "a node gives its writes, not its whole state"


@allowed(WRITES)
def writes_only(found: Difference, bare: Told, agent: Told) -> bool:
    """A graph as a node gives back all that it holds, to be added again; ours leaves what the agent alone leaves."""
    moments = list(agent)
    at = moments.index(found.place[0])
    # While it asks, that is what the last turn left.
    paused = isinstance(agent[moments[at]], dict) and agent[moments[at]].get("paused")
    before = next((m for m in reversed(moments[:at]) if not agent[m]["paused"]), None) if paused else moments[at]
    place = (before, "state", *found.place[2:]) if paused else found.place
    return _without_ids(_at(agent, place)) == _without_ids(found.ours)


def _at(told: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        if not (isinstance(told, dict) and step in told) and not (isinstance(told, list) and step < len(told)):
            return MISSING
        told = told[step]
    return told


def _without_ids(told: Any) -> str:
    return ID.sub("", repr(told))


def explain(
    found: list[Difference], names: Any, bare: Told, agent: Callable[[], Told]
) -> tuple[list[Difference], list[str]]:
    """The differences that no name explains, and the names that explain none.

    Args:
        found: the differences.
        names: of those that are right here.
        bare: what the agent without us left, run in the same way.
        agent: what it left on a thread of its own.
    """
    used: set[str] = set()
    left = []
    for each in found:
        moment = isinstance(bare[each.place[0]], dict)  # else it is what models were asked, or the store
        its = [
            name
            for name in names
            if (moment or name == WRITES) and ALLOWED[name](each, bare, agent() if name == WRITES else {})
        ]
        used.update(its)
        if not its:
            left.append(each)
    return left, [name for name in names if name not in used]


def documented(page: str) -> set[str]:
    """The names in docs/differences.md: its headings of the third level."""
    return set(re.findall(r"^### (.+)$", page, re.MULTILINE))


__all__ = ["ALLOWED", "MISSING", "documented", "explain"]
