"""The method, one token at a time: slow and plain, written from its definition to check the fast code.

It shares no code with ``ec_agent``. Tokens without an entropy are ``None`` here.
"""

from __future__ import annotations

import math

import numpy as np


def token_entropy(logprobs, top_k=None, exp=math.exp, log=math.log):
    """Entropy of one token in nats, or None where it has none."""
    if any(lp is None or math.isnan(lp) or lp == math.inf for lp in logprobs):
        return None
    ranked = sorted(logprobs, reverse=True)
    if top_k is not None:
        ranked = ranked[:top_k]
    weights = [exp(lp) for lp in ranked]
    total = 0.0
    for weight in weights:
        total += weight
    if total == 0.0:
        return None
    entropy = 0.0
    for weight in weights:
        p = weight / total
        if p > 0.0:
            entropy -= p * log(p)
    return entropy


def thresholds(known, top_percent, bottom_percent):
    """The pair (theta_high, theta_low) over the entropies that exist."""
    theta_high = float(np.percentile(known, 100 - top_percent))
    theta_low = float(np.percentile(known, bottom_percent))
    return theta_high, theta_low


def phases(timeline, top_percent, bottom_percent, consecutive_low):
    """High Entropy Phases as ``(start, duration)`` pairs, in order."""
    known = [entropy for entropy in timeline if entropy is not None]
    if not known:
        return []
    theta_high, theta_low = thresholds(known, top_percent, bottom_percent)
    found = []
    inside = False
    start = duration = low_run = 0
    for index, entropy in enumerate(timeline):
        if entropy is None:
            continue
        if not inside:
            if entropy >= theta_high:
                inside, start, duration, low_run = True, index, 1, 0
            continue
        duration += 1
        low_run = low_run + 1 if entropy <= theta_low else 0
        if low_run == consecutive_low:
            duration -= consecutive_low
            if duration > 0:
                found.append((start, duration))
            inside = False
    if inside:
        found.append((start, duration))
    return found


def centroid(found, length):
    """Mass-weighted mean position of the phases over the length of the timeline, or None."""
    if not found:
        return None
    mass = 0.0
    moment = 0.0
    for start, duration in found:
        mass += duration
        moment += duration * (start + duration / 2)
    return moment / mass / length
