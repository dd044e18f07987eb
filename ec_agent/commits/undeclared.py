"""Tools of which nobody has said whether they act, and that ran once per rollout: noticed, and told once."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol

from ec_agent.errors import UndeclaredToolWarning

_PATHS = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")]
_LIBRARIES = (f"{Path(__file__).parents[1]}{os.sep}", "<frozen ", *(f"{path}{os.sep}" for path in _PATHS))
"""How the file names begin of code that is no user's: ours, Python's, and whatever is installed."""


class Ran:
    """The undeclared tools that one rollout ran, in any of its attempts. Thread-safe.

    Attributes:
        rollout: a name for the rollout that no other one has.
    """

    def __init__(self, rollout: str) -> None:
        self.rollout = rollout
        self._rollouts: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def note(self, tool: str, rollout: str) -> None:
        """The tool ran in a rollout: this one, or one of a ``best_of_n`` within it."""
        with self._lock:
            self._rollouts.setdefault(tool, set()).add(rollout)

    def counts(self) -> dict[str, int]:
        """By tool, in how many rollouts it ran."""
        with self._lock:
            return {tool: len(rollouts) for tool, rollouts in sorted(self._rollouts.items())}


def ran_in(records: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """By undeclared tool, in how many of these rollouts it ran; failed ones count, for they acted as well."""
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record["facts"].get("undeclared", {}))  # a checkpoint of an earlier version has none
    return dict(counts)


def repeated(ran: Mapping[str, int]) -> list[str]:
    """The tools that ran in more than one rollout."""
    return sorted(tool for tool, count in ran.items() if count > 1)


def said_of(tools: Iterable[str]) -> str:
    """What is to be said of tools that ran in more than one rollout."""
    return (
        f"undeclared tools ran in several rollouts: {', '.join(tools)}. What such a tool does to the world was done "
        "once per rollout. Name those that act in best_of_n(..., commit=[...]), or mark them @commit_tool: then only "
        "the winner's call is carried out. Mark those that are harmless with @read_only, or read_only(tool); commit=[] "
        "says that none of them acts"
    )


class Heed(Protocol):
    """Is told which undeclared tools ran in a question."""

    def hear(self, ran: Mapping[str, int]) -> None:
        """By tool, in how many of the question's rollouts it ran."""


class Notices:
    """Warns of undeclared tools that ran in several rollouts, of each tool once. Thread-safe."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def hear(self, ran: Mapping[str, int]) -> None:
        """Warn of those that nobody was warned of yet."""
        with self._lock:
            new = [tool for tool in repeated(ran) if tool not in self._told]
            self._told.update(new)
        if new:
            _warn(said_of(new))


class _Line(NamedTuple):
    """A line of code, as ``warnings.warn_explicit`` wants it."""

    file: str
    number: int
    names: dict[str, Any]


_begun_at: ContextVar[_Line | None] = ContextVar("ec_agent_begun_at", default=None)


def _users_line() -> _Line | None:
    """The innermost line of the user's on this thread's stack."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame = frame.f_back
    return None if frame is None else _Line(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)


@contextmanager
def begun_here() -> Iterator[None]:
    """Have warnings point at the user's line that led here, from the other threads of the run too."""
    token = _begun_at.set(_users_line() or _begun_at.get())
    try:
        yield
    finally:
        _begun_at.reset(token)


def _warn(said: str) -> None:
    line = _begun_at.get() or _users_line()
    if line is None:  # the run was begun on another thread
        warnings.warn(said, UndeclaredToolWarning, stacklevel=3)
        return
    registry = line.names.setdefault("__warningregistry__", {})
    name = line.names.get("__name__")
    warnings.warn_explicit(said, UndeclaredToolWarning, line.file, line.number, name, registry, line.names)


class Together:
    """Takes several questions for one: an evaluation asks anew for each rollout of a task.

    Args:
        notices: who warns.
    """

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._ran: Counter[str] = Counter()

    def hear(self, ran: Mapping[str, int]) -> None:
        """Count these rollouts with those before."""
        self._ran.update(ran)
        self._notices.hear(self._ran)


heeding: ContextVar[Heed | None] = ContextVar("ec_agent_heeding", default=None)


@contextmanager
def heeded_by(heed: Heed) -> Iterator[None]:
    """Tell this one in place of each ``best_of_n`` that is asked inside: for many that serve one purpose."""
    token = heeding.set(heed)
    try:
        yield
    finally:
        heeding.reset(token)
