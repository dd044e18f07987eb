"""``OutOfReach``: stop when no rollout still to come can change the majority vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ec_agent.selectors.actions import final_answer
from ec_agent.selectors.normalize import Normalize, check_normalize
from ec_agent.stopping.vote_plan import VotePlan, Votes
from ec_agent.stopping.wave_plan import waves_of
from ec_agent.support.checks import checked, one_of, or_none


@dataclass(frozen=True, slots=True)
class OutOfReach(VotePlan):
    """Stop when the leading answer has won the majority vote, whatever the rollouts still to come would answer.

    It is no bet. Beside ``MajorityVote`` with the same ``normalize``, rollouts that would have ended as they did, and
    waves, the winner is the very rollout that all n would have made it: its answer and its index, ties broken as that
    vote breaks them. That holds where rollouts fail, and where they have no vote. Where the rest is cancelled instead,
    the answer is certain, and which of its rollouts is taken is not. Beside ``TieBrokenVote`` all this holds with
    ``ties="any"``, which stops later: a tie there may go to an answer that is still to come. It says nothing of votes
    that weigh, and nothing of other selectors: there it is ``Agreement`` with a majority of n.

    Attributes:
        waves: how many rollouts to start first, how many to add next, and so on; the last number is repeated up to n.
            ``None``: each time as few as could settle it, at n = 8 four, then at most two at once. That costs no more
            tokens than one at a time.
        normalize: makes final actions comparable, as for the vote.
        ties: to which of equally frequent answers the vote goes. ``"first_seen"``, as for ``MajorityVote``; or
            ``"any"``: whatever it goes to, as for ``TieBrokenVote``.

    Raises:
        ConfigError: an argument is out of range; from ``enough``: ``normalize`` failed, or returned something
            unhashable.

    Source: counting.
    """

    label: ClassVar[str] = "out_of_reach"

    waves: Sequence[int] | None = None
    normalize: Normalize = final_answer
    ties: Literal["first_seen", "any"] = "first_seen"

    def __post_init__(self) -> None:
        checked(self, "waves", or_none, waves_of)
        check_normalize(self.normalize)
        checked(self, "ties", one_of, ("first_seen", "any"))

    def settled(self, votes: Votes) -> bool:
        """Whether every other answer, also one not yet given, would lose even if all those to come gave it."""

        def stays_behind(count: int, since: int) -> bool:
            most = count + votes.to_come
            wins_ties = self.ties == "first_seen" and votes.since < min(since, votes.unseen)
            return votes.leader > most or (votes.leader == most and wins_ties)

        return all(stays_behind(*rival) for rival in (*votes.rivals, (0, votes.unseen)))

    def said(self, votes: Votes) -> str:
        """Return the votes of the first two answers, and how many rollouts are still to come."""
        return (
            f"{votes.leader} rollouts agree and {votes.second} on the next answer: the {votes.to_come} still to come "
            "cannot change the majority"
        )
