"""Count answers as ``MajorityVote`` does; the base class of plans that look only at these counts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from ec_agent.selectors.base import Candidate
from ec_agent.selectors.normalize import Normalize, answer_of
from ec_agent.stopping.base import Stop
from ec_agent.stopping.wave_plan import WavePlan


def counted(candidates: Sequence[Candidate], normalize: Normalize) -> list[tuple[int, ...]]:
    """Group the rollouts by their answers, the most frequent answer first; of equally frequent ones, the first seen.

    Args:
        candidates: rollouts that ended, by index.
        normalize: makes answers comparable.

    Returns:
        A tuple of ascending indices for each answer. A rollout without a vote is in none of them.

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
        since: the lowest index of the rollouts that gave it.
        rivals: votes and lowest index of each other answer.
        to_come: how many rollouts may still vote.
        unseen: the lowest index that one of the rollouts still to come may have.
    """

    leader: int
    since: int
    rivals: tuple[tuple[int, int], ...]
    to_come: int
    unseen: int

    @classmethod
    def of(cls, answers: Sequence[tuple[int, ...]], candidates: Sequence[Candidate], running: int, n: int) -> Votes:
        """Make it from the result of ``counted(candidates, ...)`` and the arguments of ``StoppingPlan.enough``."""
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
        """Return the votes if ``count`` more rollouts gave the leading answer, or an answer at all if there is none."""
        return replace(self, leader=self.leader + count, to_come=self.to_come - count, unseen=self.unseen + count)


class VotePlan(WavePlan):
    """Base class of plans that look only at the counts of answers.

    Without ``waves``, a plan starts the smallest number of rollouts that could settle the vote. It could not stop
    before these have ended, so this costs no more tokens than one rollout at a time, and takes less time.
    """

    __slots__ = ()

    normalize: Normalize

    @abstractmethod
    def settled(self, votes: Votes) -> bool:
        """Whether the votes are enough to stop."""

    @abstractmethod
    def said(self, votes: Votes) -> str:
        """Return the reason for stopping, for votes that are settled."""

    def seen(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | None:
        """Return ``Stop`` if the votes are settled."""
        answers = counted(candidates, self.normalize)
        votes = Votes.of(answers, candidates, running, n)
        return Stop(self.said(votes), among=answers[0]) if answers and self.settled(votes) else None

    def few(self, candidates: Sequence[Candidate], running: int, n: int) -> int:
        """Return the smallest number of rollouts that would settle the vote if all of them gave the leading answer."""
        votes = Votes.of(counted(candidates, self.normalize), candidates, running, n)
        counts = (count for count in range(1, votes.to_come) if self.settled(votes.with_more(count)))
        return next(counts, max(1, votes.to_come))
