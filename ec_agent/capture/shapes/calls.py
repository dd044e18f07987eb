"""Turns answers into calls: their signals, with NaN where tokens are missing, and their facts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ec_agent.capture.shapes.gaps import Gap, Gaps
from ec_agent.capture.shapes.payload import OF_CALL, Payload
from ec_agent.capture.shapes.readings import Reading, TokenSignals
from ec_agent.capture.shapes.whole_answers import gaps_of, spread
from ec_agent.numbers.entropy import FloatArray
from ec_agent.numbers.signals import ENTROPY
from ec_agent.numbers.trajectory import Call


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
    """Turn a payload into an ``ec_agent.Call``, with NaN for tokens without logprobs.

    Args:
        payload: the answer.
        signals: names of the signals to compute; the entropy must be among them.
        keep_text: whether to keep the texts of tokens.
        keep_candidates: how many of the likeliest candidates of each token to keep.
        node: name of the graph node that made the call.
        model: name of the model, if the answer does not say it.
        started: start of the call, in seconds since the epoch.
        ended: end of the call, in seconds since the epoch.
    """
    reading = Reading(tuple(signals), payload.top_k, keep_text, keep_candidates)
    return call_with(payload, reading.of(payload.entries), node=node, model=model, started=started, ended=ended)


def call_with(
    payload: Payload,
    tokens: TokenSignals,
    *,
    node: str | None = None,
    model: str | None = None,
    started: float | None = None,
    ended: float | None = None,
) -> Call:
    """Turn a payload into a call as ``call_of`` does, if its entries were read already, as ``tokens``."""
    gaps = gaps_of(payload)
    arrays = {name: _with_gaps(values, gaps) for name, values in tokens.signals.items()}
    texts, candidates = tokens.texts, tokens.candidates
    # Missing tokens at the end get no empty texts, because there may be very many of them.
    ends = [gap if gap.place < len(tokens) else gap._replace(tokens=min(len(gap.text), 1)) for gap in gaps.each]
    within = gaps._replace(each=tuple(ends))
    facts = {name: getattr(payload, name) for name in OF_CALL}
    facts["model"] = payload.model or model
    return Call(
        entropies=arrays.pop(ENTROPY),
        tokens=None if payload.tokens is None and not len(tokens) else len(tokens) + gaps.total,
        signals=arrays,
        texts=None if texts is None else tuple(spread(texts, within, _said)),
        candidates=None if candidates is None else tuple(spread(candidates, within, lambda gap, number: ())),
        node=node,
        started=started,
        ended=ended,
        capability=tokens.capability,
        from_cache=payload.cache_hit,
        beside=payload.beside,
        unplaced=gaps.unsure,
        **facts,
    )


def _with_gaps(values: FloatArray, gaps: Gaps) -> FloatArray:
    if not gaps.each:
        return values
    if not len(values):
        return np.full(gaps.total, np.nan)
    places = np.repeat([gap.place for gap in gaps.each], [gap.tokens for gap in gaps.each])
    return np.insert(values, places, np.nan)


def _said(gap: Gap, number: int) -> str:
    """Return the text of a missing token: the first token of a gap gets all its text, the others none."""
    return "" if number else gap.text
