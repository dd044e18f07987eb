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


def broken_vote(answers, breaks):
    """The order of preference of a plain vote with a tie-break, lower first, ``None`` last; then the first seen."""
    voters = [i for i, a in enumerate(answers) if a is not None]

    def place(i):
        mine = [j for j in voters if answers[j] == answers[i]]
        known = [breaks[j] for j in mine if breaks[j] is not None]
        return -len(mine), min(known) if known else math.inf, mine[0], i

    return sorted(voters, key=place)


def gradient(timeline, tenths):
    """Mean of the last tenths of the tokens less mean of the first, and the mean of all; ``None`` without tokens."""
    known = [value for value in timeline if value is not None]
    ends = 1
    while 10 * (ends + 1) <= tenths * len(known):
        ends += 1
    return (mean(known[-ends:]) - mean(known[:ends]), mean(known)) if known else None


def tail_entropies(timelines, least, most):
    """The window of a group, and the median of each rollout's last tokens in it; ``None`` where there is nothing."""
    known = [[value for value in timeline if value is not None] for timeline in timelines]
    every = [value for line in known for value in line]
    if not every:
        return None, [None] * len(known)
    lengths = [len(line) for line in known if line]
    if sum(every) > 0:
        wanted = (sum(lengths) / len(lengths)) ** 0.5 / (sum(every) / len(every))
        window = least if wanted < least else most if wanted > most else math.floor(wanted)
    else:
        window = most
    return window, [median(line[-window:]) if line else None for line in known]


def median(values):
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2
