"""Finds the model events of an Inspect sample that belong to the agent. Events are Inspect's objects, or JSON of a log.

Three kinds of model events do not belong to the agent:

* events with a model role, such as a simulated user or a grader;
* events inside a scorer, which is a span (in old logs a step);
* events of a judge that the agent itself called, as ``react(attempts=2)`` does. They are in the agent's own span. The
  only sign of them is an intermediate ``score`` event that follows (inspect_ai 0.3.285).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ec_agent.capture.shapes import get, listed

_SCORING = ("scorers", "scorer")


def of_the_agent(
    events: Iterable[Any], messages: Sequence[Any] = (), pool: Sequence[Any] = (), *, roles: bool = False
) -> list[Any]:
    """Return the model events of the agent that have an answer, in order.

    Args:
        events: all events of the sample.
        messages: the sample's final conversation. The agent wrote the answers in it.
        pool: in a log, the list of messages that inputs refer to by their number.
        roles: whether to return events with a model role, too.
    """
    scoring: set[Any] = set()  # ids of the spans of scorers, and of spans inside them
    steps = 0  # how many steps of scorers are open, in an old log
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
    """Find the model events of a judge in one span of the agent. A judge's answers are in no later input.

    Args:
        events: the model, tool and score events of the span, each with its place among all events.
        messages: as for ``of_the_agent``.
        pool: as for ``of_the_agent``.

    Returns:
        The places of the judge's events.
    """
    used = {place: _said(event) for place, event in events if get(event, "event") == "model"}
    conversation = {get(message, "id") for message in messages} - {None}
    later_inputs: list[set[Any]] = []  # for each event: the ids of messages in the inputs of later model events
    later: set[Any] = set()
    for _, event in reversed(events):
        later_inputs.append(set(later))
        if get(event, "event") == "model":
            later |= _input_ids(event, pool)
    later_inputs.reverse()
    judging: set[int] = set()
    begin, scorer = 0, None
    for number, (_, event) in enumerate(events):
        if get(event, "event") != "score":
            continue
        stretch = [each for each in events[begin:number] if get(each[1], "event") != "score"]
        known = conversation | later_inputs[number]
        # Without the final conversation, an answer that no later input holds may be the judge's, or the agent's last.
        # So only the events of this part are asked about.
        asked = used.values() if conversation else [used[place] for place, _ in stretch if place in used]
        if any(said in known | (later if conversation else set()) for said in asked):
            judging |= _unused(stretch, used, known)
        else:
            another_judge = begin > 0 and get(event, "scorer") != scorer  # it judges the same answer as the one before
            judging |= _after_last_tool(stretch, nothing_done=another_judge)
        begin, scorer = number + 1, get(event, "scorer")
    return judging


def _said(event: Any) -> Any:
    """Return the id of the message that a model event answered with."""
    return get(event, "output", "choices", 0, "message", "id")


def _input_ids(event: Any, pool: Sequence[Any]) -> set[Any]:
    given = listed(get(event, "input"))
    for reference in listed(get(event, "input_refs")):
        begin, end = get(reference, 0), get(reference, 1)
        if isinstance(begin, int) and isinstance(end, int):
            given += pool[begin:end]
    return {get(message, "id") for message in given} - {None}


def _unused(stretch: list[tuple[int, Any]], used: dict[int, Any], known: set[Any]) -> set[int]:
    """Return the places of the model events after the last one whose answer the conversation used.

    Args:
        stretch: the model and tool events between two score events, with their places.
        used: by place: the id of the message that the model event answered with.
        known: ids of the messages that the conversation, or a later input, holds.
    """
    found: set[int] = set()
    for place, _ in reversed(stretch):
        if place in used:
            if used[place] in known:
                break
            found.add(place)
    return found


def _after_last_tool(stretch: list[tuple[int, Any]], *, nothing_done: bool) -> set[int]:
    """Return the places of the judge's model events if messages have no ids: those after the last tool.

    If no tool ran, all but the first: the first is the answer that was judged.

    Args:
        stretch: the model and tool events between two score events, with their places.
        nothing_done: whether the agent did nothing in between, so that the first event is the judge's too.
    """
    run: list[int] = []
    for place, event in reversed(stretch):
        if get(event, "event") != "model":
            return set(run)
        run.append(place)
    return set(run) if nothing_done else set(run[:-1])
