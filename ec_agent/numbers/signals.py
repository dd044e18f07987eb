"""Per-token signals: what a selector may ask capture to keep, one float64 a token each. NumPy only."""

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
    """The logprobs of one call's generated tokens, whatever provider they came from.

    Attributes:
        top: shape ``(T, k)``, the candidates of each token as returned, padded with ``-inf``; a token whose
            candidates are missing or unreadable is a row of NaN.
        sampled: shape ``(T,)``, the logprob of the token that was generated; NaN where it is unknown.
        texts: the token texts, where they were asked for.
        candidates: the likeliest candidates of each token, texts and probabilities, where they were asked for.
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
        highest = np.max(top, axis=1, initial=-np.inf)  # taken out first: exp of the rest cannot overflow
        log_mass = highest + np.log(np.exp(top - highest[:, np.newaxis]).sum(axis=1))
        certainty: FloatArray = log_mass - np.log(np.isfinite(top).sum(axis=1)) - _mean_logprob(top)
    return certainty


def _mean_logprob(top: FloatArray) -> FloatArray:
    """Mean over the candidates that have a probability; NaN for rows with fewer than two, or an unreadable one."""
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
"""Name of a signal -> array of shape ``(T,)``, NaN where a token has none. All are in nats.

``entropy``: of the candidates returned, renormalised; see ``ec_agent.token_entropy``.

``logprob``: of the token that was generated.

``confidence`` (DeepConf, arXiv 2508.15260): ``-(1/k) sum_j l_j`` over the logprobs of the k candidates returned, as
they are, not renormalised. High where all but one are unlikely.

``self_certainty`` (arXiv 2502.18581): ``-(1/k) sum_j ln(k p_j)`` over the k candidates returned, renormalised. This
is an *approximation*: the paper's runs over the whole vocabulary, which no endpoint returns. 0 where all k are
equally likely.

In the last two a candidate of probability 0 (``-inf``: padding, or a sentinel such as -9999) is left out of k. A
token with fewer than two candidates left has neither: its formula would give 0, so that the surest token there is,
the only one that a grammar allows, say, would read as the least sure.

``surprisal``: ``-logprob`` of the token that was generated. It needs no candidates, and it is not an entropy: a sure
model that samples a rare token is surprised, an unsure one that samples its favourite is not. So it stands in for the
entropy only where somebody asks for it by name, and then for all candidates of a comparison.
"""


def check_signals(names: Iterable[str]) -> tuple[str, ...]:
    """The named signals with ``entropy`` first: its centroid is in every receipt.

    Raises:
        ConfigError: a name is not a known signal.
    """
    return with_entropy(known_signals(names))


def known_signals(names: Iterable[str]) -> tuple[str, ...]:
    """The named signals, as they were given.

    Raises:
        ConfigError: a name is not a known signal.
    """
    known = ", ".join(SIGNALS)
    given: tuple[Any, ...] = several("signals", names, object, f"a list of names; the signals are {known}")
    for name in given:
        if not isinstance(name, str) or name not in SIGNALS:
            raise ConfigError(f"unknown signal {repr_of(name)}; the signals are {known}")
    return given


def with_entropy(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once, after ``entropy``."""
    return tuple(dict.fromkeys((ENTROPY, *names)))


def check_signal(name: Any) -> None:
    """Refuse what is no name of a signal.

    Raises:
        ConfigError: it is none.
    """
    check_signals([text("signal", name, f"its name, one of {', '.join(SIGNALS)}")])


def leading(names: Sequence[str]) -> str | None:
    """The signal that coverage is counted by: a selector's first; ``None`` for one that needs no logprobs."""
    return names[0] if names else None
