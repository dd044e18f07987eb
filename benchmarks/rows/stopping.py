"""Stopping plans replayed over stored rollouts: tokens of a question at the same winner."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Case, at_least, at_most, value
from ec_agent.evaluation.statistics.plan_comparison import share
from ec_agent.evaluation.statistics.plan_replays import Replayer, Replays
from ec_agent.selectors import MajorityVote
from ec_agent.stopping import OutOfReach

FAMILIES = {"red2": ("RED2", 0.77), "bfcl": ("BFCL simple_python", 0.84)}
"""File of stored rollouts -> its name, and the share of tokens that was the goal."""


def cases() -> Iterator[Case]:
    """A family each: 100 tasks of 8 rollouts in 240 orders; nothing is timed."""
    sys.path.append(str(Path(__file__).parents[2] / "tests" / "evaluation"))
    from stored_families import stored

    for family, (name, goal) in FAMILIES.items():
        replayer = Replayer(stored(family), MajorityVote())
        whole, waves, single = (replayer.play(plan) for plan in (None, OutOfReach([4, 1]), OutOfReach([1])))

        def tokens(ours: Replays, whole: Replays = whole) -> float:
            return float(share(ours.tokens, whole.tokens).mean())

        counted = {
            "all 8 at once": tokens(whole),
            "4+1+1+1+1": tokens(waves),
            "one at a time": tokens(single),
            "same winner": float(waves.same_winner.mean()),
        }
        yield Case(
            f"certain plan beside a majority vote of 8, {name}, tokens of a question",
            {arm: lambda count=count: count for arm, count in counted.items()},
            [
                at_most("4+1+1+1+1", "all 8 at once", goal),
                at_most("4+1+1+1+1", "one at a time", 1.01),
                at_least("same winner", "all 8 at once", 1.0),
            ],
            gauge=value,
            unit="of all",
            rounds=1,
        )
