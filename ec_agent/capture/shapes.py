"""The one table of payload shapes: what providers return -> tokens, logprobs and usage. NumPy only.

Objects and their JSON form are read alike: an attribute and a key are the same thing here.

What comes out when a payload is odd, token by token:

    no candidates, ``None``, NaN, ``+inf``, a wrong type    -> that token has no entropy (NaN)
    a logprob above 0, beyond rounding                      -> that token has no entropy
    a candidate with ``-9999.0`` (OpenAI's "out of sight")  -> a candidate of probability 0
    a single candidate, unless it is practically certain    -> that token has no entropy
    such tokens, and none in the call with more candidates  -> no token of the call has an entropy
    fewer entries than the reported output tokens           -> the rest is a gap; one missing end token is none
    a count beyond 10 million tokens, or below 0            -> no count
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ec_agent.entropy import FloatArray
from ec_agent.signals import SIGNALS, TokenLogprobs
from ec_agent.trajectory import Call

CERTAIN = 0.999
SENTINEL = -9999.0
ROUNDING = 0.01
MOST_TOKENS = 10_000_000
_NUMBERS = frozenset({float, int, np.float64, np.float32})  # not bool
_UNREADABLE = (float("nan"),)
_FINAL_EVENTS = ("response.completed", "response.incomplete", "response.failed")


@dataclass(frozen=True, slots=True)
class Payload:
    """What one LLM call returned, reduced to what counts.

    Attributes:
        entries: one per generated token that came with logprobs: ``{"token", "logprob", "top_logprobs"}``.
        tokens: generated tokens as the provider counts them; ``None`` where it does not say.
        prompt_tokens: tokens of the prompt, where reported.
        cached_tokens: those of them read from the provider's cache, where reported.
        model: the model's name, where reported.
        cache_hit: whether a client-side LLM cache answered instead of the model.
    """

    entries: Sequence[Any] = ()
    tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    model: str | None = None
    cache_hit: bool = False


def get(thing: Any, *path: str | int) -> Any:
    """Follow keys, attributes and indices; ``None`` as soon as one is missing."""
    for step in path:
        if thing is None:
            return None
        if isinstance(thing, Mapping):
            thing = thing.get(step)
        elif isinstance(step, int):
            thing = thing[step] if isinstance(thing, Sequence) and step < len(thing) else None
        else:
            thing = getattr(thing, step, None)
    return thing


def _list(thing: Any) -> list[Any]:
    return list(thing) if isinstance(thing, Sequence) and not isinstance(thing, str | bytes) else []


def _count(thing: Any) -> int | None:
    whole = isinstance(thing, int) and not isinstance(thing, bool)
    return thing if whole and 0 <= thing <= MOST_TOKENS else None


def entries_of(logprobs: Any) -> list[Any]:
    """Token entries out of a logprobs object of any known shape; empty where there are none."""
    content = [*_list(get(logprobs, "content")), *_list(get(logprobs, "refusal"))]
    return _list(logprobs) or content or _legacy_entries(logprobs)


def _legacy_entries(logprobs: Any) -> list[Any]:
    """The legacy completions shape: parallel lists ``tokens`` / ``token_logprobs`` / ``top_logprobs``."""
    texts = _list(get(logprobs, "tokens"))
    sampled = _list(get(logprobs, "token_logprobs"))
    tops = _list(get(logprobs, "top_logprobs"))
    entries = []
    for place in range(max(len(texts), len(sampled))):
        top = tops[place] if place < len(tops) else None
        entries.append(
            {
                "token": texts[place] if place < len(texts) else "",
                "logprob": sampled[place] if place < len(sampled) else None,
                "top_logprobs": [{"token": t, "logprob": lp} for t, lp in top.items()]
                if isinstance(top, Mapping)
                else [],
            }
        )
    return entries


def payload_of_message(message: Any, generation_info: Any = None) -> Payload:
    """A LangChain AI message, as an object or as the dict a ``RemoteGraph`` returns."""
    metadata = get(message, "response_metadata")
    usage = get(message, "usage_metadata")
    raw_usage = get(metadata, "token_usage") or get(metadata, "usage")
    tokens = _count(get(usage, "output_tokens"))
    if tokens is None:
        tokens = _count(get(raw_usage, "completion_tokens"))
    prompt = _count(get(usage, "input_tokens"))
    return Payload(
        entries=entries_of(get(metadata, "logprobs")) or entries_of(get(generation_info, "logprobs")),
        tokens=tokens,
        prompt_tokens=_count(get(raw_usage, "prompt_tokens")) if prompt is None else prompt,
        cached_tokens=_count(get(usage, "input_token_details", "cache_read")),
        model=get(metadata, "model_name") or get(metadata, "model"),
        # LangChain zeroes the cost of a cached answer, and only of that.
        cache_hit=get(usage, "total_cost") == 0,
    )


def payload_of_response(response: Any) -> Payload:
    """A response of the OpenAI API: chat completion, legacy completion, or Responses."""
    usage = get(response, "usage")
    entries: list[Any] = []
    for choice in _list(get(response, "choices")):
        entries += entries_of(get(choice, "logprobs"))
    for item in _list(get(response, "output")):
        for part in _list(get(item, "content")):
            entries += entries_of(get(part, "logprobs"))
    tokens = _count(get(usage, "completion_tokens"))
    prompt = _count(get(usage, "prompt_tokens"))
    cached = _count(get(usage, "prompt_tokens_details", "cached_tokens"))
    return Payload(
        entries=entries,
        tokens=_count(get(usage, "output_tokens")) if tokens is None else tokens,
        prompt_tokens=_count(get(usage, "input_tokens")) if prompt is None else prompt,
        cached_tokens=_count(get(usage, "input_tokens_details", "cached_tokens")) if cached is None else cached,
        model=get(response, "model"),
    )


def payload_of_stream(chunks: Sequence[Any]) -> Payload:
    """The chunks or events of a streamed OpenAI answer, as far as they came."""
    by_choice: dict[Any, list[Any]] = {}
    usage = model = None
    for chunk in chunks:
        model = get(chunk, "model") or model
        usage = get(chunk, "usage") or usage
        for choice in _list(get(chunk, "choices")):
            by_choice.setdefault(_count(get(choice, "index")), []).extend(entries_of(get(choice, "logprobs")))
        if get(chunk, "type") == "response.output_text.delta":
            by_choice.setdefault(_count(get(chunk, "output_index")), []).extend(entries_of(get(chunk, "logprobs")))
    entries = [entry for choice in by_choice.values() for entry in choice]
    final = next((get(c, "response") for c in reversed(chunks) if get(c, "type") in _FINAL_EVENTS), None)
    whole = payload_of_response({"usage": usage, "model": model} if final is None else final)
    return whole if len(whole.entries) >= len(entries) else replace(whole, entries=entries)


def finished(chunks: Sequence[Any]) -> bool:
    """Whether a streamed answer came to its end; true too of one of which nothing came at all."""
    ends = (
        get(c, "type") in _FINAL_EVENTS or any(get(o, "finish_reason") for o in _list(get(c, "choices")))
        for c in chunks
    )
    return not chunks or any(ends)


def merge_payloads(payloads: Sequence[Payload]) -> Payload:
    """One payload out of the several requests of one call, in their order.

    Each keeps its gaps in their place. Where one of them is of unknown length, so is the whole.
    """
    if len(payloads) == 1:
        return payloads[0]
    entries: list[Any] = []
    for payload in payloads:
        entries += payload.entries
        entries += [None] * (generated(payload) - len(payload.entries))
    unknown = any(payload.tokens is None and not payload.entries for payload in payloads)

    def total(name: str) -> int | None:
        counts = [count for p in payloads if (count := getattr(p, name)) is not None]
        return sum(counts) if counts else None

    return Payload(
        entries=() if unknown else entries,
        tokens=None if unknown else len(entries),
        prompt_tokens=total("prompt_tokens"),
        cached_tokens=total("cached_tokens"),
        model=next((p.model for p in payloads if p.model), None),
        cache_hit=any(p.cache_hit for p in payloads),
    )


def generated(payload: Payload) -> int:
    """Generated tokens, those without logprobs included; 0 where nothing is known of them."""
    known = len(payload.entries)
    # The end token is counted by some providers and never listed: one missing is not a gap.
    return known if payload.tokens is None or 0 < known >= payload.tokens - 1 else payload.tokens


def tokens_of(entries: Sequence[Any], keep_text: bool = False) -> TokenLogprobs:
    """The entries as arrays; see the module's docstring for what an odd entry becomes. Never raises."""
    rows = [_row(entry) for entry in entries]
    width = max((len(row) for row in rows), default=0)
    top = np.full((len(rows), width), -np.inf)
    for place, row in enumerate(rows):
        try:
            top[place, : len(row)] = row
        except OverflowError:  # an integer beyond all floats
            top[place] = np.nan
    top[top > ROUNDING] = np.nan
    top[top <= SENTINEL] = -np.inf
    weights = np.exp(top)
    largest, total = weights.max(axis=1, initial=0.0), weights.sum(axis=1)
    # Renormalised, a candidate without others reads as full confidence, which only its own logprob can tell.
    doubtful = (largest > 0.0) & (largest < CERTAIN) & (largest == total)
    only_sampled = doubtful.any() and not (largest < total).any()
    top[doubtful | only_sampled] = np.nan
    sampled = np.array([_sampled(entry) for entry in entries], dtype=np.float64)
    texts = tuple(str(get(entry, "token") or "") for entry in entries) if keep_text else None
    return TokenLogprobs(top, sampled, texts)


