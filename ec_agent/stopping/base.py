"""The protocol of stopping plans: a plan sees the rollouts that ended and decides whether more are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Protocol, runtime_checkable

from ec_agent.selectors.base import Candidate
from ec_agent.support.checks import checked, or_none, refusal, several, text, whole


@dataclass(frozen=True, slots=True)
class Stop:
    """A plan's answer: enough is known, and no more rollouts are started.

    Attributes:
        reason: what the plan saw, in plain words, for the receipt: ``"4 of 4 rollouts agree"``.
        among: indices of the candidates that may win, from which the selector chooses; ``None`` for all that ended.

    Raises:
        ConfigError: ``reason`` is not a text, or ``among`` is not a list of indices.
    """

    reason: str
    among: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        checked(self, "reason", text, "a text that says what was seen")
        checked(self, "among", or_none, _indices)


@dataclass(frozen=True, slots=True)
class More:
    """A plan's answer: go on.

    Attributes:
        count: how many rollouts to start next, at least 1; those beyond n are not started.

    Raises:
        ConfigError: ``count`` is not a whole number of at least 1.
    """

    count: int

    def __post_init__(self) -> None:
        checked(self, "count", whole)


@runtime_checkable
class StoppingPlan(Protocol):
    """The protocol of stopping plans, for ``best_of_n(..., stop=)``.

    ``enough`` must depend on its arguments alone, because a run that is resumed after a kill asks again and needs the
    same answer. A plan never sees whether a rollout is right: a ``Candidate`` does not say it. A plan that reads
    per-token signals that the selector does not read names them in an attribute ``signals``, as selectors do.
    """

    def enough(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | More:
        """Decide whether these candidates are enough.

        It is called at the beginning of each round, without candidates, and must then return ``More(first wave)``; and
        again whenever a wave has ended. With ``cancel=True`` all rollouts start at once, it is called each time that
        one ends, and the count of ``More`` is ignored. Once all have ended, it is not called any more.

        Args:
            candidates: the rollouts that ended, in index order, without failed and cancelled ones.
            running: how many are running.
            n: how many rollouts can end: the planned ones without those that failed or were cancelled. So
                ``n - len(candidates)`` may still end.
        """
        ...


def _indices(name: str, value: Any) -> tuple[int, ...]:
    rather = "indices of candidates, one or more"
    given = [whole(f"an index in {name}", each, 0) for each in several(name, value, Integral, rather)]
    if not given:
        raise refusal(name, value, f"{rather}; or None for all that ended")
    return tuple(dict.fromkeys(given))
