"""What a model said, token by token, before any provider puts it on the wire.

Every wire format here is built from a :class:`Turn`, and the entropies a test expects are worked out from the same
turn by a plain restatement of the definition, which shares no code with ``ec_agent``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Token:
    """One generated token.

    Attributes:
        text: what it says.
        logprob: its own logprob, in nats.
        candidates: ``(text, logprob)`` of the likeliest candidates; the token itself need not be among them.
    """

    text: str
    logprob: float
    candidates: tuple[tuple[str, float], ...]

    @property
    def bytes(self) -> list[int]:
        return list(self.text.encode())

    def id(self) -> int:
        return 1000 + sum(self.bytes)


@dataclass(frozen=True)
class Turn:
    """One answer: some thinking, then text or one tool call."""

    thinking: tuple[Token, ...] = ()
    content: tuple[Token, ...] = ()
    call: tuple[Token, ...] = ()
    name: str = "look_up"
    arguments: dict[str, str] = field(default_factory=lambda: {"word": "tea"})

    @property
    def tokens(self) -> tuple[Token, ...]:
        """All generated tokens, in order."""
        return self.thinking + self.content + self.call

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.content)

    @property
    def thought(self) -> str:
        return "".join(token.text for token in self.thinking)

    @property
    def encoded_arguments(self) -> str:
        return json.dumps(self.arguments)


def token(text: str, *probabilities: float, sampled: int = 0) -> Token:
    """A token whose candidates have these probabilities; ``sampled`` is its place among them, or beyond them."""
    texts = [text if place == sampled else f"{text.strip()}~{place}" for place in range(len(probabilities))]
    rows = [(each, math.log(p)) for each, p in zip(texts, probabilities, strict=True)]
    own = rows[sampled][1] if sampled < len(rows) else math.log(1e-4)
    return Token(text, own, tuple(rows))


def entropy(token: Token) -> float:
    """Entropy of one token over its candidates, in nats: their probabilities made to sum to 1, then -sum p ln p."""
    weights = [math.exp(logprob) for _, logprob in token.candidates]
    whole = math.fsum(weights)
    return -math.fsum(w / whole * math.log(w / whole) for w in weights)


def entropies(tokens: Sequence[Token]) -> list[float]:
    return [entropy(token) for token in tokens]


_THINKING = (token("Hm", 0.4, 0.3, 0.2), token(", ", 0.9, 0.05, 0.02), token("tea", 0.5, 0.25, 0.2))
_CONTENT = (
    token("It ", 0.6, 0.2, 0.1),
    token("is ", 0.97, 0.02, 0.005),
    token("rather ", 0.3, 0.28, 0.26, sampled=1),
    token("fine ", 0.25, 0.25, 0.25, sampled=3),  # sampled, and not among its own candidates
    token("tea", 0.8, 0.1, 0.06),
)
_CALL = (token("<call>", 0.95, 0.03, 0.01), token("look_up", 0.5, 0.4, 0.05), token("tea", 0.7, 0.2, 0.05))

PLAIN, TOOLS, REASONING = Turn(content=_CONTENT), Turn(call=_CALL), Turn(thinking=_THINKING, content=_CONTENT)