def _row(entry: Any) -> Sequence[float]:
    candidates = get(entry, "top_logprobs")
    if not candidates or not isinstance(candidates, Sequence):
        return ()
    try:
        if isinstance(candidates[0], Mapping):
            row = [candidate["logprob"] for candidate in candidates]
        else:
            row = [candidate.logprob for candidate in candidates]
    except (AttributeError, KeyError, TypeError):
        return _UNREADABLE
    return row if _NUMBERS.issuperset(map(type, row)) else _UNREADABLE


def _sampled(entry: Any) -> float:
    value = get(entry, "logprob")
    return float(value) if type(value) in _NUMBERS and SENTINEL < value <= ROUNDING else np.nan


def call_of(
    payload: Payload,
    signals: Sequence[str],
    *,
    keep_text: bool = False,
    node: str | None = None,
    model: str | None = None,
    started: float | None = None,
    ended: float | None = None,
) -> Call:
    """The payload as one :class:`~ec_agent.Call`: its signals, and gaps for tokens without logprobs."""
    tokens = tokens_of(payload.entries, keep_text)
    arrays: dict[str, FloatArray] = {name: SIGNALS[name](tokens) for name in signals}
    return Call(
        entropies=arrays.pop("entropy"),
        tokens=None if payload.tokens is None and not len(tokens) else generated(payload),
        signals=arrays,
        texts=tokens.texts,
        node=node,
        model=payload.model or model,
        started=started,
        ended=ended,
        prompt_tokens=payload.prompt_tokens,
        cached_tokens=payload.cached_tokens,
    )
