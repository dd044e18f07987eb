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
from ec_agent.selectors.validity import COVER, validity
from ec_agent.support.checks import number, or_none, refusal, whole


class Ballot(NamedTuple):
    """The vote of one rollout.

    Attributes:
        answer: its answer.
        weight: the weight of the vote. ``tally`` wants weights above 0.
        tie_break: decides between answers of equal score: the answer that has the ballot with the lowest number wins.
            ``None``: this ballot decides no tie.
    """

    answer: Hashable
    weight: float
    tie_break: float | None = None


class Count(NamedTuple):
    """Counted votes.

    Attributes:
        scores: the score of each rollout.
        order: the indices, the best first.
        tie_breaks: for each rollout, the lowest number that breaks ties among the ballots of its answer, if there is
            one.
    """

    scores: dict[int, float]
    order: tuple[int, ...]
    tie_breaks: dict[int, float]


@dataclass(frozen=True, slots=True)
class VoteSelector(Named):
    """Base class of selectors that rank rollouts by how many others gave the same answer.

    The score of a rollout is the weight of all votes for its answer, divided by the weight of all votes. Rollouts with
    the same answer have the same score; so the margin is 0 if the first two agree. Within an answer, rollouts are
    ranked by index, and the winner is the first rollout with the winning answer. If two answers have the same weight,
    the one with the lower first index wins, unless ``tie_break`` says otherwise. If no two votes agree, the ranking has
    a warning.

    Attributes:
        as_share: whether scores are divided by the weight of all votes. Weights must be above 0 then.
        normalize: turns a final action (an ``AIMessage``, a structured response ...) into a hashable answer, or
            ``None`` for no vote. The default is ``ec_agent.selectors.final_answer``.

    Raises:
        ConfigError: ``normalize`` is not a function. Or, from ``select``: it failed, or returned something that is not
            hashable.
    """

    lower_is_better: ClassVar[bool] = False
    as_share: ClassVar[bool] = True

    normalize: Normalize = final_answer

    def __post_init__(self) -> None:
        check_normalize(self.normalize)

    @property
    def count_power(self) -> float:
        """The score of an answer is ``votes ** count_power`` times the mean weight of its votes.

        At 1 that is the sum of their weights.
        """
        return 1.0

    @property
    def extra_signals(self) -> tuple[str, ...]:
        """Names of per-token signals that ``tie_break`` reads where they are there. No vote needs them."""
        return ()

    @abstractmethod
    def weight(self, candidate: Candidate) -> float | None:
        """Return the weight of a candidate's vote, above 0, or ``None`` if it may not vote."""

    def tie_break(self, candidate: Candidate) -> float | None:
        """Return the number by which this vote decides between answers of equal score, lower first.

        ``None``, for each candidate unless a subclass says otherwise: the answer that was seen first wins.
        """
        return None

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
        return None if weight is None or answer is None else Ballot(answer, weight, self.tie_break(candidate))

    def count(self, ballots: Mapping[int, Ballot]) -> Count:
        """Count ballots that ``ballot`` made, by the index of their rollouts."""
        return count_ballots(ballots, self.count_power, as_share=self.as_share)

    def select(self, candidates: Sequence[Candidate]) -> Ranking:
        """Count the votes and rank the candidates, the best first."""
        candidates = candidates_of(candidates)
        entrants = self.entrants(candidates)
        drawn = {candidate.index: self.ballot(candidate) for candidate in entrants}
        ballots = {index: ballot for index, ballot in drawn.items() if ballot is not None}
        counted = self.count(ballots)
        notes = (*_no_two_agree(ballots, counted), *_left_to_the_first(ballots, counted, self.extra_signals))
        return Ranking(
            order=counted.order,
            scores={candidate.index: counted.scores.get(candidate.index) for candidate in candidates},
            reasons={c.index: self.reason(c) for c in entrants if c.index not in counted.scores},
            warnings=(*self.warnings(candidates), *notes),
            tie_breaks=counted.tie_breaks,
        )


