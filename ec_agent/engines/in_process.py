"""The engine that is used where none is named: everything runs in this process, on the caller's event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from ec_agent.engines.base import Job, Lost, Runs, Work


@dataclass(frozen=True, slots=True)
class InProcess:
    """Runs pieces in this process.

    Attributes:
        slots: how many run at once.
    """

    slots: int

    @property
    def elsewhere(self) -> bool:
        """``False``: objects need not travel."""
        return False

    @asynccontextmanager
    async def opened(self, job: Job) -> AsyncIterator[Runs]:
        """Make the work of the job here."""
        yield _Here(self.slots, job, job.make(*job.arguments))


class _Here:
    lost, broken = Lost(), False

    def __init__(self, slots: int, job: Job, work: Work) -> None:
        self.slots, self._job, self._work = slots, job, work

    def prepared(self, subject: Any) -> Any:
        return self._work.prepared(subject)

    async def run(self, prepared: Any, piece: Hashable) -> Any:
        hear = self._job.on_event
        return await self._work.run(prepared, piece, None if hear is None else partial(hear, piece))

    def stop(self, piece: Any) -> None:
        piece.stop()
