"""What a reader of logs is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ec_agent.errors import EcAgentError
from ec_agent.numbers.trajectory import Trajectory
from ec_agent.traces.foreign.source import Source, Trouble

ODD = (EcAgentError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a record raises that is not what it was taken for."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One rollout in a log.

    Attributes:
        name: what the log calls it.
        trajectory: its LLM calls, with the signals ``entropy`` and, where it can be told, ``surprisal``.
        task: what it is a rollout of; rollouts of one task are compared. ``None`` where the log does not say.
        outcome: how the log judges it, from 0 to 1; ``None`` where it does not.
        lacking: why it has no logprobs, where that can be told.
    """

    name: str
    trajectory: Trajectory
    task: str | None = None
    outcome: float | None = None
    lacking: str | None = None


@dataclass(frozen=True, slots=True)
class Reader:
    """One kind of log.

    Attributes:
        name: what ``--format`` calls it.
        looks: what a file of this kind is, in words.
        knows: whether a file is one.
        read: its rollouts, one at a time; records that cannot be read are reported and left out.
    """

    name: str
    looks: str
    knows: Callable[[Source], bool]
    read: Callable[[Source, Trouble], Iterator[Found]]
