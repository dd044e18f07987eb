"""Which of the model events of an Inspect sample are the agent's: as objects of Inspect and as JSON of its logs.

Those of others are: events with a model role (a simulated user, a grader); events inside a scorer, which is a span, or
a step in logs from before there were spans; and those of a judge
that the agent called itself, as ``react(attempts=2)`` does. Nothing marks the latter but an intermediate ``score``
event behind them, in the agent's own span (inspect_ai 0.3.285).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ec_agent.capture.shapes import get, listed

_SCORING = ("scorers", "scorer")


def of_the_agent(
    events: Iterable[Any], messages: Sequence[Any] = (), pool: Sequence[Any] = (), *, roles: bool = False
) -> list[Any]:
    """The model events of the agent that came to an answer, in their order.

    Args:
        events: of a sample.
        messages: the sample's conversation in the end: what is in it was said by the agent.
        pool: the messages that inputs refer to by number, in a log.
        roles: take those with a model role, too.
    """
    scoring: set[Any] = set()
    steps = 0  # of scorers that are under way
    kept: list[tuple[int, Any]] = []
    spans: dict[Any, list[tuple[int, Any]]] = {}
    for place, event in enumerate(events):
        kind, span = get(event, "event"), get(event, "span_id")
        if kind == "span_begin":
            named = get(event, "type") in _SCORING or get(event, "name") == "scorers"
            if named or get(event, "parent_id") in scoring:
                scoring.add(get(event, "id"))
        elif kind == "step" and get(event, "type") in _SCORING:
            steps += 1 if get(event, "action") == "begin" else -1
        elif steps > 0:
            continue
        elif kind == "model" and _answered(event) and (roles or not get(event, "role")) and span not in scoring:
            kept.append((place, event))
            spans.setdefault(span, []).append((place, event))
        elif kind == "tool" or (kind == "score" and get(event, "intermediate") is True and span not in scoring):
            spans.setdefault(span, []).append((place, event))
    judging: set[int] = set()
    for each in spans.values():
        if any(get(event, "event") == "score" for _, event in each):
            judging |= _judging(each, messages, pool)
    return [event for place, event in kept if place not in judging]


def _answered(event: Any) -> bool:
    return not get(event, "pending") and get(event, "error") is None and bool(get(event, "output", "choices"))


def _judging(events: list[tuple[int, Any]], messages: Sequence[Any], pool: Sequence[Any]) -> set[int]:
    """The places of a judge's model events among the model, tool and score events of one span."""
    used = {place: _said(event) for place, event in events if get(event, "event") == "model"}
    conversation = {get(message, "id") for message in messages} - {None}
    heard: list[set[Any]] = []  # what inputs behind each event have in them
    later: set[Any] = set()
    for _, event in reversed(events):
        heard.append(set(later))
        if get(event, "event") == "model":
            later |= _input_ids(event, pool)
    heard.reverse()
    judging: set[int] = set()
    begin, scorer = 0, None
    for number, (_, event) in enumerate(events):
        if get(event, "event") != "score":
            continue
        stretch = [each for each in events[begin:number] if get(each[1], "event") != "score"]
        known = conversation | heard[number]
        # Without the conversation, nothing tells of an answer with which no later input goes on.
        asked = used.values() if conversation else [used[place] for place, _ in stretch if place in used]
        if any(said in known | (later if conversation else set()) for said in asked):
            judging |= _unused(stretch, used, known)
        else:
            again = begin > 0 and get(event, "scorer") != scorer  # another judge of the same answer
            judging |= _behind_the_work(stretch, nothing_done=again)
        begin, scorer = number + 1, get(event, "scorer")
    return judging


def _said(event: Any) -> Any:
    """The id of the message that it answered with."""
    return get(event, "output", "choices", 0, "message", "id")


def _input_ids(event: Any, pool: Sequence[Any]) -> set[Any]:
    given = listed(get(event, "input"))
    for reference in listed(get(event, "input_refs")):
        begin, end = get(reference, 0), get(reference, 1)
        if isinstance(begin, int) and isinstance(end, int):
            given += pool[begin:end]
    return {get(message, "id") for message in given} - {None}


def _unused(stretch: list[tuple[int, Any]], used: dict[int, Any], known: set[Any]) -> set[int]:
    """Those behind the last answer that the conversation goes on with."""
    found: set[int] = set()
    for place, _ in reversed(stretch):
        if place in used:
            if used[place] in known:
                break
            found.add(place)
    return found


def _behind_the_work(stretch: list[tuple[int, Any]], *, nothing_done: bool) -> set[int]:
    """Without ids: those behind the last tool; where no tool ran, all but the first, which is what was judged."""
    run: list[int] = []
    for place, event in reversed(stretch):
        if get(event, "event") != "model":
            return set(run)
        run.append(place)
    return set(run) if nothing_done else set(run[:-1])
