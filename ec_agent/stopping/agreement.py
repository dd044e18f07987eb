"""``Agreement``: stop when enough of the rollouts that ended gave the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ec_agent.selectors.actions import final_answer
from ec_agent.selectors.base import Candidate
from ec_agent.selectors.normalize import Normalize, check_normalize
from ec_agent.stopping.base import Stop
from ec_agent.stopping.vote_plan import counted
from ec_agent.stopping.wave_plan import WavePlan, waves_of
from ec_agent.support.checks import checked, number, or_none

LEAST = 2
"""The fewest rollouts that can agree."""


@dataclass(frozen=True, slots=True)
class Agreement(WavePlan):
    """Stop when enough of the rollouts that ended agree; one that gave their answer wins.

    It works with every selector: when a wave agrees, the selector ranks only the rollouts of that answer; if none does,
    it chooses among all n in the end. In waves, with ``MajorityVote`` and the same ``normalize``, the default settings
    change nothing but the cost: a first half that agrees cannot be outvoted by the other half. With any other selector
    or setting, or with ``cancel=True``, the winner may be another than with all n: replay the plan over stored rollouts
    before you trust it.

    Attributes:
        waves: how many rollouts to start first, how many to add next, and so on; the last number is repeated up to n.
            ``None``: the larger half of n, then the rest. The plan never stops with fewer than two rollouts.
        threshold: the share of the rollouts that ended, those without a vote included, that must have given the leading
            answer; above 0, at most 1. Of equally frequent answers the one seen first leads.
        normalize: makes final actions comparable, as for a vote. Free texts hardly ever agree to the letter.

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
        """Return the larger half of n, and the rest."""
        first = max(LEAST, (n + 1) // 2)
        return first, max(1, n - first)

    def seen(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | None:
        """Return ``Stop`` if enough rollouts gave the leading answer."""
        answers = counted(candidates, self.normalize)
        ended = len(candidates)
        if ended < LEAST or not answers or len(answers[0]) / ended < self.threshold:
            return None
        return Stop(f"{len(answers[0])} of {ended} rollouts agree", among=answers[0])
