"""Warn of undeclared tools that ran in several rollouts: nobody has said whether such a tool acts on the world."""

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
"""Prefixes of the file names of code that is not the user's: this package, Python, and installed packages."""


class Ran:
    """Counts the undeclared tools that one rollout ran, in all its attempts. Thread-safe.

    Attributes:
        rollout: a unique name of the rollout.
    """

    def __init__(self, rollout: str) -> None:
        self.rollout = rollout
        self._rollouts: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def note(self, tool: str, rollout: str) -> None:
        """Note that the tool ran in a rollout: this one, or one of a ``best_of_n`` inside it."""
        with self._lock:
            self._rollouts.setdefault(tool, set()).add(rollout)

    def counts(self) -> dict[str, int]:
        """Return in how many rollouts each tool ran, by the tool's name."""
        with self._lock:
            return {tool: len(rollouts) for tool, rollouts in sorted(self._rollouts.items())}


def ran_in(records: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return in how many of these rollouts each undeclared tool ran, by the tool's name.

    Failed rollouts count too: their tools acted before the failure.
    """
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record["facts"].get("undeclared", {}))  # records of earlier versions lack the entry
    return dict(counts)


def repeated(ran: Mapping[str, int]) -> list[str]:
    """The tools that ran in more than one rollout."""
    return sorted(tool for tool, count in ran.items() if count > 1)


def said_of(tools: Iterable[str]) -> str:
    """Return the text of the warning about tools that ran in more than one rollout."""
    return (
        f"undeclared tools ran in several rollouts: {', '.join(tools)}. What such a tool does to the world was done "
        "once per rollout. Name those that act in best_of_n(..., commit=[...]), or mark them @commit_tool: then only "
        "the winner's call is carried out. Mark those that are harmless with @read_only, or read_only(tool); give "
        "commit=[] if none of them acts"
    )


class UndeclaredListener(Protocol):
    """Receives, at the end of each question, the undeclared tools that ran in it."""

    def hear(self, ran: Mapping[str, int]) -> None:
        """Take in how many of the question's rollouts each tool ran, by the tool's name."""


class Notices:
    """Warns of undeclared tools that ran in several rollouts, once for each tool. Thread-safe."""

    def __init__(self) -> None:
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    def hear(self, ran: Mapping[str, int]) -> None:
        """Warn of the tools among these that ran in several rollouts and were not in an earlier warning."""
        with self._lock:
            new = [tool for tool in repeated(ran) if tool not in self._warned]
            self._warned.update(new)
        if new:
            _warn(said_of(new))


class _Line(NamedTuple):
    """A line of code, as ``warnings.warn_explicit`` wants it."""

    file: str
    number: int
    names: dict[str, Any]


_begun_at: ContextVar[_Line | None] = ContextVar("ec_agent_begun_at", default=None)


def _users_line() -> _Line | None:
    """Return the innermost line of the user's own code on this thread's stack; ``None`` without any."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame = frame.f_back
    return None if frame is None else _Line(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)


@contextmanager
def begun_here() -> Iterator[None]:
    """Let warnings point at the line of the user's code that called us, also those given on other threads of the run.

    A warning that pointed into this package would not tell the user which of their calls it is about.
    """
    token = _begun_at.set(_users_line() or _begun_at.get())
    try:
        yield
    finally:
        _begun_at.reset(token)


def _warn(said: str) -> None:
    line = _begun_at.get() or _users_line()
    if line is None:  # no line of the user's is on this stack, for the run began on another thread
        warnings.warn(said, UndeclaredToolWarning, stacklevel=3)
        return
    registry = line.names.setdefault("__warningregistry__", {})
    name = line.names.get("__name__")
    warnings.warn_explicit(said, UndeclaredToolWarning, line.file, line.number, name, registry, line.names)


class SummedQuestions:
    """Adds up the rollouts of several questions, as if they were one question.

    An evaluation runs each rollout of a task as a question of its own. One question alone would never show that a tool
    ran in several of them.

    Args:
        notices: gives the warnings.
    """

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._ran: Counter[str] = Counter()

    def hear(self, ran: Mapping[str, int]) -> None:
        """Add a question's counts to those before, and warn by the sums."""
        self._ran.update(ran)
        self._notices.hear(self._ran)


undeclared_listener: ContextVar[UndeclaredListener | None] = ContextVar("ec_agent_undeclared_listener", default=None)


@contextmanager
def reported_to(listener: UndeclaredListener) -> Iterator[None]:
    """Inside the ``with`` block, every question reports its undeclared tools to ``listener``, and does not warn itself.

    For many questions that serve one purpose, such as the rollouts of an evaluation.
    """
    token = undeclared_listener.set(listener)
    try:
        yield
    finally:
        undeclared_listener.reset(token)
