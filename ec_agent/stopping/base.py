"""What a stopping plan is: it sees the rollouts that ended, and says whether they are enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol, runtime_checkable

from ec_agent.selectors.base import Candidate
from ec_agent.support.checks import checked, or_none, refusal, several, text, whole


@dataclass(frozen=True, slots=True)
class Stop:
    """Enough is known: no rollout is started any more.

    Attributes:
        reason: what was seen, in plain words: ``"4 of 4 rollouts agree"``. The receipt has it.
        among: indices of the candidates of which one is to be taken; the selector ranks these alone. ``None``: it
            chooses among all that ended.

    Raises:
        ConfigError: the reason is no text, or ``among`` no list of indices.
    """

    reason: str
    among: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        checked(self, "reason", text, "a text that says what was seen")
        checked(self, "among", or_none, _indices)


@dataclass(frozen=True, slots=True)
class More:
    """Go on.

    Attributes:
        count: how many rollouts to start next, at least 1. No more are started than are left of n.

    Raises:
        ConfigError: it is no whole number of at least 1.
    """

    count: int

    def __post_init__(self) -> None:
        checked(self, "count", whole)


@runtime_checkable
class StoppingPlan(Protocol):
    """An object that says when enough is known: what ``best_of_n(..., stop=)`` takes.

    It must be a pure function of what it is given: after a kill it is asked again, and answers the same. It never
    sees whether a rollout was right: a ``Candidate`` has no place for it. Where it reads per-token signals that the
    selector does not, it names them in an attribute ``signals``, as selectors do.
    """

    def enough(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | More:
        """Whether these are enough.

        It is asked at the beginning of each round, with no candidates, and must then answer ``More(first wave)``; and
        again whenever a wave has ended. With ``cancel=True`` all rollouts start at once, it is asked each time that one
        ends, and the count of ``More`` does not matter. Where all have ended, it is not asked any more.

        Args:
            candidates: the rollouts that ended, by index; none that failed or was cancelled.
            running: how many are under way.
            n: how many can have ended in the end: those planned, less those that failed or were cancelled. So
                ``n - len(candidates)`` are still to come.
        """
        ...


def _indices(name: str, value: Any) -> tuple[int, ...]:
    rather = "indices of candidates, one or more"
    given = [whole(f"an index in {name}", each, 0) for each in several(name, value, Integral, rather)]
    if not given:
        raise refusal(name, value, f"{rather}; or None for all that ended")
    return tuple(dict.fromkeys(given))
