"""The selectors that count answers: rollouts vote with what they came to."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ec_agent.selectors.answers import Normalize, answer_of, check_normalize, final_answer
from ec_agent.selectors.base import Candidate, Ranking, candidates_of
from ec_agent.selectors.scoring import Named
from ec_agent.support.checks import number, refusal, whole


class Ballot(NamedTuple):
    """One rollout's vote: its answer, and what it weighs (above 0)."""

    answer: Hashable
    weight: float


@dataclass(frozen=True, slots=True)
class VoteSelector(Named):
    """Ranks rollouts by the share of the weight that their answer has in all the votes.

    All rollouts of an answer share its score, so the margin between the first two is 0 where they agree. The rollouts
    of one answer come together, in index order: the winner is the first of the winning answer. Ties between answers go
    to the one that was seen first. Where no two votes agree, a warning of the ranking says so.

    Attributes:
        normalize: makes a final action (an ``AIMessage``, a structured response ...) comparable: to a hashable
            answer, or ``None`` for no vote. See ``ec_agent.selectors.final_answer``, the default.

    Raises:
        ConfigError: ``normalize`` is not a function; from ``select``: it failed, or returned something unhashable.
    """

    lower_is_better: ClassVar[bool] = False

    normalize: Normalize = final_answer

    def __post_init__(self) -> None:
        check_normalize(self.normalize)

    @abstractmethod
    def weight(self, candidate: Candidate) -> float | None:
        """What its vote weighs, above 0; ``None`` where it may not vote."""

    def reason(self, candidate: Candidate) -> str:
        """Why a rollout that ended has no vote."""
        return "no_vote"

    def warnings(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """What to know before trusting the order."""
        return ()

    def ballot(self, candidate: Candidate) -> Ballot | None:
        """The candidate's vote, which does not depend on the others'; ``None`` where it has none."""
        weight = self.weight(candidate)
        answer = answer_of(candidate, self.normalize) if weight is not None else None
        return None if weight is None or answer is None else Ballot(answer, weight)

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Count the votes."""
        candidates = candidates_of(candidates)
        entrants = self.entrants(candidates)
        drawn = {candidate.index: self.ballot(candidate) for candidate in entrants}
        ballots = {index: ballot for index, ballot in drawn.items() if ballot is not None}
        scores, order = tally(ballots)
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
        ballots: by index of the rollout.

    Returns:
        Each rollout's score, in (0, 1]: the share its answer has of all weight. And the indices in order, the best
        first.

    Raises:
        ConfigError: they are no votes by index.
    """
    _check_ballots(ballots)
    weights: dict[Hashable, list[float]] = {}
    first: dict[Hashable, int] = {}
    for index in sorted(ballots):
        answer, weight = ballots[index]
        weights.setdefault(answer, []).append(weight)
        first.setdefault(answer, index)
    # fsum: equal votes must come to equal sums, in whatever order they were cast.
    total = math.fsum(ballot.weight for ballot in ballots.values())
    share = {answer: math.fsum(votes) / total for answer, votes in weights.items()}
    scores = {index: share[ballot.answer] for index, ballot in ballots.items()}
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
