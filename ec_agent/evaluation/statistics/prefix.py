"""Rollouts cut to the length of their shortest sibling: what a selector knows when stopping times tell it nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.selectors import Candidate


def common_prefix(candidates: Sequence[Candidate]) -> tuple[tuple[Candidate, ...], int]:
    """One task's candidates with every eligible timeline cut to the shortest one's length.

    Returns:
        The candidates, and that length in tokens; timelines of unknown length (no token reported) set no limit.
        Rollouts that are not eligible stay as they are.
    """
    lengths = [len(candidate.trajectory) for candidate in candidates if candidate.eligible]
    shortest = min(filter(None, lengths), default=0)
    return tuple(
        replace(candidate, trajectory=cut(candidate.trajectory, shortest)) if candidate.eligible else candidate
        for candidate in candidates
    ), shortest


def cut(trajectory: Trajectory, tokens: int) -> Trajectory:
    """The calls that make up the first ``tokens`` generated tokens, the last of them cut where it must be."""
    calls: list[Call] = []
    left = tokens
    for call in trajectory.calls:
        if left <= 0:
            break
        calls.append(call if (call.tokens or 0) <= left else _cut_call(call, left))
        left -= call.tokens or 0
    return Trajectory(calls)


def _cut_call(call: Call, tokens: int) -> Call:
    return replace(
        call,
        tokens=tokens,
        entropies=call.entropies[:tokens],
        signals={name: values[:tokens] for name, values in call.signals.items()},
        texts=None if call.texts is None else call.texts[:tokens],
    )
