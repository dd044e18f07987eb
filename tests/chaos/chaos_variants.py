"""The kinds of runs that are killed, and when enough is known in those that stop early."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ec_agent import Candidate
from ec_agent.stopping import More, Stop

VARIANTS = {
    "answer": "plain answer",
    "route": "routed to CommitToolNode",
    "execute": "executed",
    "continue": "executed, goes on to a second commit",
    "world": "executed, environment that is run again",
    "copies": "executed, environment that is reopened, then promoted",
    "waves": "executed in waves, goes on to a second commit",
    "cancel": "executed, the rest cancelled",
}
SURE = 1  # the rollout that wins the first stretch, if there are two


class OneByOne:
    """Waves of one, and no more once all but one have ended."""

    def enough(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | More:
        most = max(1, n - 1)
        return Stop(f"{most} have ended") if len(candidates) >= most else More(1)


class TheSureOne:
    """Enough as soon as the surest has ended, which is taken: the same one in every run, whoever ended before it."""

    def enough(self, candidates: Sequence[Candidate], running: int, n: int) -> Stop | More:
        ended = [candidate.index for candidate in candidates]
        return Stop("the surest has ended", (SURE,)) if SURE in ended else More(1)


STOPPING: dict[str, dict[str, Any]] = {
    "waves": {"stop": OneByOne()},
    "cancel": {"stop": TheSureOne(), "cancel": True},
}
"""The options of ``best_of_n``, by variant."""

TWICE = ("continue", "waves")
"""The variants that go on to a second commit."""
