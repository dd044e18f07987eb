"""Reads the probabilities of expected words from the first token of an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ec_agent.numbers.trajectory import Call

_AROUND = " \t\r\n\u2581\u0120\"'`*_.,:;()[]"
"""What may stand around a word in a token: white space (also as SentencePiece and byte-level BPE write it), marks."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The probabilities of the expected words at the first token of an answer.

    Attributes:
        found: the probability of each word that was among the token's candidates, in the order of the words asked for.
        rest: the most that a word can have which was not among them.
    """

    found: dict[str, float]
    rest: float

    @property
    def mass(self) -> float:
        """How probable it was that the model answers with one of the words."""
        return math.fsum(self.found.values())


def shares_of(call: Call, words: Sequence[str]) -> Shares | None:
    """Read the probabilities of words from the first token of an answer that is not blank.

    All ways of writing a word count for it: tokens are compared without case, and without white space or marks around
    the word, so ``True`` is the sum of ``True``, `` True``, ``true``, ``TRUE`` and others. A token that is a part of a
    word or more than it is another token.

    Args:
        call: the call, with texts and candidates of its tokens.
        words: the expected words, in lower case.

    Returns:
        The probabilities; ``None`` if the token came without any logprob, or no token came.
    """
    place = next((place for place, each in enumerate(call.texts or ()) if bare(each)), None)
    if place is None or call.texts is None:
        return None
    likeliest = call.candidates[place] if call.candidates is not None and place < len(call.candidates) else ()
    if not likeliest:  # the endpoint gives no candidates: the token that was sampled is the only one known
        logprob = float(call.signal("logprob")[place])
        if math.isnan(logprob):
            return None
        likeliest = ((call.texts[place], min(math.exp(logprob), 1.0)),)
    found: dict[str, float] = {}
    for word in words:
        own = [probability for text, probability in likeliest if bare(text) == word]
        if own:
            found[word] = math.fsum(own)
    left = max(1.0 - math.fsum(probability for _, probability in likeliest), 0.0)
    least = likeliest[-1][1] if len(likeliest) > 1 else 1.0
    return Shares(found, min(left, least))


def bare(token: str) -> str:
    """Return a token's text in lower case, without white space and marks around it."""
    return token.strip(_AROUND).lower()
