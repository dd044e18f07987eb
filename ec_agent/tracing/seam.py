"""What rollouts tell of themselves, and to whom: to nobody, until ``instrument()`` names a listener.

Nothing here knows of OpenTelemetry, and the classes do nothing: they are what a rollout talks to while nobody listens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol

from ec_agent.capture.recorder import Recorder


class RolloutTrace:
    """One attempt at a rollout.

    Attributes:
        recorder: the class of recorder that hears its calls.
    """

    recorder: type[Recorder] = Recorder

    def running(self) -> AbstractContextManager[None]:
        """Around the agent's run; what the agent does is beneath it."""
        return nullcontext()

    def finished(self, record: Mapping[str, Any], failure: BaseException | None) -> None:
        """It is over, and this is its record."""


class QuestionTrace:
    """One question."""

    def asked(self, n: int) -> None:
        """It will be asked so many times."""

    def rollout(self, index: int, round: int) -> RolloutTrace:
        """An attempt at a rollout begins."""
        return RolloutTrace()

    def selecting(self) -> AbstractContextManager[Callable[[Mapping[str, Any]], None]]:
        """Around the choice; what it gives is to be called with the receipt, as plain JSON."""
        return nullcontext(_unheard)


class Listener(Protocol):
    """Who wants to know of questions."""

    def question(self, agent: str, selector: str, thread: str | None) -> AbstractContextManager[QuestionTrace]:
        """Around everything that is done for one question."""


_SILENT = QuestionTrace()
current_question: ContextVar[QuestionTrace] = ContextVar("ec_agent_question_trace", default=_SILENT)
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """From now on this one is told; ``None`` for nobody."""
    global _listener
    _listener = listener


@contextmanager
def question(agent: str, selector: str, thread: str | None) -> Iterator[QuestionTrace]:
    """Around everything that is done for one question: its rollouts, the choice, what follows."""
    quiet: AbstractContextManager[QuestionTrace] = nullcontext(_SILENT)
    told = _listener  # which another thread may be changing
    with quiet if told is None else told.question(agent, selector, thread) as trace:
        token = current_question.set(trace)
        try:
            yield trace
        finally:
            current_question.reset(token)


def _unheard(receipt: Mapping[str, Any]) -> None:
    """Nobody listens."""
