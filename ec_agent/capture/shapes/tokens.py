"""From token entries to arrays: what an odd entry becomes is decided here."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ec_agent.capture.shapes.candidates import repeats
from ec_agent.capture.shapes.gaps import Gap, Gaps
from ec_agent.capture.shapes.payloads import Payload, gaps_of, spread
from ec_agent.capture.shapes.placeholders import contradicted, several_certain, zeros_alone
from ec_agent.capture.shapes.reading import get, text_of
from ec_agent.capture.shapes.usual import CERTAIN, ROUNDING, SENTINEL, TRUTHS, usual_tokens
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.signals import ENTROPY, SIGNALS, TokenLogprobs
from ec_agent.numbers.trajectory import Call, Capability, Likeliest

_NUMBERS = frozenset({float, int, np.float64, np.float32})  # not bool
_UNREADABLE = (float("nan"),)


def tokens_of(
    entries: Sequence[Any], keep_text: bool = False, top_k: int | None = None, keep_candidates: int = 0
) -> TokenLogprobs:
    """The entries as arrays; see the package's docstring for what an odd entry becomes. Never raises.

    Args:
        entries: one per generated token, ``{"token", "logprob", "top_logprobs"}``.
        keep_text: keep the token texts.
        top_k: how many candidates were asked for; of more, the largest so many count.
        keep_candidates: keep the so many likeliest candidates of each token, with their texts.
    """
    texts = tuple(text_of(entry) for entry in entries) if keep_text else None
    usual = None if keep_candidates else usual_tokens(entries, top_k)
    if usual is not None:
        return TokenLogprobs(*usual, texts)
    sampled = np.array([_sampled(entry) for entry in entries], dtype=np.float64)
    top, placeholders = _listed(entries, sampled)
    candidates = _likeliest(top, entries, keep_candidates) if keep_candidates else None
    top = _counted(top, top_k)
    top[placeholders], sampled[placeholders] = np.nan, np.nan
    sampled[zeros_alone(top, sampled)] = np.nan
    return TokenLogprobs(top, sampled, texts, candidates)


def _listed(entries: Sequence[Any], sampled: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The candidates as they are listed, shape ``(T, k)``, and which tokens hold placeholders, shape ``(T,)``."""
    rows = [_row(entry) for entry in entries]
    top = np.full((len(rows), max((len(row) for row in rows), default=0)), -np.inf)
    for place, row in enumerate(rows):
        try:
            top[place, : len(row)] = row
        except OverflowError:  # an integer beyond all floats
            top[place] = np.nan
    top[top > ROUNDING] = np.nan
    top[top <= SENTINEL] = -np.inf
    _once_each(top, entries)
    masked = np.array([len(row) > 0 for row in rows], np.bool_) & np.isneginf(top).all(axis=1)
    return top, masked | several_certain(top) | contradicted(top, sampled, entries)


def _counted(top: FloatArray, top_k: int | None) -> FloatArray:
    """The candidates that count, the likeliest ``top_k`` of each token; none where they are stand-ins."""
    width = top.shape[1]
    if top_k and width > top_k:
        top = np.sort(top, axis=1)[:, ::-1][:, :top_k]  # NaN comes first: what cannot be read is not cut away
    weights = np.exp(top)
    largest, total = weights.max(axis=1, initial=0.0), weights.sum(axis=1)
    # Renormalised, a candidate without others reads as full confidence, which only its own logprob can tell.
    doubtful = (largest > 0.0) & (largest < CERTAIN) & (largest == total)
    # Where no token has a second one, they are the sampled tokens again, or stand-ins: certain or not, no candidates.
    only_sampled = width < 2 or top_k == 1 or (doubtful.any() and not (largest < total).any())
    top[doubtful | only_sampled] = np.nan
    return top


def _row(entry: Any) -> Sequence[float]:
    candidates = get(entry, "top_logprobs")
    if not candidates or not isinstance(candidates, Sequence):
        return ()
    try:
        if isinstance(candidates[0], dict):
            row = [candidate["logprob"] for candidate in candidates]
        else:
            row = [candidate.logprob for candidate in candidates]
    except (AttributeError, KeyError, TypeError):
        return _UNREADABLE
    return row if _NUMBERS.issuperset(map(type, row)) or _numbers_all(row) else _UNREADABLE


def _numbers_all(row: Sequence[Any]) -> bool:
    """Whether these are numbers of any type, such as a decoder's ``Decimal``; truth values are none."""
    return all(map(_number, row))


