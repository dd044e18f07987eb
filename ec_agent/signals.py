"""Per-token signals: what a selector may ask capture to keep, one float64 a token each. NumPy only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ec_agent.entropy import FloatArray, token_entropy
from ec_agent.errors import ConfigError

ENTROPY = "entropy"
SURPRISAL = "surprisal"


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """The logprobs of one call's generated tokens, whatever provider they came from.

    Attributes:
        top: shape ``(T, k)``, the candidates of each token as returned, padded with ``-inf``; a token whose
            candidates are missing or unreadable is a row of NaN.
        sampled: shape ``(T,)``, the logprob of the token that was generated; NaN where it is unknown.
        texts: the token texts, where they were asked for.
    """

    top: FloatArray
    sampled: FloatArray
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.sampled)


SIGNALS: Mapping[str, Callable[[TokenLogprobs], FloatArray]] = MappingProxyType(
    {
        ENTROPY: lambda tokens: np.asarray(token_entropy(tokens.top)),
        "logprob": lambda tokens: tokens.sampled,
        SURPRISAL: lambda tokens: np.maximum(-tokens.sampled, 0.0),
    }
)
"""Name of a signal -> array of shape ``(T,)``, NaN where a token has none. Entropies and surprisals are in nats.

The surprisal of a token is ``-logprob`` of that token alone. It needs no candidates, and it is not an entropy: a sure
model that samples a rare token is surprised, an unsure one that samples its favourite is not. So it stands in for the
entropy only where somebody asks for it by name, and then for all candidates of a comparison.
"""


def check_signals(names: Iterable[str]) -> tuple[str, ...]:
    """The named signals with ``entropy`` first: its centroid is in every receipt.

    Raises:
        ConfigError: a name is not a known signal.
    """
    wanted = dict.fromkeys((ENTROPY, *names))
    for name in wanted:
        if name not in SIGNALS:
            raise ConfigError(f"unknown signal {name!r}; the signals are {', '.join(SIGNALS)}")
    return tuple(wanted)


def leading(names: Sequence[str]) -> str:
    """The signal that coverage is counted by: the first of a selector's own, else the entropy."""
    return names[0] if names else ENTROPY
