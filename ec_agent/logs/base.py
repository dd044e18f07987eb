"""The interface of a reader of logs, and the rollouts that it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ec_agent.errors import EcAgentError
from ec_agent.logs.source import Source, Trouble
from ec_agent.numbers.trajectory import Trajectory

ODD = (EcAgentError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Errors that arise when a record has another form than a reader expects."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """One rollout in a log.

    Attributes:
        name: its name in the log.
        trajectory: its LLM calls, with the signals ``entropy`` and, if known, ``surprisal``.
        task: name of its task, or ``None`` if the log does not say it. Rollouts of one task are compared.
        outcome: how the log judges it, from 0 to 1, or ``None`` if it does not.
        lacking: why it has no logprobs, or ``None`` if it has some or the reason is not known.
        asked: digest of what was asked first (``asked_of``), or ``None`` if the log does not say it.
        earlier: digest of what was asked before the last answer among what was asked (``earlier_of``), or ``None``.
        record: the record that it was read from, in which keys are looked up, or ``None``.
        line: whether it is one record of a file in which several records may be the calls of one rollout.
        alternative: its number among the answers to one request, from 0. The first one is the agent's.
        request: name of the request that has several answers, or ``None``.
        keyed: whether its task was named by the user.
    """

    name: str
    trajectory: Trajectory
    task: str | None = None
    outcome: float | None = None
    lacking: str | None = None
    asked: str | None = None
    earlier: str | None = None
    record: Any = None
    line: bool = False
    alternative: int = 0
    request: str | None = None
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader of one format of logs.

    Attributes:
        knows: function that tells whether a file is of this kind.
        read: function that yields the rollouts of a file. It reports records that cannot be read, and skips them.
    """

    knows: Callable[[Source], bool]
    read: Callable[[Source, Trouble], Iterator[Found]]
