"""What every reading of a stream must be: the whole answer's numbers, or less, and said to be less."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from stream_mutations import Stream
from stream_readers import SIGNALS, Told


@dataclass(frozen=True)
class Verdict:
    """How a reading came out.

    Attributes:
        outcome: ``"whole"``, ``"gap"`` (coverage tells), ``"refused"`` (an error of ours tells), ``"warned"``;
            ``"wrong"`` is against the law.
        why: what is wrong.
    """

    outcome: str
    why: str = ""


def wrong(why: str) -> Verdict:
    return Verdict("wrong", why)


def outside(stream: Stream) -> str | None:
    """Why nobody can see what was done to this stream; ``None`` where it can be seen.

    The text and the logprobs of a piece go together, so that what is left looks like an answer of its own. Only a
    count of the tokens could tell, or the places that the server gives its pieces.
    """
    if stream.beside_a_mark and stream.unlisted == 1:
        return "text without logprobs beside a token without text: it may be that token, written anew"
    counted = last_count(stream)
    listed = sum(len(piece.tokens) for piece in stream.pieces if piece.kind == "said")
    answers = len(stream.said.choices)
    if answers > 1 and counted is not None and 0 < counted - listed <= answers:
        return (
            "a token short for each of several answers: end tokens that are not listed; or which one lacks it, is open"
        )
    if stream.cut and len(stream.chunks()) == 1 and stream.form.api in ("legacy", "gemini"):
        return "one part alone, saved, looks like a whole answer"
    moved = stream.lost + stream.doubled
    several = sum(piece.kind == "said" for piece in stream.pieces) > 2  # of two parts, offsets tell nothing
    placed = stream.form.api == "responses" or (stream.form.api == "legacy" and several and not stream.at_an_end)
    cut_at_its_limit = stream.said.finish == "length" and stream.says_why_it_ended()
    gone = stream.lost or stream.unsaid  # with its text, that is
    closed = not stream.cut or stream.how.usage == "in finish"  # where nothing else ends it, that does
    if gone and counted is not None and counted - listed == 1 and not cut_at_its_limit and closed and not placed:
        return "one token short: the end token, which many servers count and do not list, would look the same"
    if counted is None and stream.how.entries in ("ahead", "behind") and stream.unlisted and stream.unsaid:
        return "nothing counts the tokens, and each part that is left has text and logprobs"
    if not moved or stream.unlisted or stream.unsaid or not closed or placed:
        return None
    if counted is None:
        return "nothing counts the tokens"
    if stream.lost and counted == listed:
        return "the last part is lost, and the count that came with it"
    if stream.doubled == 1 and counted == listed and stream.said.end_counted:
        return "one token doubled in place of an end token that is counted and not listed"
    return None


def last_count(stream: Stream) -> int | None:
    """The tokens that the stream says it has."""
    for piece in reversed(stream.pieces):
        usage = piece.body.get("usage") or piece.body.get("usageMetadata") if isinstance(piece.body, dict) else None
        for name in ("completion_tokens", "candidatesTokenCount"):
            if usage and usage.get(name):
                return usage[name]
    return None


def restated(stream: Stream, told: Told, place: int = 0) -> Verdict:
    """Whether a reading of the whole answer gives the numbers that its candidates stand for."""
    for name, numbers in zip(SIGNALS, stream.said.numbers(place), strict=True):
        same = len(told.signals[name]) == len(numbers)
        if not same or not np.allclose(told.signals[name], numbers, rtol=0, atol=1e-9, equal_nan=True):
            return wrong(f"the whole answer's {name} is not what its candidates stand for")
    return Verdict("whole")


def verdict(told: Told, whole: Told, stream: Stream) -> Verdict:
    """What became of a stream in one reading.

    Args:
        told: the reading.
        whole: what the same answer is unstreamed.
        stream: what was read.
    """
    if told.foreign is not None:
        return wrong(f"an error that is not ours: {told.foreign}")
    if told.error is not None:
        came = stream.untouched() and not stream.cut
        return wrong(f"refused, though all came: {told.error}") if came else Verdict("refused")
    if told.same(whole):
        return Verdict("whole")
    # Where some tokens never have logprobs, it takes a count and the text beside the others to tell their place.
    beside = stream.how.entries == "with"
    placed = stream.said.all_listed or (last_count(stream) is not None and beside)
    # Where text and logprobs come apart, an end token that is counted and not listed may show as a gap; so may a token
    # where calls come by turns, and the text is not in the order of the tokens.
    apart = not beside or not {"split", "calls interleaved"}.isdisjoint(stream.done)
    placed &= not apart or not (stream.said.end_counted or "calls interleaved" in stream.done)
    if stream.untouched() and placed:
        return wrong(f"all came, and the numbers are not those of the whole answer, at coverage {told.shares}")
    for name in SIGNALS:
        if told.shares[name] == 1.0 and _apart(told.centroids[name], whole.centroids[name]) and not told.warned:
            return wrong(f"another centroid of {name} at coverage 1")
    return Verdict("warned" if told.warned and 1.0 in told.shares.values() else "gap")


def _apart(one: float | None, other: float | None) -> bool:
    return (one is None) is not (other is None) or (one is not None and not math.isclose(one, other))


def agreement(live: Mapping[str, Told]) -> Verdict:
    """Whether all who heard a stream as it came heard the same."""
    first, *others = live.values()
    for told in others:
        if (told.error is None) is not (first.error is None):
            return wrong(f"some refuse it and some do not: {[each.error for each in live.values()]}")
        nothing = not any(told.shares.values()) and not any(first.shares.values())
        if told.error is None and not told.same(first) and not nothing:
            return wrong(f"the ways differ: coverage {[each.shares for each in live.values()]}")
    return Verdict("refused" if first.error else "whole")
