"""Rollouts that ended, from what they came to; and the plans told once more, slowly, sharing no code with ours.

``None`` is a rollout without a vote, ``FAILED`` one that failed.
"""

from __future__ import annotations

from itertools import product

from ec_agent.numbers.trajectory import Trajectory
from ec_agent.selectors import Candidate
from ec_agent.stopping import Stop
from ec_agent.stopping.asking import ask

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
    """Every way in which n rollouts may end, but for what the answers are called."""
    answers = [kind for kind in kinds if isinstance(kind, str)]
    for ended in product(kinds, repeat=n):
        seen = list(dict.fromkeys(each for each in ended if isinstance(each, str)))
        if seen == answers[: len(seen)]:
            yield ended


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

    ``decide(ended, to_come)`` is given ``(place, answer)`` pairs, and says who may win, or ``None`` to go on. It is
    asked each time that nothing runs any more, once as many as the first wave have ended.
    """
    started, sizes = 0, iter(waves)
    last = due = next(sizes)
    ended = []
    while True:
        for place in range(started, min(len(answers), started + due - len(ended))):
            started += 1
            if answers[place] is not FAILED:
                ended.append((place, answers[place]))
        if started == len(answers):
            return started, None
        among = decide(ended, len(answers) - started) if len(ended) >= waves[0] else None
        if among is not None:
            return started, among
        if len(ended) == due:
            last = next(sizes, last)
            due += last


def ran(plan, answers):
    """How many start, and who may win, asking the plan itself."""
    n, started = len(answers), 0
    while started < n:
        said = ask(plan, came_to(*answers[:started]), 0, n - started)
        if isinstance(said, Stop):
            return started, set(said.among)
        started += said.count
    return n, None
