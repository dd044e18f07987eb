"""Drawn rollouts, and what holds of every selector that scores them one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest
import strategies as own
from hypothesis import strategies as st

from ec_agent.numbers.signals import SIGNALS, TokenLogprobs
from ec_agent.numbers.trajectory import Call, Trajectory
from ec_agent.selectors import Candidate

ANSWERS = ["yes", "no", " yes ", "", None]


def call_of(tokens):
    """A call with every signal."""
    signals = {name: signal(tokens) for name, signal in SIGNALS.items()}
    return Call(signals.pop("entropy"), signals=signals)


def signalled(name, *timelines):
    """A trajectory whose calls have the given values of one signal."""
    floats = [[np.nan if value is None else value for value in timeline] for timeline in timelines]
    if name == "entropy":
        return Trajectory([Call(values) for values in floats])
    return Trajectory([Call([], tokens=len(values), signals={name: values}) for values in floats])


def group_of(name, *timelines):
    """A candidate for each timeline of one signal."""
    return [Candidate(index, signalled(name, values)) for index, values in enumerate(timelines)]


def tokens_of(rng, longest=40):
    count, k = int(rng.integers(0, longest)), int(rng.integers(2, 8))
    top = own.draw_rows(rng, count, k)
    sampled = top[:, 0].copy()
    sampled[np.isinf(sampled)] = -20.0
    gaps = rng.random(count) < rng.choice([0.0, 0.0, 0.2, 1.0])
    top[gaps], sampled[gaps] = np.nan, np.nan
    return TokenLogprobs(top, sampled)


def draw_candidate(rng, index):
    calls = [call_of(tokens_of(rng)) for _ in range(rng.integers(0, 4))]
    if rng.random() < 0.1:
        calls.append(Call([], signals=dict.fromkeys(list(SIGNALS)[1:], np.empty(0))))  # of unknown length
    return Candidate(
        index,
        Trajectory(calls),
        ANSWERS[rng.integers(len(ANSWERS))],
        own.draw_config(rng),
        unscored="coverage" if rng.random() < 0.1 else None,
        error="timeout" if rng.random() < 0.1 else None,
    )


def draw_group(seed):
    """Candidates whose indices have gaps; some are copies of another, so that ties are common."""
    rng = np.random.default_rng(seed)
    group = [draw_candidate(rng, 2 * index) for index in range(rng.integers(0, 7))]
    if len(group) > 1 and rng.random() < 0.5:
        a = group[0]
        last = group[-1].index + 3
        group.append(Candidate(last, a.trajectory, a.final_action, a.config, a.unscored, a.error))
    return group


groups = st.builds(draw_group, own.seeds)


def timeline(candidate, signal):
    return own.plain(candidate.trajectory.signal(signal))


def same(one, other):
    return (one.order, one.scores, one.reasons, set(one.warnings)) == (
        other.order,
        other.scores,
        other.reasons,
        set(other.warnings),
    )


def check_ranking(selector, group, slow, *, lower):
    """The ranking is that of the slow score, whole, sorted, and blind to the order of the candidates."""
    ranking = selector.select(group)
    mine = {c.index: c for c in group if c.error is None and (c.unscored is None or not selector.signals)}
    assert list(ranking.scores) == [c.index for c in group]
    for index, score in ranking.scores.items():
        expected = slow(mine[index]) if index in mine else None
        assert score == (None if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-12))
        if index in mine:
            assert selector.score(mine[index]) == score
    scored = [index for index, score in ranking.scores.items() if score is not None]
    sign = 1 if lower else -1
    assert list(ranking.order) == sorted(scored, key=lambda index: (sign * ranking.scores[index], index))
    assert ranking.reasons == {index: selector.unscored_reason for index in mine if index not in scored}
    shuffled = list(group)
    random.Random(len(group)).shuffle(shuffled)
    assert same(selector.select(shuffled), ranking)


def gaps_do_not_count(selector, signal, values):
    """Tokens without the signal, wherever they are, change no score."""
    plain = selector.score(Candidate(0, signalled(signal, values)))
    gapped = [piece for value in values for piece in (value, None)]
    assert selector.score(Candidate(0, signalled(signal, [None, *gapped], [None, None]))) == plain
    # Nor does it matter where one call ends and the next begins.
    assert selector.score(Candidate(0, signalled(signal, values[:2], values[2:]))) == plain
    assert selector.score(Candidate(0, signalled(signal, [None] * 5))) is None
