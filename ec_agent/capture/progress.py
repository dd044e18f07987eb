"""What a rollout does while it runs, told to whoever listens: its calls and its tools, as they start and end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

import numpy as np

from ec_agent.numbers.entropy import FloatArray

if TYPE_CHECKING:
    from ec_agent.capture.calls import OpenCall
    from ec_agent.numbers.trajectory import Call

MOST_MEANS = 32  # of a call: events stay small, however long the answer is
STREAMING_EVERY = 0.2  # seconds between events about a streamed answer

Tell = Callable[..., None]


class Progress:
    """Tells of one rollout. Where nobody listens there is none of this.

    Args:
        tell: takes the event's name, ``"call"`` or ``"tool"``, and its details by name, plain JSON.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._tools: dict[UUID, str] = {}
        self._lock = threading.Lock()
        self._calls = self._tokens = 0
        self._due = 0.0

    def call_started(self, call: OpenCall) -> None:
        """A call was made."""
        self._tell("call", state="started", call=call.sequence, model=call.info.model, node=call.info.node)

    def call_streams(self, call: OpenCall) -> None:
        """A part of its answer came; told now and then."""
        call.parts += 1
        if (now := time.monotonic()) >= self._due:
            self._due = now + STREAMING_EVERY
            self._tell("call", state="streaming", call=call.sequence, parts=call.parts)

    def call_ended(self, call: OpenCall, again: int = 0) -> None:
        """It is over: with an answer, without one, or as one that only passed another call's answer on.

        Args:
            call: the call.
            again: how many of its tokens were told of already, as those of calls that it made.
        """
        done = call.done
        with self._lock:
            self._calls += done is not None
            self._tokens += max(done.generated - again, 0) if done is not None else 0
            so_far = {"calls": self._calls, "tokens": self._tokens}
        self._tell(
            "call",
            state="ended",
            call=call.sequence,
            model=call.info.model if done is None else done.model,
            node=call.info.node,
            **so_far,
            **_numbers(done, hidden=again > 0),
        )

    def tool_started(self, run: UUID, name: str) -> None:
        """A tool runs."""
        self._tools[run] = name
        self._tell("tool", state="started", tool=name, run=str(run))

    def tool_ended(self, run: UUID, failed: bool) -> None:
        """It is over."""
        if (name := self._tools.pop(run, None)) is not None:
            self._tell("tool", state="failed" if failed else "ended", tool=name, run=str(run))


def _numbers(done: Call | None, *, hidden: bool) -> dict[str, object]:
    if done is None:
        return {"answered": False, "generated": None, "entropies": [], "seconds": None}
    timed = done.started is not None and done.ended is not None
    return {
        "answered": True,
        "generated": done.tokens,
        "entropies": [] if hidden else means(done.entropies),
        "seconds": round(done.ended - done.started, 3) if timed else None,  # type: ignore[operator]
    }


def means(entropies: FloatArray, most: int = MOST_MEANS) -> list[float | None]:
    """Mean entropies over equal stretches, in nats, to three decimals; ``None`` for one in which no token has any.

    Args:
        entropies: shape ``(T,)``, NaN where a token has none.
        most: at most so many stretches; of a shorter timeline each token is one.
    """
    length = len(entropies)
    if not length:
        return []
    starts = np.linspace(0, length, min(length, most), endpoint=False).astype(int)
    known = ~np.isnan(entropies)
    sums = np.add.reduceat(np.where(known, entropies, 0.0), starts)
    counts = np.add.reduceat(known.astype(int), starts)
    return [round(float(s / c), 3) if c else None for s, c in zip(sums, counts, strict=True)]
