"""Computes the entropy of each token from its logprobs (docs/method.md section 1). NumPy only."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ec_agent.errors import LogprobsError
from ec_agent.support.checks import whole

FloatArray = NDArray[np.float64]

BLOCK = 1_024
"""Number of tokens processed at a time. Arrays of this size stay in memory that is reused. For larger ones the system
hands out new memory pages at each call, which costs more than the arithmetic."""
MOST = 1 << 31
"""Upper limit for a number of candidates, and for the tokens of a call. More do not fit into memory."""
_SMALLEST = 5e-324  # the smallest float above 0
_KEPT = 32  # up to so many candidates the buffer is kept: it takes half a megabyte in each thread


def token_entropy(logprobs: ArrayLike, top_k: int | None = None) -> Any:
    """Compute the entropy of one token or of many tokens, in nats, from the logprobs of their candidates.

    The probabilities of the ``top_k`` likeliest candidates are divided by their sum. The terms of the entropy are
    then added in descending order of probability, so that the result is the same bit for bit on one machine.

    Args:
        logprobs: shape ``(k,)`` for one token or ``(T, k)`` for T tokens, natural logarithms, in any
            order. Padding and absent candidates are ``-inf``.
        top_k: how many of the likeliest candidates count. ``None`` counts all that are given.

    Returns:
        A ``float`` for ``(k,)``, an array of shape ``(T,)`` for ``(T, k)``. The entropy of a token is NaN if it has
        no candidate, if the probabilities of all its candidates underflow to 0 (all are ``-9999.0``, for example),
        or if a candidate is NaN, ``None`` or ``+inf``. It is not 0 then, because 0 means a model that was sure.

    Raises:
        LogprobsError: the rows have different lengths, are not numbers, or have more than two dimensions.
        ConfigError: ``top_k`` is not a whole number of at least 1.

    Source: arXiv 2604.26173; docs/method.md section 1.
    """
    if top_k is not None:
        top_k = min(whole("top_k", top_k, rather="a whole number of at least 1, or None for all candidates"), MOST)
    rows = _floats(logprobs, "logprobs", "one row per token, padded with -inf")
    if rows.ndim == 1:
        return float(_entropies(rows[np.newaxis, :], top_k)[0])
    if rows.ndim == 2:
        return _entropies(rows, top_k)
    raise LogprobsError(f"logprobs have {rows.ndim} dimensions; give shape (k,) or (T, k)")


def _entropies(rows: FloatArray, top_k: int | None) -> FloatArray:
    entropies = np.empty(len(rows))
    buffer = _buffer(rows.shape[1])
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        for start in range(0, len(rows), BLOCK):
            block = rows[start : start + BLOCK]
            weights, terms = buffer[:, :, : len(block)]
            entropies[start : start + BLOCK] = _entropies_of_block(block, top_k, weights, terms)
    return entropies


class _Scratch(threading.local):
    """Working memory of one thread. It is reused: new memory for each block would cost more than the arithmetic."""

    buffer = np.empty((2, 0, BLOCK))


_scratch = _Scratch()


def _buffer(candidates: int) -> FloatArray:
    if candidates > _KEPT:
        return np.empty((2, candidates, BLOCK))
    if candidates > _scratch.buffer.shape[1]:
        _scratch.buffer = np.empty((2, candidates, BLOCK))
    return _scratch.buffer[:, :candidates]


def _entropies_of_block(rows: FloatArray, top_k: int | None, weights: FloatArray, terms: FloatArray) -> FloatArray:
    """Compute the entropies of up to ``BLOCK`` tokens. ``weights`` and ``terms`` are working memory, ``(k, T)``."""
    # Candidates lie along the first axis. NumPy adds along it from first to last, which is the order of the
    # definition, and each step of the sum is one contiguous pass over all tokens.
    np.copyto(weights, rows.T)
    ordered = weights[1:] <= weights[:-1]  # providers send the likeliest first, so most rows need no sorting
    if not ordered.all():
        # A row with a NaN counts as unordered. Sorting puts the NaN first, so that top_k cannot cut it away.
        unordered = np.flatnonzero(~ordered.all(axis=0))
        weights[:, unordered] = np.sort(rows[unordered], axis=1)[:, ::-1].T
    weights, terms = weights[:top_k], terms[:top_k]
    np.exp(weights, out=weights)
    total = _left_to_right(weights)
    weights /= total
    if len(weights) and weights[-1].min() > 0.0:
        np.log(weights, out=terms)
    else:  # a weight of 0 must add 0: its log is taken of the smallest float, for 0 times -inf is NaN
        np.log(np.maximum(weights, _SMALLEST, out=terms), out=terms)
    terms *= weights
    entropy: FloatArray = 0.0 - _left_to_right(terms)
    entropy[~((total > 0.0) & (total < np.inf))] = np.nan  # no candidate, all underflowed, or one was unreadable
    return entropy


def _left_to_right(rows: FloatArray) -> FloatArray:
    """Sum each column, adding from the first row to the last."""
    if rows.shape[1] == 1 and len(rows):
        # np.add.reduce sums a single column pairwise, which rounds otherwise than adding one row after the other.
        running: FloatArray = np.add.accumulate(rows, axis=0)
        return np.asarray(running[-1])
    total: FloatArray = np.add.reduce(rows, axis=0)
    return total


def as_timeline(entropies: ArrayLike | Sequence[float | None], name: str = "entropies") -> FloatArray:
    """Return entropies as a float array of shape ``(T,)``, with NaN in place of ``None``.

    Args:
        entropies: one number per token, in nats. NaN or ``None`` where a token has no entropy.
        name: how error messages call the values.

    Raises:
        LogprobsError: the values are not one-dimensional, not numbers, or one is infinite.
    """
    values = _floats(entropies, name, "one number per token, None or NaN where there is none")
    if values.ndim != 1:
        raise LogprobsError(f"{name} have {values.ndim} dimensions; give one number per token, shape (T,)")
    if len(values) and _may_be_infinite(values) and np.isinf(values).any():
        raise LogprobsError(f"{name} contain infinity; give None or NaN where a token has no entropy")
    return values


def _may_be_infinite(values: FloatArray) -> bool:
    # The maximum and the minimum need no temporary array, unlike np.isinf. Where there is a NaN, both are NaN; the
    # answer is then "may be", and the caller looks at each value.
    return not math.isfinite(float(np.maximum.reduce(values)) - float(np.minimum.reduce(values)))


def _floats(values: Any, name: str, rather: str) -> FloatArray:
    if type(values) is np.ndarray and values.dtype == np.float64:
        return values
    try:
        array = np.asarray(values)
        kinds = set(map(type, array.flat)) if array.dtype.kind == "O" else {array.dtype.type}
        if any(issubclass(kind, str | bytes | complex | np.complexfloating) for kind in kinds):
            raise TypeError("some are texts or complex numbers")  # NumPy would read "-1" as a number
        return np.asarray(array, dtype=np.float64)
    except Exception as error:  # the __float__ of somebody's object may raise anything
        raise LogprobsError(f"{name} cannot be read as numbers ({error}); give {rather}") from error
