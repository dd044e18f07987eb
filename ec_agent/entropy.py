"""From logprobs to token entropies (docs/method.md section 1). NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ec_agent.errors import ConfigError, LogprobsError

FloatArray = NDArray[np.float64]


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
    whole = isinstance(top_k, int | np.integer) and not isinstance(top_k, bool)
    if top_k is not None and (not whole or top_k < 1):
        raise ConfigError(f"top_k is {top_k!r}; give a whole number of at least 1, or None for all candidates")
    try:
        rows = _floats(logprobs)
    except (TypeError, ValueError, OverflowError) as error:
        raise LogprobsError(
            f"logprobs cannot be read as numbers ({error}); give one row per token, padded with -inf"
        ) from error
    if rows.ndim == 1:
        return float(_entropies(rows[np.newaxis, :], top_k)[0])
    if rows.ndim == 2:
        return _entropies(rows, top_k)
    raise LogprobsError(f"logprobs have {rows.ndim} dimensions; give shape (k,) or (T, k)")


def _entropies(rows: FloatArray, top_k: int | None) -> FloatArray:
    # Candidates along the first axis: sums over it run left to right, as the definition's do, and each
    # step is one contiguous pass over all tokens.
    ranked = np.ascontiguousarray(np.sort(rows, axis=1)[:, ::-1][:, :top_k].T)
    total = np.zeros(len(rows))
    entropy = np.zeros(len(rows))
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        weights = np.exp(ranked)
        for weight in weights:
            total += weight
        weights /= total
        for p in weights:
            entropy -= np.where(p > 0.0, p * np.log(p), 0.0)
    # A NaN ranks first, so no cut at top_k hides it, and it makes the sum NaN.
    entropy[~np.isfinite(total) | (total <= 0.0)] = np.nan
    return entropy


def as_timeline(entropies: ArrayLike | Sequence[float | None]) -> FloatArray:
    """Entropies as a float array of shape ``(T,)``: ``None`` becomes NaN.

    Raises:
        LogprobsError: not one-dimensional, not numbers, or infinite.
    """
    try:
        values = _floats(entropies)
    except (TypeError, ValueError, OverflowError) as error:
        raise LogprobsError(
            f"entropies cannot be read as numbers ({error}); give one number per token, None or NaN where there is none"
        ) from error
    if values.ndim != 1:
        raise LogprobsError(f"entropies have {values.ndim} dimensions; give one number per token, shape (T,)")
    if np.isinf(values).any():
        raise LogprobsError("entropies contain infinity; give None or NaN where a token has no entropy")
    return values


def _floats(values: Any) -> FloatArray:
    array = np.asarray(values)
    kinds = set(map(type, array.flat)) if array.dtype.kind == "O" else {array.dtype.type}
    if any(issubclass(kind, str | bytes | complex | np.complexfloating) for kind in kinds):
        raise TypeError("text or complex numbers among them")  # NumPy would read "-1" as a number
    return np.asarray(array, dtype=np.float64)
