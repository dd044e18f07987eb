"""The base class of selectors that count equal answers, and the counting itself."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ec_agent.selectors.actions import final_answer
from ec_agent.selectors.base import Candidate, Ranking, candidates_of
from ec_agent.selectors.normalize import Normalize, answer_of, check_normalize
from ec_agent.selectors.scoring import Named
from ec_agent.support.checks import number, refusal, whole


class Ballot(NamedTuple):
    """The vote of one rollout: its answer, and the weight of the vote, above 0."""

    answer: Hashable
    weight: float


@dataclass(frozen=True, slots=True)
class VoteSelector(Named):
    """Base class of selectors that rank rollouts by how many others gave the same answer.

    The score of a rollout is the weight of all votes for its answer, divided by the weight of all votes. Rollouts with
    the same answer have the same score; so the margin is 0 if the first two agree. Within an answer, rollouts are
    ranked by index, and the winner is the first rollout with the winning answer. If two answers have the same weight,
    the one with the lower first index wins. If no two votes agree, the ranking has a warning.

    Attributes:
        normalize: turns a final action (an ``AIMessage``, a structured response ...) into a hashable answer, or
            ``None`` for no vote. The default is ``ec_agent.selectors.final_answer``.

    Raises:
        ConfigError: ``normalize`` is not a function. Or, from ``select``: it failed, or returned something that is not
            hashable.
    """

    lower_is_better: ClassVar[bool] = False

    normalize: Normalize = final_answer

    def __post_init__(self) -> None:
        check_normalize(self.normalize)

    @abstractmethod
    def weight(self, candidate: Candidate) -> float | None:
        """Return the weight of a candidate's vote, above 0, or ``None`` if it may not vote."""

    def reason(self, candidate: Candidate) -> str:
        """Return the reason that the ranking gives for a candidate that may be ranked, but has no vote."""
        return "no_vote"

    def warnings(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Return what to know before trusting the order; nothing, unless a subclass adds something."""
        return ()

    def ballot(self, candidate: Candidate) -> Ballot | None:
        """Return the vote of one candidate, or ``None`` if it has no vote. It does not depend on other candidates."""
        weight = self.weight(candidate)
        answer = answer_of(candidate, self.normalize) if weight is not None else None
        return None if weight is None or answer is None else Ballot(answer, weight)

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Count the votes and rank the candidates, the best first."""
        candidates = candidates_of(candidates)
        entrants = self.entrants(candidates)
        drawn = {candidate.index: self.ballot(candidate) for candidate in entrants}
        ballots = {index: ballot for index, ballot in drawn.items() if ballot is not None}
        scores, order = count_ballots(ballots)
        return Ranking(
            order=order,
            scores={candidate.index: scores.get(candidate.index) for candidate in candidates},
            reasons={c.index: self.reason(c) for c in entrants if c.index not in scores},
            warnings=(*self.warnings(candidates), *_no_two_agree(ballots)),
        )


def _no_two_agree(ballots: Mapping[int, Ballot]) -> tuple[str, ...]:
    if len(ballots) < 2 or len({ballot.answer for ballot in ballots.values()}) < len(ballots):
        return ()
    equal = len({ballot.weight for ballot in ballots.values()}) == 1
    taken = "the first was taken" if equal else "the one of most weight was taken"
    return (
        f"no two of the {len(ballots)} votes agree, so there is no majority: {taken}. If answers differ only in how "
        "they are written, give the selector a normalize= that makes them the same",
    )


def tally(ballots: Mapping[int, Ballot]) -> tuple[dict[int, float], tuple[int, ...]]:
    """Count votes.

    Args:
        ballots: the vote of each rollout, by its index.

    Returns:
        ``(scores, order)``. The score of each rollout, in (0, 1], is the weight of all votes for its answer, divided
        by the weight of all votes. ``order`` has the indices, the best first.

    Raises:
        ConfigError: ``ballots`` is not a dict from indices to ballots.
    """
    _check_ballots(ballots)
    return count_ballots(ballots)


def count_ballots(ballots: Mapping[int, Ballot]) -> tuple[dict[int, float], tuple[int, ...]]:
    """Count votes as ``tally`` does, without checking the ballots again: for ballots that our own code made."""
    weights: dict[Hashable, list[float]] = {}
    first: dict[Hashable, int] = {}
    for index in sorted(ballots):
        answer, weight = ballots[index]
        weights.setdefault(answer, []).append(weight)
        first.setdefault(answer, index)
    # math.fsum does not round in between, so that equal votes have equal sums in any order of adding.
    total = math.fsum(ballot.weight for ballot in ballots.values())
    share = {answer: math.fsum(votes) / total for answer, votes in weights.items()}
    scores = {index: share[ballot.answer] for index, ballot in ballots.items()}
    # If two answers have equal shares, the one with the lowest index first; rollouts of one answer stay together.
    order = sorted(ballots, key=lambda index: (-scores[index], first[ballots[index].answer], index))
    return scores, tuple(order)


def _check_ballots(ballots: Mapping[int, Ballot]) -> None:
    rather = "a dict from the index of each rollout to its Ballot(answer, weight)"
    if not isinstance(ballots, Mapping):
        raise refusal("ballots", ballots, rather)
    for index, ballot in ballots.items():
        whole("an index in ballots", index, 0)
        if not isinstance(ballot, tuple) or len(ballot) != 2 or not isinstance(ballot[0], Hashable):
            raise refusal(f"ballots[{index}]", ballot, "a Ballot(answer, weight), whose answer is hashable")
        number(f"the weight in ballots[{index}]", ballot[1], "a number above 0", above=0)
