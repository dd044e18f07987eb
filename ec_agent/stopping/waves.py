"""The plans that go in waves: how many rollouts are looked at first, and how many are added each time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

from ec_agent.selectors.base import Candidate
from ec_agent.selectors.scoring import told_name
from ec_agent.stopping.base import More, Stop
from ec_agent.support.checks import refusal, several, whole


class WavePlan(ABC):
    """A plan with a label, which looks whenever a wave has ended; those that derive from it are dataclasses.

    It says nothing before as many rollouts have *ended* as the first wave has; for those that failed others are
    started, as far as n goes. A list of waves shorter than n is continued by its last number, a longer one is cut.

    Attributes:
        label: its name in ``PLANS``.
        waves: the sizes of the waves, or ``None`` for what ``usual_waves`` or ``few`` says.
    """

    __slots__ = ()

    label: ClassVar[str]
    waves: Sequence[int] | None

    @property
    def name(self) -> str:
        """What it is called in tables: the label, and the settings that are not the default ones."""
        return told_name(self)

    def usual_waves(self, n: int) -> Sequence[int]:
        """The waves where none are given; none for ``few`` at a time."""
        return ()

    def few(self, candidates: Sequence[Candidate], running: int, n: int) -> int:
        """How many to add where there are no waves: one."""
        return 1

    @abstractmethod
    def seen(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | None:
        """The verdict on the rollouts that ended, at least as many as the first wave has; ``None`` to go on."""

    def enough(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | More:
        """``Stop`` where ``seen`` says so, else what is missing of the next wave."""
        waves = self.waves or self.usual_waves(n)
        if len(candidates) >= (waves[0] if waves else 1):
            stop = self.seen(candidates, running, n)
            if stop is not None:
                return stop
        return More(until_next(waves, len(candidates)) if waves else self.few(candidates, running, n))


def until_next(waves: Sequence[int], ended: int) -> int:
    """How many rollouts are missing until the next wave is whole, where so many have ended."""
    whole_at = 0
    for wave in waves:
        whole_at += wave
        if whole_at > ended:
            return whole_at - ended
    return waves[-1] - (ended - whole_at) % waves[-1]


def waves_of(name: str, value: Any) -> tuple[int, ...]:
    """Sizes of waves, looked at.

    Raises:
        ConfigError: they are no whole numbers of at least 1, or there are none.
    """
    rather = "a list of whole numbers of at least 1, such as [4, 1]"
    given = tuple(whole(f"a wave in {name}", each) for each in several(name, value, Integral, rather))
    if not given:
        raise refusal(name, value, rather)
    return given
