"""The course of a question: how far it has come, as the fan-out graph's state has it, and what it does next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired

from langgraph.types import Overwrite
from typing_extensions import TypedDict

from ec_agent.commits.gate import Done
from ec_agent.rollouts.record import Record


class Course(TypedDict):
    """How far a question has come, and what it does next.

    Attributes:
        round: number of the present round, from 0.
        next: the next step. ``"round"``: run n rollouts, with the answers if they go on from an interrupt;
            ``"resume"``: let the winner alone go on, with the answers; ``"act"``: carry out the winner's action;
            ``"ask"``: ask people, then act with their answers; ``"pause"``: wait until the run is resumed; ``"end"``.
        thread: the thread on which the rollout is parked that goes on; ``None`` to start from the agent's input.
        answers: answers to the interrupts at which that rollout stopped, by the interrupts' ids.
        asking: the interrupts that people are being asked, of the winner or of its tools, as in its record.
        earlier: the answers to earlier interrupts of the tools, in their order.
        after: the step after a pause.
        agent: index of the rollout of the first round that won. With several agents, all later rollouts run its agent,
            because they go on from its thread. Left out in the first round.
    """

    round: int
    next: str
    thread: str | None
    answers: dict[str, Any] | None
    asking: list[list[Any]] | None
    earlier: NotRequired[list[dict[str, Any]]]
    after: NotRequired[str]
    agent: NotRequired[int]


BEGINNING: Course = {"round": 0, "next": "round", "thread": None, "answers": None, "asking": None}


def last_of(state: Mapping[str, Any]) -> Record:
    """Return the winner's latest record."""
    if state["last"] is not None:
        last: Record = state["last"]
        return last
    won = state["selection"]["winner"]
    record: Record = next(record for record in state["records"] if record["index"] == won)
    return record


def written_up_to(state: Mapping[str, Any]) -> list[list[list[Any]]]:
    """Return the winners' writes of all rounds so far, one list per round."""
    last = last_of(state)
    return [*([] if last["end"].get("whole") else state["written"]), last["writes"]]


def done_in(state: Mapping[str, Any]) -> list[Done]:
    """Return the calls carried out so far. Checkpoints of earlier versions do not have the entry."""
    done: list[Done] | None = state.get("done")
    return done or []


def told_in(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what people answered, by the ids of the rollout's own interrupts."""
    return dict(state.get("told") or [])


UNTOLD: dict[str, Any] = {"told": Overwrite([])}


def parked_in(state: Mapping[str, Any]) -> set[str]:
    """Return the threads on which rollouts of this question are parked."""
    ends = [record["end"] for record in (*state["records"], *([state["last"]] if state["last"] is not None else []))]
    kept = [end.get(what) for end in ends for what in ("thread", "memory")]
    threads = [state["course"]["thread"], *state["spent"], *kept]
    return {str(thread) for thread in threads if thread}


class OfAgent(TypedDict, total=False):
    """The entry of a course that says which agent later rollouts run; see ``Course``."""

    agent: int


def agent_in(course: Course) -> OfAgent:
    """Return the entry that says which agent later rollouts run, if the course has it."""
    return {"agent": course["agent"]} if "agent" in course else {}
