"""The table of logprobs shapes: each row turns one wire format into token entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ec_agent.capture.shapes.reading import first, get, listed

Entries = list[Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """One way in which logprobs come.

    Attributes:
        name: what the tests and docs/providers.md call it.
        looks: what a logprobs object of this shape has, in words.
        read: its entries, ``{"token", "logprob", "top_logprobs"}`` one per generated token; empty for anything else.
    """

    name: str
    looks: str
    read: Callable[[Any], Entries]


def _content(logprobs: Any) -> Entries:
    # What was thought comes before what is said; a refusal is what is said instead.
    parts = [get(logprobs, name) for name in ("reasoning_content", "content", "refusal")]
    return [entry for part in parts for entry in (listed(part) or _single(part))]


def _bare(logprobs: Any) -> Entries:
    # Numbers alone would be logprobs of nobody knows what.
    return [entry for entry in listed(logprobs) if not isinstance(entry, int | float)]


def _single(logprobs: Any) -> Entries:
    named = any(get(logprobs, name) is not None for name in ("token", "bytes"))
    logprob = get(logprobs, "logprob")
    number = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    return [logprobs] if named and (number or listed(get(logprobs, "top_logprobs"))) else []


def _parallel(logprobs: Any) -> Entries:
    texts, sampled, tops = (get(logprobs, name) for name in ("tokens", "token_logprobs", "top_logprobs"))
    if isinstance(texts, str) and isinstance(sampled, int | float):  # one token in the place of a list of one
        texts, sampled, tops = [texts], [sampled], [tops]
    texts, sampled, tops = listed(texts), listed(sampled), listed(tops)
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


def _gemini(logprobs: Any) -> Entries:
    chosen = listed(first(logprobs, "chosen_candidates", "chosenCandidates"))
    tops = listed(first(logprobs, "top_candidates", "topCandidates"))
    entries = []
    for place in range(max(len(chosen), len(tops))):
        token = _gemini_candidate(chosen[place] if place < len(chosen) else None)
        candidates = listed(get(tops[place], "candidates")) if place < len(tops) else []
        entries.append({**token, "top_logprobs": [_gemini_candidate(candidate) for candidate in candidates]})
    return entries


def _gemini_candidate(candidate: Any) -> dict[str, Any]:
    return {
        "token": get(candidate, "token"),
        "token_id": first(candidate, "token_id", "tokenId"),
        "logprob": first(candidate, "log_probability", "logProbability"),
    }


SHAPES: tuple[Shape, ...] = (
    Shape("content", "`content`, `refusal`, `reasoning_content`: lists of tokens with `top_logprobs`", _content),
    Shape("list", "a bare list of tokens with `top_logprobs`", _bare),
    Shape("single", "one token, with `top_logprobs`, in the place of a list of one", _single),
    Shape("parallel", "`tokens`, `token_logprobs`, `top_logprobs`: lists side by side", _parallel),
    Shape("candidates", "`chosen_candidates`, `top_candidates`, in snake or camel case", _gemini),
)


def entries_of(logprobs: Any) -> Entries:
    """Token entries out of a logprobs object of any shape in the table; empty where there are none."""
    return next((entries for shape in SHAPES if (entries := shape.read(logprobs))), [])
