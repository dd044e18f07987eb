"""The interface of an engine: it makes workers for a job, and has them run the job's pieces, such as rollouts.

What a job does is no business of an engine. A job says how a worker is made ready for it (``Work``) and what must be
the same on all workers, so that one engine serves every kind of job.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

Tell = Callable[[Mapping[str, Any]], None]
"""Receives the progress events of one piece while it runs."""


class Work(Protocol):
    """What one worker does. It is made once on each worker, and runs many pieces at once on one event loop."""

    def prepared(self, subject: Any) -> Any:
        """Return what the pieces about one subject need, for example a task with the agent that was made for it."""
        ...

    async def run(self, prepared: Any, piece: Any, tell: Tell | None) -> Any:
        """Run one piece and return its result, which can be pickled.

        Args:
            prepared: what ``prepared`` returned for the subject of the piece.
            piece: which piece.
            tell: receives its progress events, if anybody wants them.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be run. An engine with workers in other processes pickles all of it except ``on_event``.

    Attributes:
        make: makes the ``Work`` from ``arguments``; a class or function that a worker can import.
        look: returns from the same arguments what must be the same on every worker, in words: versions, files with
            their hashes. A worker where something differs gets no piece.
        arguments: for both.
        on_event: is told of each progress event, and of which piece it is; ``None`` if nobody listens.
        on_lost: is told of each piece that is lost with its worker, and what that costs; it runs again.
    """

    make: Callable[..., Work]
    look: Callable[..., Mapping[str, Any]]
    arguments: tuple[Any, ...] = ()
    on_event: Callable[[Any, Mapping[str, Any]], None] | None = None
    on_lost: Callable[[Any, Lost], None] | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """What was lost with workers that died. The pieces that they were running run again.

    Attributes:
        workers: how many workers died.
        rollouts: how many rollouts under way were lost with them, and run again.
        calls: model calls of those rollouts that had ended, as far as the driver had heard of them.
        tokens: what these calls had generated. They are paid for, and belong to no stored rollout.
    """

    workers: int = 0
    rollouts: int = 0
    calls: int = 0
    tokens: int = 0

    def __add__(self, other: Lost) -> Lost:
        """Add up two losses."""
        return Lost(
            self.workers + other.workers,
            self.rollouts + other.rollouts,
            self.calls + other.calls,
            self.tokens + other.tokens,
        )


class Runs(Protocol):
    """The workers of a job that is open."""

    @property
    def slots(self) -> int:
        """How many pieces run at once."""
        ...

    @property
    def lost(self) -> Lost:
        """What was lost so far."""
        ...

    @property
    def broken(self) -> bool:
        """Whether all that is asked from now on fails, because the workers are gone for good."""
        ...

    def prepared(self, subject: Any) -> Any:
        """Return what ``run`` needs for the pieces about one subject. Called once for each.

        Raises:
            ConfigError: the workers cannot be given this subject.
        """
        ...

    async def run(self, prepared: Any, piece: Hashable) -> Any:
        """Run one piece on a worker that has room, and return what ``Work.run`` returned.

        If the worker dies the piece runs again, on another. If this coroutine is cancelled, the piece is cancelled on
        its worker, and nobody waits for that.

        Raises:
            WorkerLostError: its worker died each time.
            BaseException: whatever ``Work.run`` raised.
        """
        ...

    def stop(self, piece: Hashable) -> None:
        """Call the method ``stop`` of a piece that runs, where it runs. It is waited for as before."""
        ...


class Engine(Protocol):
    """Where jobs run. An engine is a description: it holds nothing open, and may be used again."""

    @property
    def elsewhere(self) -> bool:
        """Whether the workers are other processes, which must be able to import the agent."""
        ...

    def opened(self, job: Job) -> AbstractAsyncContextManager[Runs]:
        """Make the workers ready, and end them when the block is left: what still runs on them is cancelled.

        Raises:
            ConfigError: the workers cannot be had, or something differs on one of them.
        """
        ...


def is_engine(value: Any) -> bool:
    """Whether a value is an engine, and not the class of one."""
    return not isinstance(value, type) and hasattr(value, "elsewhere") and callable(getattr(value, "opened", None))
