"""The LLM calls of a rollout so far, open and closed ones, and what can be asked about them all."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ec_agent.capture.known_answers import Answer
from ec_agent.capture.open_calls import OpenCall, call_waiting_for


class CallList:
    """The calls that a recorder has recorded so far. Thread-safe."""

    def __init__(self) -> None:
        self._calls: list[OpenCall] = []
        self._lock = threading.Lock()

    def append(self, call: OpenCall) -> None:
        """Add a call that starts, or one that is over."""
        with self._lock:
            self._calls.append(call)

    def clear(self) -> None:
        """Drop all calls."""
        with self._lock:
            self._calls.clear()

    def so_far(self) -> list[OpenCall]:
        """Return the calls, in the order in which they were added."""
        with self._lock:
            return list(self._calls)

    def sources(self, place: float) -> list[OpenCall]:
        """Return the calls at a place in the order in which calls start, each as its own recorder has it."""
        return [call.source for call in self.so_far() if call.sequence == place]

    def waiting(self, prompts: Sequence[Any]) -> OpenCall | None:
        """Return the open call of a completion model that waits for the answers to these prompts, or ``None``."""
        return call_waiting_for(prompts, self.so_far())

    def places(self) -> list[float]:
        """Return the places of the calls that count, in the order in which calls started."""
        return sorted(call.sequence for call in self.so_far() if call.counted)

    def brought_several(self) -> bool:
        """Tell whether a call brought several answers."""
        return any((call.of or call).several is not None for call in self.so_far())

    def answers(self) -> list[tuple[float, Answer]]:
        """Return what identifies the answers that came so far, complete or not, each with the place of its call."""
        calls = [call.source for call in self.so_far()]
        for call in calls:
            if not call.closed:
                with suppress(Exception):  # an error of our reading must not end the user's run
                    call.read(None)
        return [(call.sequence, answer) for call in calls for answer in call.answers]

    def asked_in(self, namespace: str, within: bool = False) -> bool:
        """Tell whether the graph task of a checkpoint namespace called a model; with ``within``, also its subgraphs."""
        spaces = [str(call.info.metadata.get("langgraph_checkpoint_ns")) for call in self.so_far()]
        return any(space == namespace or (within and space.startswith(f"{namespace}|")) for space in spaces)