def _number(value: Any) -> bool:
    try:
        array("d", (value,))
    except (TypeError, ValueError):
        return False
    except OverflowError:
        pass
    return not isinstance(value, TRUTHS)


def _likeliest(top: FloatArray, entries: Sequence[Any], most: int) -> tuple[Likeliest, ...]:
    kept = []
    for row, entry in zip(top, entries, strict=True):
        listed = get(entry, "top_logprobs")
        places = [int(place) for place in np.argsort(-row, kind="stable") if np.isfinite(row[place])][:most]
        shares = np.exp(np.minimum(row[places], 0.0)).tolist()  # rounding may leave a logprob above 0
        texts = [text_of(listed[place]) for place in places]
        kept.append(tuple(zip(texts, shares, strict=True)))
    return tuple(kept)


def _once_each(top: FloatArray, entries: Sequence[Any]) -> None:
    """A candidate that is listed twice, the same token with the same logprob, counts once."""
    ranked = np.sort(top, axis=1)
    # Equal logprobs are rare, so only rows that have some are looked at one by one.
    equal = (ranked[:, 1:] == ranked[:, :-1]) & np.isfinite(ranked[:, 1:])
    for place in np.flatnonzero(equal.any(axis=1)):
        top[place, repeats(get(entries[int(place)], "top_logprobs"), top[place].tolist())] = -np.inf


def _sampled(entry: Any) -> float:
    value = get(entry, "logprob")
    return float(value) if type(value) in _NUMBERS and SENTINEL < value <= ROUNDING else np.nan


def capability_of(tokens: TokenLogprobs, entropies: FloatArray | None = None) -> Capability:
    """What these logprobs are good for: ``"full"`` where a token has an entropy, else ``"sampled"`` or ``"none"``.

    Args:
        tokens: the logprobs.
        entropies: their entropies, where they are known already.
    """
    if not np.isnan(SIGNALS[ENTROPY](tokens) if entropies is None else entropies).all():
        return "full"
    return "none" if np.isnan(tokens.sampled).all() else "sampled"


def call_of(
    payload: Payload,
    signals: Sequence[str],
    *,
    keep_text: bool = False,
    keep_candidates: int = 0,
    node: str | None = None,
    model: str | None = None,
    started: float | None = None,
    ended: float | None = None,
) -> Call:
    """The payload as one ``ec_agent.Call``: its signals, and gaps for tokens without logprobs."""
    tokens = tokens_of(payload.entries, keep_text, payload.top_k, keep_candidates)
    return call_with(payload, tokens, signals, node=node, model=model, started=started, ended=ended)


def call_with(
    payload: Payload,
    tokens: TokenLogprobs,
    signals: Sequence[str],
    *,
    node: str | None = None,
    model: str | None = None,
    started: float | None = None,
    ended: float | None = None,
) -> Call:
    """The same of a payload whose entries have been read."""
    gaps = gaps_of(payload)
    arrays: dict[str, FloatArray] = {name: SIGNALS[name](tokens) for name in signals}
    capability = capability_of(tokens, arrays[ENTROPY])
    arrays = {name: _with_gaps(values, gaps) for name, values in arrays.items()}
    texts, candidates = tokens.texts, tokens.candidates
    # At the end no empty texts are needed: there may be very many such tokens.
    ends = [gap if gap.place < len(tokens) else gap._replace(tokens=min(len(gap.text), 1)) for gap in gaps.each]
    within = gaps._replace(each=tuple(ends))
    return Call(
        entropies=arrays.pop(ENTROPY),
        tokens=None if payload.tokens is None and not len(tokens) else len(tokens) + gaps.total,
        signals=arrays,
        texts=None if texts is None else tuple(spread(texts, within, _said)),
        candidates=None if candidates is None else tuple(spread(candidates, within, lambda gap, number: ())),
        node=node,
        model=payload.model or model,
        started=started,
        ended=ended,
        prompt_tokens=payload.prompt_tokens,
        cached_tokens=payload.cached_tokens,
        capability=capability,
        partial=payload.partial,
        constrained=payload.constrained,
        from_cache=payload.cache_hit,
        beside=payload.beside,
        unplaced=gaps.unsure,
    )


def _with_gaps(values: FloatArray, gaps: Gaps) -> FloatArray:
    if not gaps.each:
        return values
    places = np.repeat([gap.place for gap in gaps.each], [gap.tokens for gap in gaps.each])
    return np.insert(values, places, np.nan)


def _said(gap: Gap, number: int) -> str:
    """Text without entries, as that of the first of the tokens that it is."""
    return "" if number else gap.text
