"""Turns token entries into arrays. It decides what becomes of odd entries."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ec_agent.capture.shapes.logprob_rules import CERTAIN, ROUNDING, SENTINEL, TRUTHS
from ec_agent.capture.shapes.placeholders import contradicted, several_certain, zeros_alone
from ec_agent.capture.shapes.quick_tokens import usual_tokens
from ec_agent.capture.shapes.repeated_candidates import repeats
from ec_agent.capture.shapes.values import get, text_of
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.signals import ENTROPY, SIGNALS, TokenLogprobs
from ec_agent.numbers.trajectory import Capability, Likeliest

_NUMBERS = frozenset({float, int, np.float64, np.float32})  # not bool
_UNREADABLE = (float("nan"),)


def tokens_of(
    entries: Sequence[Any], keep_text: bool = False, top_k: int | None = None, keep_candidates: int = 0
) -> TokenLogprobs:
    """Turn entries into arrays. Never raises; the docstring of the package says what becomes of odd entries.

    Args:
        entries: one per generated token, ``{"token", "logprob", "top_logprobs"}``.
        keep_text: whether to keep the texts of tokens.
        top_k: how many candidates were asked for. If more came, only the likeliest count.
        keep_candidates: how many of the likeliest candidates of each token to keep, with their texts.
    """
    texts = tuple(text_of(entry) for entry in entries) if keep_text else None
    if not entries:
        return TokenLogprobs(np.empty((0, 0)), np.empty(0), texts, () if keep_candidates else None)
    usual = None if keep_candidates else usual_tokens(entries, top_k)
    if usual is not None:
        return TokenLogprobs(*usual, texts)
    sampled = np.array([_sampled(entry) for entry in entries], dtype=np.float64)
    top, placeholders = _listed(entries, sampled)
    candidates = _likeliest(top, entries, keep_candidates) if keep_candidates else None
    top = _counted(top, top_k)
    top[placeholders], sampled[placeholders] = np.nan, np.nan
    sampled[zeros_alone(top, sampled)] = np.nan
    return TokenLogprobs(top, sampled, texts, candidates)


def _listed(entries: Sequence[Any], sampled: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the candidates as they are listed, shape ``(T, k)``, and which tokens are placeholders, ``(T,)``."""
    rows = [_row(entry) for entry in entries]
    top = np.full((len(rows), max((len(row) for row in rows), default=0)), -np.inf)
    for place, row in enumerate(rows):
        try:
            top[place, : len(row)] = row
        except OverflowError:  # a whole number that is too large for a float
            top[place] = np.nan
    top[top > ROUNDING] = np.nan
    top[top <= SENTINEL] = -np.inf
    _once_each(top, entries)
    masked = np.array([len(row) > 0 for row in rows], np.bool_) & np.isneginf(top).all(axis=1)
    return top, masked | several_certain(top) | contradicted(top, sampled, entries)


def _counted(top: FloatArray, top_k: int | None) -> FloatArray:
    """Return the candidates that count, the likeliest ``top_k`` of each token. NaN for those that are not real."""
    width = top.shape[1]
    if top_k and width > top_k:
        top = np.sort(top, axis=1)[:, ::-1][:, :top_k]  # NaN comes first, so that top_k cannot cut it away
    weights = np.exp(top)
    largest, total = weights.max(axis=1, initial=0.0), weights.sum(axis=1)
    # A single candidate would get the probability 1 by renormalising, as if the model had been sure.
    doubtful = (largest > 0.0) & (largest < CERTAIN) & (largest == total)
    # If no token has a second candidate, the list only repeats the sampled tokens, so that there are no candidates.
    only_sampled = width < 2 or top_k == 1 or (doubtful.any() and not (largest < total).any())
    top[doubtful | only_sampled] = np.nan
    return top


def _row(entry: Any) -> Sequence[float]:
    candidates = get(entry, "top_logprobs")
    if not candidates or not isinstance(candidates, Sequence):
        return ()
    try:
        if isinstance(candidates[0], dict):
            row = [candidate["logprob"] for candidate in candidates]
        else:
            row = [candidate.logprob for candidate in candidates]
    except (AttributeError, KeyError, TypeError):
        return _UNREADABLE
    return row if _NUMBERS.issuperset(map(type, row)) or _numbers_all(row) else _UNREADABLE


def _numbers_all(row: Sequence[Any]) -> bool:
    """Tell whether all values are numbers of any type, such as ``Decimal``. ``True`` and ``False`` are not."""
    return all(map(_number, row))


def _number(value: Any) -> bool:
    try:
        array("d", (value,))
    except (TypeError, ValueError):
        return False
    except OverflowError:
        pass
    return not isinstance(value, TRUTHS)


def _likeliest(top: FloatArray, entries: Sequence[Any], most: int) -> tuple[Likeliest, ...]:
    kept = []
    for row, entry in zip(top, entries, strict=True):
        listed = get(entry, "top_logprobs")
        places = [int(place) for place in np.argsort(-row, kind="stable") if np.isfinite(row[place])][:most]
        shares = np.exp(np.minimum(row[places], 0.0)).tolist()  # a logprob can be slightly above 0 by rounding
        texts = [text_of(listed[place]) for place in places]
        kept.append(tuple(zip(texts, shares, strict=True)))
    return tuple(kept)


def _once_each(top: FloatArray, entries: Sequence[Any]) -> None:
    """Remove candidates that are listed twice, with the same logprob."""
    ranked = np.sort(top, axis=1)
    # Equal logprobs are rare, so only rows that have some are checked one by one.
    equal = (ranked[:, 1:] == ranked[:, :-1]) & np.isfinite(ranked[:, 1:])
    for place in np.flatnonzero(equal.any(axis=1)):
        top[place, repeats(get(entries[int(place)], "top_logprobs"), top[place].tolist())] = -np.inf


def _sampled(entry: Any) -> float:
    value = get(entry, "logprob")
    return float(value) if type(value) in _NUMBERS and SENTINEL < value <= ROUNDING else np.nan


def capability_of(tokens: TokenLogprobs, entropies: FloatArray | None = None) -> Capability:
    """Return which logprobs came: ``"full"`` if a token has an entropy, else ``"sampled"`` or ``"none"``.

    Args:
        tokens: the logprobs.
        entropies: their entropies, if they were computed already.
    """
    if not np.isnan(SIGNALS[ENTROPY](tokens) if entropies is None else entropies).all():
        return "full"
    return "none" if np.isnan(tokens.sampled).all() else "sampled"
