"""Finds placeholders: logprobs that servers send although they did not compute them. NumPy only.

They come from speculative decoding, masks and post-processing. Most often it is 0.0, which would mean a token that is
certain. Tokens found here get no signal at all, because otherwise they would count as the surest ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ec_agent.capture.shapes.repeated_candidates import whole
from ec_agent.capture.shapes.values import NUMBERED, get
from ec_agent.numbers.entropy import FloatArray

SURE = -0.001
"""A token with this logprob or more is practically certain: its probability is above 0.999."""

RUN = 3
"""If a call has no candidates, this many tokens in a row with the logprob 0.0 are suspect."""

SHARE = 1 / 4
"""If a call has no candidates, this share of its tokens with the logprob 0.0 is suspect, if there are at least ``RUN``.
Drafts of one or two tokens leave zeros that are never in a row."""

NEAR = 1 / 4
"""Suspect zeros are accepted if there are at least this many other tokens per zero with a probability between 0.999 and
1. In 32 bits, 0.0 is any probability above about 1 - 1e-7. A model that is often as sure as that is also often a little
less sure, somewhere in the four powers of ten below. Placeholders have no such neighbours."""

# White space, and the characters that SentencePiece and GPT-2 write for it.
_SPACES = dict.fromkeys(map(ord, " \t\r\n\u2581\u0120\u010a\u0109\u010d"), None)


def contradicted(top: FloatArray, sampled: FloatArray, entries: Sequence[Any]) -> NDArray[np.bool_]:
    """Find tokens whose own logprob says that they are certain, while their candidates contradict it, shape ``(T,)``.

    The candidates contradict it if none of them is practically certain, or if another token is.

    Args:
        top: shape ``(T, k)``, the logprobs of the candidates in the order of the entries; NaN and ``-inf`` where there
            is no candidate.
        sampled: shape ``(T,)``, the logprobs of the generated tokens.
        entries: the entries, with the names of the tokens and of their candidates.
    """
    found = sampled >= 0.0
    rows = np.flatnonzero(found)
    if not len(rows):
        return found
    highest = top[rows].max(axis=1, initial=-np.inf)
    found[rows] = np.isfinite(highest) & (highest < SURE)
    alike = highest == sampled[rows]
    # If the likeliest candidate has the same logprob as the token, it is the same token. The names are compared only if
    # no other candidate has a probability above 0, because ``quick_tokens`` does not read the names.
    alone = np.isfinite(top[rows]).sum(axis=1) < 2
    for number in np.flatnonzero((highest >= SURE) & (alone | ~alike)).tolist():
        row = int(rows[number])
        likeliest = get(entries[row], "top_logprobs")[int(top[row].argmax())]
        found[row] = _named_otherwise(entries[row], likeliest, alike=bool(alike[number]))
    return found


def doubted(top: FloatArray, sampled: FloatArray) -> bool:
    """Tell whether ``contradicted`` needs the names of candidates. ``top`` must be in descending order."""
    highest = top[:, 0]
    return bool(((sampled >= 0.0) & (highest >= SURE) & (highest != sampled)).any())


def several_certain(top: FloatArray) -> NDArray[np.bool_]:
    """Find tokens with more than one candidate of the logprob 0.0, shape ``(T,)``. Only one can be certain."""
    found: NDArray[np.bool_] = (top >= 0.0).sum(axis=1) > 1
    return found


def zeros_alone(top: FloatArray, sampled: FloatArray) -> NDArray[np.bool_]:
    """Find tokens with the logprob 0.0 and without candidates, which nothing confirms, shape ``(T,)``.

    If other tokens have candidates, candidates were asked for, and each such zero is a placeholder. If no token has
    candidates, zeros are placeholders if there are many of them (``RUN``, ``SHARE``), and few values near 0 (``NEAR``).

    Args:
        top: shape ``(T, k)``, the logprobs of the candidates that count.
        sampled: shape ``(T,)``, the logprobs of the generated tokens.
    """
    listed = np.isfinite(top).any(axis=1)
    zeros = (sampled >= 0.0) & ~listed
    count = int(zeros.sum())
    if not count or listed.any():
        return zeros
    many = count >= max(RUN, SHARE * len(zeros)) or _longest(zeros) >= RUN
    near = int(((sampled < 0.0) & (sampled >= SURE)).sum())
    return zeros if many and near < NEAR * count else np.zeros(len(zeros), np.bool_)


def _longest(flags: NDArray[np.bool_]) -> int:
    """Return the length of the longest run of true values."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _named_otherwise(token: Any, candidate: Any, *, alike: bool) -> bool:
    """Tell whether a token and a candidate are certainly different tokens.

    A number and a text may be names of the same token.

    Args:
        token: the entry of the token that was generated.
        candidate: a candidate of it.
        alike: whether their logprobs are equal. They may then be the same token, spelled in two ways.
    """
    names = get(token, "token"), get(candidate, "token")
    if names[0] == names[1] or not all(isinstance(name, str) and whole(name) for name in names):
        return False
    if len({name.startswith(NUMBERED) for name in names}) > 1:
        return False
    spelled = [name.translate(_SPACES) for name in names]
    return not alike or (all(bare and bare.isascii() for bare in spelled) and spelled[0] != spelled[1])
