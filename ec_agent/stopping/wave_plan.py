"""The base class of plans that start rollouts in waves: how many first, and how many are added each time."""

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
    """Base class of plans that look at the rollouts whenever a wave has ended. Subclasses are dataclasses.

    A plan never stops before as many rollouts have *ended* as are in the first wave; failed ones are replaced, as long
    as fewer than n were started. If the waves add up to less than n, the last number is repeated; if to more, they are
    cut at n.

    Attributes:
        label: the plan's name in ``PLANS``.
        waves: the sizes of the waves; ``None`` for those of ``usual_waves``, or of ``few``.
    """

    __slots__ = ()

    label: ClassVar[str]
    waves: Sequence[int] | None

    @property
    def name(self) -> str:
        """The plan's name in tables: the label, then the settings that differ from the defaults."""
        return told_name(self)

    def usual_waves(self, n: int) -> Sequence[int]:
        """Return the waves to use if none are given; empty if ``few`` decides each time."""
        return ()

    def few(self, candidates: Sequence[Candidate], running: int, n: int) -> int:
        """Return how many rollouts to start next if there are no waves: one."""
        return 1

    @abstractmethod
    def seen(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | None:
        """Judge the rollouts that ended, at least as many as are in the first wave; return ``None`` to go on."""

    def enough(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | More:
        """Return what ``seen`` says if it stops; otherwise ``More`` with the number missing from the next wave."""
        waves = self.waves or self.usual_waves(n)
        if len(candidates) >= (waves[0] if waves else 1):
            stop = self.seen(candidates, running, n)
            if stop is not None:
                return stop
        return More(until_next(waves, len(candidates)) if waves else self.few(candidates, running, n))


def until_next(waves: Sequence[int], ended: int) -> int:
    """Return how many rollouts are missing from the next wave, if ``ended`` have ended so far."""
    whole_at = 0
    for wave in waves:
        whole_at += wave
        if whole_at > ended:
            return whole_at - ended
    return waves[-1] - (ended - whole_at) % waves[-1]


def waves_of(name: str, value: Any) -> tuple[int, ...]:
    """Check the sizes of waves and return them as a tuple.

    Raises:
        ConfigError: they are not whole numbers of at least 1, or the list is empty.
    """
    rather = "a list of whole numbers of at least 1, such as [4, 1]"
    given = tuple(whole(f"a wave in {name}", each) for each in several(name, value, Integral, rather))
    if not given:
        raise refusal(name, value, rather)
    return given