@dataclass(frozen=True, slots=True)
class SignalWeightedVote(VoteSelector):
    """Base class of votes that are weighed by the first of ``signals``. A rollout that lacks it has no weight."""

    unscored_reason: ClassVar[str] = "no_signal"
    """The reason for a candidate that has no weight."""
    of_phases: ClassVar[bool] = False
    """Whether the weight is computed from the phases of the signal."""

    def reason(self, candidate: Candidate) -> str:
        """Return why the candidate has no vote: ``unscored_reason``, or ``"no_vote"`` if it has no answer."""
        return self.unscored_reason if self.weight(candidate) is None else "no_vote"

    def warnings(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Return what to know before trusting the order; see ``validity``."""
        return validity(candidates, self.signals[0], phases=self.of_phases)


def _no_two_agree(ballots: Mapping[int, Ballot], counted: Count) -> tuple[str, ...]:
    if len(ballots) < 2 or len({ballot.answer for ballot in ballots.values()}) < len(ballots):
        return ()
    equal = len({ballot.weight for ballot in ballots.values()}) == 1
    first = "the one that the tie-break prefers was taken" if counted.tie_breaks else "the first was taken"
    taken = first if equal else "the one of most weight was taken"
    return (
        f"no two of the {len(ballots)} votes agree, so there is no majority: {taken}. If answers differ only in how "
        "they are written, give the selector a normalize= that makes them the same",
    )


def _left_to_the_first(ballots: Mapping[int, Ballot], counted: Count, extra_signals: Sequence[str]) -> tuple[str, ...]:
    if not extra_signals or not counted.order:
        return ()
    best = counted.scores[counted.order[0]]
    level = {ballots[index].answer: index for index, score in counted.scores.items() if score == best}
    lacking = [answer for answer, index in level.items() if index not in counted.tie_breaks]
    if len(level) < 2 or not lacking:
        return ()
    return (
        f"{len(level)} answers have equally many votes, and {len(lacking)} of them came from rollouts without enough "
        f"of the {extra_signals[0]} that should decide, so they come last, the first seen before others; {COVER}",
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
    counted = count_ballots({index: Ballot(*ballot) for index, ballot in ballots.items()})
    return counted.scores, counted.order


def count_ballots(ballots: Mapping[int, Ballot], count_power: float = 1.0, *, as_share: bool = True) -> Count:
    """Count votes as ``tally`` does, without checking the ballots again: for ballots that our own code made.

    Args:
        ballots: the vote of each rollout, by its index.
        count_power: see ``VoteSelector``.
        as_share: see ``VoteSelector``.
    """
    weights: dict[Hashable, list[float]] = {}
    first: dict[Hashable, int] = {}
    lowest: dict[Hashable, float] = {}
    for index in sorted(ballots):
        answer, weight, tie_break = ballots[index]
        weights.setdefault(answer, []).append(weight)
        first.setdefault(answer, index)
        if tie_break is not None:
            lowest[answer] = min(tie_break, lowest.get(answer, math.inf))
    # math.fsum does not round in between, so that equal votes have equal sums in any order of adding.
    total = math.fsum(ballot.weight for ballot in ballots.values()) if as_share else 1.0
    found = {answer: math.fsum(votes) / damping(len(votes), count_power) / total for answer, votes in weights.items()}
    scores = {index: found[ballot.answer] for index, ballot in ballots.items()}

    def place(index: int) -> tuple[float, float, int, int]:
        # If two answers have equal scores, the one with the lowest tie-break, then the one with the lowest index first;
        # rollouts of one answer stay together.
        answer = ballots[index].answer
        return -scores[index], lowest.get(answer, math.inf), first[answer], index

    tie_breaks = {index: lowest[ballot.answer] for index, ballot in ballots.items() if ballot.answer in lowest}
    return Count(scores, tuple(sorted(ballots, key=place)), tie_breaks)


def damping(votes: int, count_power: float) -> float:
    """Return what the sum of an answer's weights is divided by, so that its score is as ``VoteSelector`` says."""
    return float(votes ** (1.0 - count_power))


def _check_ballots(ballots: Mapping[int, Ballot]) -> None:
    rather = "a dict from the index of each rollout to its Ballot(answer, weight)"
    if not isinstance(ballots, Mapping):
        raise refusal("ballots", ballots, rather)
    for index, ballot in ballots.items():
        whole("an index in ballots", index, 0)
        if not isinstance(ballot, tuple) or len(ballot) not in (2, 3) or not isinstance(ballot[0], Hashable):
            raise refusal(f"ballots[{index}]", ballot, "a Ballot(answer, weight), whose answer is hashable")
        number(f"the weight in ballots[{index}]", ballot[1], "a number above 0", above=0)
        or_none(f"the tie_break in ballots[{index}]", Ballot(*ballot).tie_break, number, "a number or None")
