"""Majority vote in which the tokens decide between answers with equally many votes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

from ec_agent.numbers.coverage import MIN_COVERAGE, unscored
from ec_agent.selectors.base import Candidate, reads
from ec_agent.selectors.deepconf_mean import DeepConfMean
from ec_agent.selectors.mean_entropy import MeanEntropy
from ec_agent.selectors.mean_logprob import MeanLogprob
from ec_agent.selectors.scoring import ScoreSelector
from ec_agent.selectors.self_certainty import SelfCertainty
from ec_agent.selectors.voting import VoteSelector
from ec_agent.support.checks import checked, one_of

FIRST_SEEN = "first_seen"

_DECIDE: Mapping[str, ScoreSelector] = MappingProxyType(
    {kind.label: kind() for kind in (MeanEntropy, MeanLogprob, SelfCertainty, DeepConfMean)}
)


@dataclass(frozen=True, slots=True)
class TieBrokenVote(VoteSelector):
    """Prefer the answer that most rollouts gave, and of equally frequent answers the one with the surest rollout.

    The votes are those of ``MajorityVote``: every rollout that ended has one, also without logprobs. Only between
    answers with equally many votes does the signal decide: the answer wins one of whose rollouts is the best of all of
    theirs by ``ties``. A rollout with too few logprobs (fewer than half of its tokens) decides nothing. If no rollout
    of these answers has enough, the answer that was seen first wins, and a warning says so.

    Attributes:
        ties: what decides: ``"mean_entropy"``, ``"mean_logprob"``, ``"self_certainty"`` or ``"deepconf_mean"``, as in
            the selectors of these names; or ``"first_seen"``, which is ``MajorityVote``.

    Raises:
        ConfigError: ``ties`` is none of these.

    Source: self-consistency, arXiv 2203.11171. The tie-break was chosen among 8 on the two families of stored rollouts
    in docs/results.md.
    """

    label: ClassVar[str] = "tie_broken_vote"
    signals = reads()

    ties: str = MeanEntropy.label

    def __post_init__(self) -> None:
        VoteSelector.__post_init__(self)
        checked(self, "ties", one_of, (*_DECIDE, FIRST_SEEN))

    @property
    def extra_signals(self) -> tuple[str, ...]:
        """The signal that decides between answers with equally many votes."""
        return () if self.ties == FIRST_SEEN else _DECIDE[self.ties].signals

    def weight(self, candidate: Candidate) -> float | None:
        """Return 1: all rollouts have the same weight."""
        return 1.0

    def tie_break(self, candidate: Candidate) -> float | None:
        """Return the mean of the signal, negated if higher is better; ``None`` if the rollout has too little of it."""
        if self.ties == FIRST_SEEN:
            return None
        decides = _DECIDE[self.ties]
        if unscored(candidate.trajectory, decides.signals[0], MIN_COVERAGE) is not None:
            return None
        score = decides.score(candidate)
        return score if score is None or decides.lower_is_better else -score
