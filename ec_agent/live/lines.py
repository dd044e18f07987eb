"""Progress as plain lines, for pipes, files and terminals that can do no better: one for each event worth a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ec_agent.live.board import Asking, Board, Choice
from ec_agent.live.rows import Row
from ec_agent.live.short_texts import printable
from ec_agent.support.number_formats import many


def line_of(event: Mapping[str, Any], board: Board) -> str | None:
    """The line for an event that the board has just heard; ``None`` where it is worth none.

    Args:
        event: what happened.
        board: knows of it already.
    """
    kind = event["type"].removeprefix("ec_agent.")
    if kind == "selection":
        return None if board.choice is None else chosen(board.choice)
    if kind == "evaluation":
        return f"{event['stored']}/{event['total']} rollouts stored"
    if kind == "selector.call":
        return asking(board.asking) if board.asking is not None and event["state"] == "ended" else None
    if kind in ("wave", "stopped"):
        told, number = (_wave if kind == "wave" else _stopped)(event), board.number(event)
        return told if number is None else f"question {number}: {told}"
    row = board.row(event)
    said = _SAYING[kind](event, row) if row is not None and kind in _SAYING else None
    return None if said is None or row is None else f"{_named(row, board)}  {said}"


def _wave(event: Mapping[str, Any]) -> str:
    indices = event["indices"]
    which = f"rollout {indices[0]}" if len(indices) == 1 else f"rollouts {indices[0]} to {indices[-1]}"
    return f"wave {event['wave'] + 1}: {which} of {event['n']}"


def _stopped(event: Mapping[str, Any]) -> str:
    return f"enough is known after {event['started']} of {many(event['n'], 'rollout')}: {printable(event['reason'])}"


def _named(row: Row, board: Board) -> str:
    return printable(row.label) if row.label is not None else f"rollout {board.name(row)}"


def _started(event: Mapping[str, Any], row: Row) -> str:
    if row.acting:
        return "carries its action out"
    return "started" if row.attempt == 1 else f"started, attempt {row.attempt}"


def _call(event: Mapping[str, Any], row: Row) -> str | None:
    if event["state"] != "ended":
        return None
    if not event["answered"]:
        return None  # what it failed with is told at the rollout's end, unless the agent got over it
    known = [entropy for entropy in event["entropies"] if entropy is not None]
    entropy = f"mean entropy {sum(known) / len(known):.2f}" if known else "no entropies"
    tokens = "tokens not reported" if event["generated"] is None else many(event["generated"], "token")
    took = "" if event["seconds"] is None else f", {event['seconds']:.1f} s"
    return f"call {row.calls}: {tokens}, {entropy}{took}"


def _tool(event: Mapping[str, Any], row: Row) -> str | None:
    name = printable(event["tool"])
    return {"started": f"tool {name}", "failed": f"tool {name} failed"}.get(event["state"])


def _finished(event: Mapping[str, Any], row: Row) -> str:
    came = f"{many(row.calls, 'call')}, {many(row.tokens, 'token')}, {event['seconds']:.1f} s"
    return f"failed: {printable(event['error'])} ({came})" if event["error"] is not None else f"ended: {came}"


def _cancelled(event: Mapping[str, Any], row: Row) -> str:
    return f"cancelled: {many(row.calls, 'call')}, {many(row.tokens, 'token')}, {event['seconds']:.1f} s"


def _scored(event: Mapping[str, Any], row: Row) -> str | None:
    return outcome(row) if row.error is None else None  # what it failed with was told when it ended


def _judged(event: Mapping[str, Any], row: Row) -> str:
    return f"judged {event['verdict']:g}"


_SAYING = {
    "rollout.started": _started,
    "rollout.call": _call,
    "rollout.tool": _tool,
    "rollout.finished": _finished,
    "rollout.cancelled": _cancelled,
    "rollout.scored": _scored,
    "rollout.judged": _judged,
}


def outcome(row: Row) -> str:
    """What is known of a rollout that is over."""
    if row.cancelled:
        return "cancelled: enough was known"
    if row.error is not None:
        return printable(row.error)
    if row.verdict is not None:
        return {1.0: "solved", 0.0: "not solved"}.get(row.verdict, f"judged {row.verdict:g}")
    if row.reason is not None:
        return f"not scored: {printable(row.reason)}"
    return "" if row.centroid is None else f"centroid {row.centroid:.3f}"


def chosen(choice: Choice, *, brief: bool = False) -> str:
    """Which rollout was chosen."""
    why = "" if choice.centroid is None else f", centroid {choice.centroid:.3f}"
    if brief:
        return f"chosen: rollout {choice.winner}{why}"
    lead = "" if choice.margin is None else f", margin to the runner-up {choice.margin:.3f}"
    return f"chosen by {printable(choice.selector)}: rollout {choice.winner} of {choice.of}{why}{lead}"


def asking(told: Asking) -> str:
    """What the selector asks."""
    model = f" {printable(told.model)}" if told.model else ""
    return f"the selector asks{model}: {many(told.calls, 'call')}, {many(told.tokens, 'token')}"
