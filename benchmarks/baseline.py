"""The method, one token at a time: slow and plain, written from its definition.

The benchmarks compare with it, and the tests check the fast code against it. It shares no code with ``ec_agent``.
Tokens without an entropy are ``None`` here. ``exp`` and ``log``, which map lists to lists, are arguments because
NumPy's differ from those of the C library in the last bit of one value in twenty: with NumPy's, which the definition
names, results are equal bit for bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Mapped = Callable[[list[float]], Iterable[float]]
Timeline = Sequence[float | None]
Found = list[tuple[int, int]]


def c_exp(values: list[float]) -> list[float]:
    """The C library's exp."""
    return [math.exp(value) for value in values]


def c_log(values: list[float]) -> list[float]:
    """The C library's log; of 0 it is -inf."""
    return [math.log(value) if value > 0.0 else -math.inf for value in values]


def numpy_exp(values: list[float]) -> list[float]:
    """NumPy's exp."""
    found: list[float] = np.exp(values).tolist()
    return found


def numpy_log(values: list[float]) -> list[float]:
    """NumPy's log."""
    with np.errstate(divide="ignore"):
        found: list[float] = np.log(values).tolist()
    return found


def token_entropy(
    logprobs: Iterable[float | None], top_k: int | None = None, exp: Mapped = c_exp, log: Mapped = c_log
) -> float | None:
    """Entropy of one token in nats, or None where it has none."""
    ranked = []
    for lp in logprobs:
        if lp is None or math.isnan(lp) or lp == math.inf:
            return None
        ranked.append(lp)
    ranked.sort(reverse=True)
    if top_k is not None:
        ranked = ranked[:top_k]
    weights = list(exp(ranked))
    total = 0.0
    for weight in weights:
        total += weight
    if total == 0.0:
        return None
    shares = [weight / total for weight in weights]
    entropy = 0.0
    for p, log_p in zip(shares, log(shares), strict=True):
        if p > 0.0:
            entropy -= p * log_p
    return entropy


def token_entropy_by_array(logprobs: Iterable[float | None]) -> float | None:
    """The same with an array for the token, as those write it who have NumPy at hand; the same bits."""
    ranked = -np.sort(-np.array([math.nan if lp is None else lp for lp in logprobs], np.float64))
    if not (ranked < math.inf).all():
        return None
    weights = np.exp(ranked)
    total = weights.cumsum()[-1] if len(weights) else 0.0  # left to right; np.sum adds in another order
    if total == 0.0:
        return None
    shares = weights / total
    shares = shares[shares > 0.0]
    return 0.0 - float((shares * np.log(shares)).cumsum()[-1])


def thresholds(known: Sequence[float], top_percent: float, bottom_percent: float) -> tuple[float, float]:
    """The pair (theta_high, theta_low) over the entropies that exist."""
    theta_high = float(np.percentile(known, 100 - top_percent))
    theta_low = float(np.percentile(known, bottom_percent))
    return theta_high, theta_low


def phases(timeline: Timeline, top_percent: float, bottom_percent: float, consecutive_low: int) -> Found:
    """High Entropy Phases as ``(start, duration)`` pairs, in order."""
    known = [entropy for entropy in timeline if entropy is not None]
    if not known:
        return []
    return phases_between(timeline, *thresholds(known, top_percent, bottom_percent), consecutive_low)


def phases_between(timeline: Timeline, theta_high: float, theta_low: float, consecutive_low: int) -> Found:
    """The same, for thresholds that are known."""
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


def centroid(found: Found, length: int) -> float | None:
    """Mass-weighted mean position of the phases over the length of the timeline, or None."""
    if not found:
        return None
    mass = 0.0
    moment = 0.0
    for start, duration in found:
        mass += duration
        moment += duration * (start + duration / 2)
    return moment / mass / length


def centroid_of_timeline(timeline: Timeline, settings: tuple[float, float, int] = (1, 80, 2)) -> float | None:
    """The centroid of one timeline of entropies."""
    return centroid(phases(timeline, *settings), len(timeline))


def entropies_of(rows: Iterable[Iterable[float | None]], exp: Mapped = numpy_exp, log: Mapped = numpy_log) -> Timeline:
    """Entropies of many tokens; with NumPy's exp and log unless told."""
    return [token_entropy(row, None, exp, log) for row in rows]


def entropies_by_array(rows: Iterable[Iterable[float | None]]) -> Timeline:
    """The same with an array for each token."""
    return [token_entropy_by_array(row) for row in rows]


def rows_of_entries(entries: Iterable[Mapping[str, Any]]) -> Iterator[list[float | None]]:
    """Logprobs in ``logprobs.content`` of a chat completion: one dictionary per token."""
    for entry in entries:
        yield [top["logprob"] for top in entry["top_logprobs"]]


def entropies_of_entries(entries: Iterable[Mapping[str, Any]]) -> Timeline:
    """Entropies of ``logprobs.content`` of a chat completion."""
    return entropies_of(rows_of_entries(entries))


def centroid_of_json(body: bytes) -> float | None:
    """The centroid of the body of a chat completion."""
    return centroid_of_timeline(entropies_of_entries(json.loads(body)["choices"][0]["logprobs"]["content"]))
