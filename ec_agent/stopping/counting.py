"""Counting answers as ``MajorityVote`` does, and the plans that look at nothing but the counts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from ec_agent.selectors.answers import Normalize, answer_of
from ec_agent.selectors.base import Candidate
from ec_agent.stopping.base import Stop
from ec_agent.stopping.waves import WavePlan


def counted(candidates: Sequence[Candidate], normalize: Normalize) -> list[tuple[int, ...]]:
    """The rollouts of each answer, the most frequent answer first; of equal ones that which was seen first.

    Args:
        candidates: rollouts that ended, by index.
        normalize: what makes answers comparable.

    Returns:
        Indices, ascending, a tuple for each answer. Who has no vote is in none.

    Raises:
        ConfigError: ``normalize`` failed, or returned something unhashable.
    """
    votes: dict[Hashable, list[int]] = {}
    for candidate in candidates:
        answer = answer_of(candidate, normalize)
        if answer is not None:
            votes.setdefault(answer, []).append(candidate.index)
    return [tuple(voters) for voters in sorted(votes.values(), key=lambda voters: -len(voters))]


@dataclass(frozen=True, slots=True)
class Votes:
    """How a vote stands while some are still to come.

    Attributes:
        leader: votes of the leading answer.
        since: the lowest index that gave it.
        rivals: the same of each other answer.
        to_come: how many rollouts may still vote.
        unseen: the lowest index that one of these may have.
    """

    leader: int
    since: int
    rivals: tuple[tuple[int, int], ...]
    to_come: int
    unseen: int

    @classmethod
    def of(cls, answers: Sequence[tuple[int, ...]], candidates: Sequence[Candidate], running: int, n: int) -> Votes:
        """From ``counted(candidates, ...)``, and what a plan is given."""
        there = {candidate.index for candidate in candidates}
        behind = max(there, default=-1) + 1  # rollouts start by index: where none is under way, all come after these
        unseen = behind if not running else next(index for index in range(behind + 1) if index not in there)
        first, *others = answers or [()]
        return cls(
            leader=len(first),
            since=first[0] if first else unseen,
            rivals=tuple((len(voters), voters[0]) for voters in others),
            to_come=n - len(candidates),
            unseen=unseen,
        )

    @property
    def second(self) -> int:
        """Votes of the most frequent other answer; 0 if there is none."""
        return max((count for count, _ in self.rivals), default=0)

    def with_more(self, count: int) -> Votes:
        """How it would stand if so many more gave the leading answer; where there is none, they make one."""
        return replace(self, leader=self.leader + count, to_come=self.to_come - count, unseen=self.unseen + count)


class VotePlan(WavePlan):
    """A plan that looks at the counts of answers alone.

    Without ``waves`` it starts as few as could settle it: before they have ended it could not stop, so it costs no
    token more than one rollout at a time, and takes less time.
    """

    __slots__ = ()

    normalize: Normalize

    @abstractmethod
    def settled(self, votes: Votes) -> bool:
        """Whether no more are needed."""

    @abstractmethod
    def said(self, votes: Votes) -> str:
        """What was seen, where it is settled."""

    def seen(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | None:
        """Whether the counts settle it."""
        answers = counted(candidates, self.normalize)
        votes = Votes.of(answers, candidates, running, n)
        return Stop(self.said(votes), among=answers[0]) if answers and self.settled(votes) else None

    def few(self, candidates: Sequence[Candidate], running: int, n: int) -> int:
        """As few as could settle it, if all of them gave the leading answer."""
        votes = Votes.of(counted(candidates, self.normalize), candidates, running, n)
        counts = (count for count in range(1, votes.to_come) if self.settled(votes.with_more(count)))
        return next(counts, max(1, votes.to_come))
