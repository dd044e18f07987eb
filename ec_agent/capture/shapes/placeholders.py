"""Numbers that servers send where they measured nothing. NumPy only.

Speculative decoding, masks and post-processing leave such behind: a logprob of 0.0 says "certain", and stands for "not
computed". What is told here has no signal of any kind: it would read as the surest of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ec_agent.capture.shapes.candidates import whole
from ec_agent.capture.shapes.reading import NUMBERED, get
from ec_agent.numbers.entropy import FloatArray

SURE = -0.001
"""The logprob of a token that is practically certain (0.999), a little above it."""

RUN = 3
"""So many zeros in a row are looked into where nothing but the sampled tokens' own logprobs came."""

SHARE = 1 / 4
"""Or so large a share of a call's tokens, and not less than ``RUN``: drafts of a token or two are never in a row."""

NEAR = 1 / 4
"""Such zeros are measurements where there are so many others, for each of them, between 0.999 and 1. In 32 bits 0.0 is
any probability above some 1 - 1e-7. A model that often is so sure, is often nearly so: over the four powers of ten
between. Placeholders have no such company."""

_SPACES = dict.fromkeys(map(ord, " \t\r\n\u2581\u0120\u010a\u0109\u010d"), None)  # SentencePiece's, and GPT-2's


def contradicted(top: FloatArray, sampled: FloatArray, entries: Sequence[Any]) -> NDArray[np.bool_]:
    """Tokens that are certain by their own logprob, while their candidates say otherwise, shape ``(T,)``.

    Their candidates say so where none is practically certain, or one that is named otherwise than the token.

    Args:
        top: shape ``(T, k)``, the candidates in the order of their entries; NaN and ``-inf`` where there are none.
        sampled: shape ``(T,)``, the generated tokens' logprobs.
        entries: the tokens, with their names and those of their candidates.
    """
    found = sampled >= 0.0
    rows = np.flatnonzero(found)
    if not len(rows):
        return found
    highest = top[rows].max(axis=1, initial=-np.inf)
    found[rows] = np.isfinite(highest) & (highest < SURE)
    alike = highest == sampled[rows]
    # Equal logprobs say that it is that candidate, by a name that is told only where nothing else has a probability:
    # the quick reading has no names.
    alone = np.isfinite(top[rows]).sum(axis=1) < 2
    for number in np.flatnonzero((highest >= SURE) & (alone | ~alike)).tolist():
        row = int(rows[number])
        likeliest = get(entries[row], "top_logprobs")[int(top[row].argmax())]
        found[row] = _named_otherwise(entries[row], likeliest, alike=bool(alike[number]))
    return found


def doubted(top: FloatArray, sampled: FloatArray) -> bool:
    """Whether ``contradicted`` needs the names of any; the candidates stand in descending order."""
    highest = top[:, 0]
    return bool(((sampled >= 0.0) & (highest >= SURE) & (highest != sampled)).any())


def several_certain(top: FloatArray) -> NDArray[np.bool_]:
    """Tokens of whose candidates more than one has the logprob 0.0, as none but one can, shape ``(T,)``."""
    found: NDArray[np.bool_] = (top >= 0.0).sum(axis=1) > 1
    return found


def zeros_alone(top: FloatArray, sampled: FloatArray) -> NDArray[np.bool_]:
    """Tokens whose own logprob is 0.0 and has nothing to confirm it, shape ``(T,)``: no candidates of theirs came.

    Where candidates of others came, those were asked for, and each such zero is a placeholder. Where the sampled
    tokens' own logprobs are all that came, they are from ``RUN`` in a row or ``SHARE`` of the call on, unless ``NEAR``.

    Args:
        top: shape ``(T, k)``, the candidates that count.
        sampled: shape ``(T,)``, the generated tokens' logprobs.
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
    """The length of the longest run of true ones."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _named_otherwise(token: Any, candidate: Any, *, alike: bool) -> bool:
    """Whether these are surely two tokens; a number and a text may name one.

    Args:
        token: the token that was generated.
        candidate: a candidate of it.
        alike: their logprobs are the same, so that they may well be one token, spelled in two ways.
    """
    names = get(token, "token"), get(candidate, "token")
    if names[0] == names[1] or not all(isinstance(name, str) and whole(name) for name in names):
        return False
    if len({name.startswith(NUMBERED) for name in names}) > 1:
        return False
    spelled = [name.translate(_SPACES) for name in names]
    return not alike or (all(bare and bare.isascii() for bare in spelled) and spelled[0] != spelled[1])
