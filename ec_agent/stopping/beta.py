"""``Beta``: the Beta rule of adaptive consistency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import ClassVar

from ec_agent.selectors.actions import final_answer
from ec_agent.selectors.normalize import Normalize, check_normalize
from ec_agent.stopping.vote_plan import VotePlan, Votes
from ec_agent.stopping.wave_plan import waves_of
from ec_agent.support.checks import checked, number, or_none


@dataclass(frozen=True, slots=True)
class Beta(VotePlan):
    """Stop when the leading answer is likely enough to be more frequent than the next one.

    With ``v1`` and ``v2`` votes, that is ``1 - I_0.5(v1 + 1, v2 + 1) >= confidence``: the chance that of the two the
    first has the larger share, if every share was as likely as any other beforehand. At .8 two votes of two are enough,
    then 3 to 1, 5 to 2; at .9 it takes three of three, then 5 to 1; at .95 four of four, 6 to 1.

    It is a bet on what the majority vote over all n would say, and ``confidence`` is no certificate of it: the rule
    looks again and again, and stops at the first moment that looks well, so that it is wrong more often than
    ``1 - confidence``. Nor does it say that the answer is right. Replay it over stored rollouts before you trust it.

    Attributes:
        confidence: above 0.5, less than 1.
        waves: how many rollouts to start first, how many to add next, and so on; the last number is repeated up to n.
            ``None``: each time as few as could settle it, which costs no more tokens than one at a time.
        normalize: makes final actions comparable, as for a vote.

    Raises:
        ConfigError: an argument is out of range; from ``enough``: ``normalize`` failed, or returned something
            unhashable.

    Source: Aggarwal, Madaan, Yang and Mausam, "Let's Sample Step by Step: Adaptive-Consistency for Efficient Reasoning
    and Coding with LLMs", EMNLP 2023 (arXiv 2305.11860), the Beta stopping criterion, whose threshold is 0.95 there.
    """

    label: ClassVar[str] = "beta"

    confidence: float = 0.8
    waves: Sequence[int] | None = None
    normalize: Normalize = final_answer

    def __post_init__(self) -> None:
        rather = "a probability above 0.5, less than 1"
        checked(self, "confidence", number, rather, above=0.5, most=1 - 1e-9)
        checked(self, "waves", or_none, waves_of)
        check_normalize(self.normalize)

    def settled(self, votes: Votes) -> bool:
        """Whether the leading answer is likely enough to be the more frequent of the first two."""
        return leads(votes.leader, votes.second) >= self.confidence

    def said(self, votes: Votes) -> str:
        """Return the votes of the first two answers, and how likely the first is to be the more frequent."""
        chance = leads(votes.leader, votes.second)
        return f"the leading answer has {votes.leader} votes and the next {votes.second}: {chance:.2f} by the Beta rule"


def leads(first: int, second: int) -> float:
    """``1 - I_0.5(first + 1, second + 1)``: chance that a coin that fell so is biased towards the first, prior uniform.

    For whole numbers the regularised incomplete beta function is a sum of binomial probabilities: of
    ``first + second + 1`` throws of a fair coin at most ``first`` fall to one side.
    """
    throws = first + second + 1
    return sum(comb(throws, heads) for heads in range(first + 1)) / (1 << throws)
