"""From logprobs to token entropies (docs/method.md section 1). NumPy only."""

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
"""Tokens that are worked on at a time: larger temporaries would be fresh memory each, and every page of it a fault."""
MOST = 1 << 31
"""More candidates, or tokens of a call, than fit into memory."""
_SMALLEST = 5e-324
_KEPT = 32  # candidates: half a megabyte a thread


def token_entropy(logprobs: ArrayLike, top_k: int | None = None) -> Any:
    """Entropy of one token or of many, in nats, from the logprobs of their candidates.

    The ``top_k`` largest candidates are renormalised to sum 1 and their entropy is accumulated in
    descending order of probability, which makes the result reproducible bit for bit on one machine.

    Args:
        logprobs: shape ``(k,)`` for one token or ``(T, k)`` for T tokens, natural logarithms, in any
            order. Padding and absent candidates are ``-inf``.
        top_k: how many of the largest candidates count; ``None`` counts all that are given.

    Returns:
        A ``float`` for ``(k,)``, an array of shape ``(T,)`` for ``(T, k)``. A token has no entropy (NaN)
        where it has no candidate, where all its candidates' probabilities underflow to 0 (only
        ``-9999.0``, say), or where a candidate is NaN, ``None`` or ``+inf``: what is not known must not
        read as confidence.

    Raises:
        LogprobsError: the rows are ragged, not numbers, or have more than two dimensions.
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
    """Working memory of a thread: fresh memory for each block would cost more than the sums that are done in it."""

    buffer = np.empty((2, 0, BLOCK))


_scratch = _Scratch()


def _buffer(candidates: int) -> FloatArray:
    if candidates > _KEPT:
        return np.empty((2, candidates, BLOCK))
    if candidates > _scratch.buffer.shape[1]:
        _scratch.buffer = np.empty((2, candidates, BLOCK))
    return _scratch.buffer[:, :candidates]


def _entropies_of_block(rows: FloatArray, top_k: int | None, weights: FloatArray, terms: FloatArray) -> FloatArray:
    # Candidates along the first axis: sums over it run left to right, as the definition's do, and each
    # step is one contiguous pass over all tokens.
    np.copyto(weights, rows.T)
    ordered = weights[1:] <= weights[:-1]  # as providers send them
    if not ordered.all():
        astray = np.flatnonzero(~ordered.all(axis=0))  # a NaN's neighbours too, so that it ranks first: no cut hides it
        weights[:, astray] = np.sort(rows[astray], axis=1)[:, ::-1].T
    weights, terms = weights[:top_k], terms[:top_k]
    np.exp(weights, out=weights)
    total = _left_to_right(weights)
    weights /= total
    if len(weights) and weights[-1].min() > 0.0:
        np.log(weights, out=terms)
    else:  # what has underflowed adds 0 times a finite number
        np.log(np.maximum(weights, _SMALLEST, out=terms), out=terms)
    terms *= weights
    entropy: FloatArray = 0.0 - _left_to_right(terms)
    entropy[~((total > 0.0) & (total < np.inf))] = np.nan
    return entropy


def _left_to_right(rows: FloatArray) -> FloatArray:
    """Column sums, each accumulated from the first row to the last."""
    if rows.shape[1] == 1 and len(rows):
        # Alone, a column is the fast axis: reduce would add it up pairwise.
        running: FloatArray = np.add.accumulate(rows, axis=0)
        return np.asarray(running[-1])
    total: FloatArray = np.add.reduce(rows, axis=0)
    return total


def as_timeline(entropies: ArrayLike | Sequence[float | None], name: str = "entropies") -> FloatArray:
    """Entropies as a float array of shape ``(T,)``: ``None`` becomes NaN.

    Args:
        entropies: the values.
        name: what errors call them.

    Raises:
        LogprobsError: not one-dimensional, not numbers, or infinite.
    """
    values = _floats(entropies, name, "one number per token, None or NaN where there is none")
    if values.ndim != 1:
        raise LogprobsError(f"{name} have {values.ndim} dimensions; give one number per token, shape (T,)")
    if len(values) and _may_be_infinite(values) and np.isinf(values).any():
        raise LogprobsError(f"{name} contain infinity; give None or NaN where a token has no entropy")
    return values


def _may_be_infinite(values: FloatArray) -> bool:
    # Reductions need no temporary. NaN spreads to both, and then says nothing about infinities.
    return not math.isfinite(float(np.maximum.reduce(values)) - float(np.minimum.reduce(values)))


def _floats(values: Any, name: str, rather: str) -> FloatArray:
    if type(values) is np.ndarray and values.dtype == np.float64:
        return values
    try:
        array = np.asarray(values)
        kinds = set(map(type, array.flat)) if array.dtype.kind == "O" else {array.dtype.type}
        if any(issubclass(kind, str | bytes | complex | np.complexfloating) for kind in kinds):
            raise TypeError("text or complex numbers among them")  # NumPy would read "-1" as a number
        return np.asarray(array, dtype=np.float64)
    except Exception as error:  # objects are asked for their numbers, and may answer anything
        raise LogprobsError(f"{name} cannot be read as numbers ({error}); give {rather}") from error
