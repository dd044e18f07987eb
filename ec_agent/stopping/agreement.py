"""Agreement: the rollouts that ended came to the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ec_agent.selectors.actions import final_answer
from ec_agent.selectors.answers import Normalize, check_normalize
from ec_agent.selectors.base import Candidate
from ec_agent.stopping.base import Stop
from ec_agent.stopping.counting import counted
from ec_agent.stopping.waves import WavePlan, waves_of
from ec_agent.support.checks import checked, number, or_none

LEAST = 2
"""One rollout agrees with nobody."""


@dataclass(frozen=True, slots=True)
class Agreement(WavePlan):
    """Stop where enough of the rollouts that ended agree, and take one that gave their answer.

    It works with every selector: where a wave agrees, the selector ranks the rollouts of that answer alone, else it
    chooses among all n in the end. In waves, with ``MajorityVote`` and the same ``normalize``, the usual waves at
    ``threshold=1`` change nothing but the bill: the half that came first cannot be outvoted by the other half. With any
    other selector or setting, and where the rest is cancelled instead, it is a bet, and often a good one: replay it
    over stored rollouts before you trust it.

    Attributes:
        waves: how many rollouts to look at first, how many to add next ...; the last number is repeated up to n.
            ``None``: the larger half of n, then the rest. Of one rollout nobody can say that it agrees, so nothing
            is said of fewer than two.
        threshold: the share of the rollouts that ended, those without a vote included, that must have given the leading
            answer; above 0, at most 1. Of equally frequent answers the one seen first leads.
        normalize: makes final actions comparable, as for a vote: free texts never agree to the letter.

    Raises:
        ConfigError: an argument is out of range; from ``enough``: ``normalize`` failed, or returned something
            unhashable.
    """

    label: ClassVar[str] = "agreement"

    waves: Sequence[int] | None = None
    threshold: float = 1.0
    normalize: Normalize = final_answer

    def __post_init__(self) -> None:
        checked(self, "waves", or_none, waves_of)
        checked(self, "threshold", number, "a share above 0, at most 1", above=0, most=1)
        check_normalize(self.normalize)

    def usual_waves(self, n: int) -> Sequence[int]:
        """The larger half of n, and the rest."""
        first = max(LEAST, (n + 1) // 2)
        return first, max(1, n - first)

    def seen(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | None:
        """Whether the leading answer has its share."""
        answers = counted(candidates, self.normalize)
        ended = len(candidates)
        if ended < LEAST or not answers or len(answers[0]) / ended < self.threshold:
            return None
        return Stop(f"{len(answers[0])} of {ended} rollouts agree", among=answers[0])
