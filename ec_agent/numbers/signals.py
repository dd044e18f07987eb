"""The per-token signals that a selector can read, each one float64 per token. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ec_agent.errors import ConfigError
from ec_agent.numbers.entropy import FloatArray, token_entropy
from ec_agent.support.checks import repr_of, several, text

ENTROPY = "entropy"
LOGPROB = "logprob"
SURPRISAL = "surprisal"
CONFIDENCE = "confidence"
SELF_CERTAINTY = "self_certainty"


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """The logprobs of the generated tokens of one LLM call, in the same form for all providers.

    Attributes:
        top: shape ``(T, k)``, natural logarithms: the logprobs of each token's candidates, padded with ``-inf``. A
            token whose candidates are missing or unreadable is a row of NaN.
        sampled: shape ``(T,)``, the logprob of the token that was generated, or NaN if it is unknown.
        texts: the text of each token, or ``None`` if texts are not kept.
        candidates: the likeliest candidates of each token with their probabilities, or ``None`` if they are not kept.
    """

    top: FloatArray
    sampled: FloatArray
    texts: tuple[str, ...] | None = None
    candidates: tuple[tuple[tuple[str, float], ...], ...] | None = None

    def __len__(self) -> int:
        return len(self.sampled)


def _confidence(tokens: TokenLogprobs) -> FloatArray:
    return -_mean_logprob(tokens.top)


def _self_certainty(tokens: TokenLogprobs) -> FloatArray:
    top = tokens.top
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        highest = np.max(top, axis=1, initial=-np.inf)  # subtracted first, so that exp cannot overflow
        log_mass = highest + np.log(np.exp(top - highest[:, np.newaxis]).sum(axis=1))
        certainty: FloatArray = log_mass - np.log(np.isfinite(top).sum(axis=1)) - _mean_logprob(top)
    return certainty


def _mean_logprob(top: FloatArray) -> FloatArray:
    """Mean logprob of the candidates with a probability above 0, shape ``(T,)``.

    NaN for a token with fewer than two such candidates, and for one with an unreadable candidate.
    """
    possible = np.isfinite(top)
    count = possible.sum(axis=1)
    readable = ~(np.isnan(top) | np.isposinf(top)).any(axis=1)
    means = np.full(len(top), np.nan)
    np.divide(np.where(possible, top, 0.0).sum(axis=1), count, out=means, where=readable & (count >= 2))
    return means


SIGNALS: Mapping[str, Callable[[TokenLogprobs], FloatArray]] = MappingProxyType(
    {
        ENTROPY: lambda tokens: np.asarray(token_entropy(tokens.top)),
        LOGPROB: lambda tokens: tokens.sampled,
        SURPRISAL: lambda tokens: np.maximum(-tokens.sampled, 0.0),
        CONFIDENCE: _confidence,
        SELF_CERTAINTY: _self_certainty,
    }
)
"""Maps the name of a signal to the function that computes it from ``TokenLogprobs``: shape ``(T,)``, in nats, NaN where
a token does not have the signal.

``entropy``: the entropy of the returned candidates, renormalised; see ``ec_agent.token_entropy``.

``logprob``: the logprob of the token that was generated.

``confidence`` (DeepConf, arXiv 2508.15260): ``-(1/k) sum_j l_j`` over the logprobs of the k candidates returned, not
renormalised. It is high if all candidates but one are unlikely.

``self_certainty`` (arXiv 2502.18581): ``-(1/k) sum_j ln(k p_j)`` over the k candidates returned, renormalised. It is 0
if all k are equally likely. This is an *approximation*: the paper sums over the whole vocabulary, and no endpoint
returns that.

For ``confidence`` and ``self_certainty``, a candidate of probability 0 does not count (``-inf`` for padding, or a
sentinel such as -9999). A token with fewer than two candidates left does not have these signals. The formulas would
give 0, the value of a very unsure token, although a token without alternatives is a sure one (the only token that a
grammar allows, for example).

``surprisal``: ``-logprob`` of the token that was generated. It needs no candidates. It is not an entropy: a sure model
that samples a rare token has a high surprisal, an unsure model that samples its likeliest token has a low one. So it
never replaces the entropy unless somebody asks for it by name, and then all candidates are compared by it.
"""


def check_signals(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the signals with ``entropy`` added in front, because every receipt has its centroid.

    Raises:
        ConfigError: a name is not that of a signal.
    """
    return with_entropy(known_signals(names))


def known_signals(names: Iterable[str]) -> tuple[str, ...]:
    """Check the names of signals and return them unchanged, as a tuple.

    Raises:
        ConfigError: a name is not that of a signal.
    """
    known = ", ".join(SIGNALS)
    given: tuple[Any, ...] = several("signals", names, object, f"a list of names; the signals are {known}")
    for name in given:
        if not isinstance(name, str) or name not in SIGNALS:
            raise ConfigError(f"unknown signal {repr_of(name)}; the signals are {known}")
    return given


def with_entropy(names: Iterable[str]) -> tuple[str, ...]:
    """Return ``entropy`` and then the other names, each once."""
    return tuple(dict.fromkeys((ENTROPY, *names)))


def check_signal(name: Any) -> None:
    """Check that a value is the name of a signal.

    Raises:
        ConfigError: it is not.
    """
    check_signals([text("signal", name, f"its name, one of {', '.join(SIGNALS)}")])


def leading(names: Sequence[str]) -> str | None:
    """Return the signal that coverage is computed from: the first that a selector reads.

    ``None`` for a selector that reads no signal, and so needs no logprobs.
    """
    return names[0] if names else None
