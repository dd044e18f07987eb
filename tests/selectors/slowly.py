"""The selectors, one token at a time: plain Python that shares no code with ``ec_agent``.

A timeline is a list with ``None`` where a token lacks the signal; a row is the logprobs of one token's candidates.
"""

from __future__ import annotations

import math


def candidates(row):
    """The candidates that have a probability; ``None`` where these cannot be judged."""
    if any(lp is None or math.isnan(lp) or lp == math.inf for lp in row):
        return None
    possible = [lp for lp in row if lp != -math.inf]
    return possible if len(possible) > 1 else None


def confidence(row):
    possible = candidates(row)
    return None if possible is None else -sum(possible) / len(possible)


def self_certainty(row):
    possible = candidates(row)
    if possible is None:
        return None
    highest = max(possible)
    weights = [math.exp(lp - highest) for lp in possible]
    k = len(possible)
    total = 0.0
    for lp in possible:
        ln_p = lp - highest - math.log(sum(weights))
        total += math.log(k) + ln_p
    return -total / k


def mean(timeline):
    known = [value for value in timeline if value is not None]
    return sum(known) / len(known) if known else None


def window_means(timeline, window):
    known = [value for value in timeline if value is not None]
    if not known:
        return []
    if len(known) < window:
        return [sum(known) / len(known)]
    return [sum(known[i : i + window]) / window for i in range(len(known) - window + 1)]


def tail(timeline, window):
    known = [value for value in timeline if value is not None]
    return mean(known[max(0, len(known) - window) :])


def bottom(timeline, window, tenths):
    """Mean of the lowest tenths of the window means, in whole windows, rounded up."""
    means = sorted(window_means(timeline, window))
    count = 0
    while 10 * count < tenths * len(means):
        count += 1
    return mean(means[:count])


def lowest_group(timeline, window):
    return min(window_means(timeline, window), default=None)


def raw_centroid(timeline):
    mass = moment = 0.0
    for place, value in enumerate(timeline):
        if value is not None:
            mass += value
            moment += value * place
    return moment / mass / len(timeline) if mass > 0 else None


def vote(answers, weights):
    """Answers and weights in index order, ``None`` for no vote: shares in that order, and the order of preference."""
    total = sum(w for a, w in zip(answers, weights, strict=True) if a is not None)
    shares = [
        None if a is None else sum(w for b, w in zip(answers, weights, strict=True) if b == a) / total for a in answers
    ]
    voters = [i for i, a in enumerate(answers) if a is not None]
    return shares, sorted(voters, key=lambda i: (-round(shares[i], 9), answers.index(answers[i]), i))
