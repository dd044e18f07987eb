"""Rollouts that ended, from what they came to; and the plans told once more, slowly, sharing no code with ours.

``None`` is a rollout without a vote, ``FAILED`` one that failed.
"""

from __future__ import annotations

from itertools import product

from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate

FAILED = object()


def came_to(*answers, first=0):
    """A candidate an answer, by index."""
    return [
        Candidate(
            index, Trajectory(), None if answer is FAILED else answer, error="broke" if answer is FAILED else None
        )
        for index, answer in enumerate(answers, first)
    ]


def all_ballots(n, kinds):
    """Every way in which n rollouts may end."""
    return product(kinds, repeat=n)


def vote(answers):
    """The place of the majority vote's winner among answers in index order; ``None`` where nobody votes."""
    best = None
    for place, answer in enumerate(answers):
        if answer is None or answer is FAILED:
            continue
        votes = sum(1 for other in answers if other == answer)
        if best is None or votes > best[0]:  # a later one must have more: ties go to the first seen
            best = votes, place
    return None if best is None else best[1]


def in_turn(decide, answers, waves):
    """What a plan in waves makes of rollouts that would end so, told in one piece: how many start, and who may win.

    ``decide(ended, to_come)`` is given ``(place, answer)`` pairs, and says who may win, or ``None`` to go on.
    """
    n, started, sizes = len(answers), 0, iter(waves)
    last = due = next(sizes)
    while True:
        while started < n and sum(1 for answer in answers[:started] if answer is not FAILED) < due:
            started += 1
        if started == n:
            return n, None
        ended = [(place, answer) for place, answer in enumerate(answers[:started]) if answer is not FAILED]
        among = decide(ended, n - started)
        if among is not None:
            return started, among
        last = next(sizes, last)
        due += last
