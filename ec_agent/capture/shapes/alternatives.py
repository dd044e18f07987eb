"""Separates several answers to one request (``n=2``), which must not be joined to one timeline.

One of the answers counts: the one that the agent went on with if that is known, else the first. The provider counts the
tokens of all answers together. The tokens of the other answers are only part of the costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ec_agent.capture.shapes.payload import FACTS, READ, Payload
from ec_agent.capture.shapes.values import count, first, get, listed

_HOLDERS = ("choices", "candidates")


@dataclass(frozen=True, slots=True)
class Alternative:
    """One of several answers.

    Attributes:
        payload: its entries, and its share of the tokens.
        words: its text and the ids of its tool calls. They identify it in any message that holds it.
    """

    payload: Payload
    words: frozenset[str]


def split(parts: Sequence[Any], prompts: int = 1) -> list[list[Any]]:
    """Split a whole answer, or the parts of a streamed one, into its alternatives.

    Args:
        parts: the answer as a list of one, or its chunks.
        prompts: how many prompts it answers. OpenAI's legacy completions give ``n`` answers to each prompt.

    Returns:
        For each alternative the parts with only its choice, without usage. If there are no alternatives, one list with
        the unchanged parts.
    """
    held = next((name for name in _HOLDERS if any(_several(get(part, name)) for part in parts)), None)
    if held is None:
        return [list(parts)]
    places = sorted({place for part in parts for place, _ in _numbered(part, held)})
    each = len(places) // prompts if prompts > 0 and len(places) % prompts == 0 else len(places)
    if each < 2:
        return [list(parts)]
    return [[_only(part, held, places[number::each]) for part in parts] for number in range(each)]


def _several(choices: Any) -> bool:
    """Tell whether these choices show that there is more than one alternative."""
    found = listed(choices)
    return len(found) > 1 or bool(found and count(get(found[0], "index")))


def _numbered(part: Any, held: str) -> list[tuple[int, Any]]:
    """Return the choices of a part with their indices. If they have none, they are numbered in order."""
    choices = listed(get(part, held))
    numbers = [count(get(choice, "index")) for choice in choices]
    if len(set(numbers)) < len(numbers):
        numbers = list(range(len(choices)))
    return [(number or 0, choice) for number, choice in zip(numbers, choices, strict=True)]


def _only(part: Any, held: str, places: Sequence[int]) -> dict[str, Any]:
    kept = [choice for place, choice in _numbered(part, held) if place in places]
    told = {each.keys[0]: first(part, *each.keys) for each in READ}
    return {"object": get(part, "object"), "type": get(part, "type"), **told, held: kept}


def words_of(parts: Sequence[Any]) -> frozenset[str]:
    """Return the texts that identify an answer; see ``Alternative.words``.

    Args:
        parts: messages; or a whole answer, or chunks, with one choice.
    """
    sayers = [sayer for part in parts for sayer in (part, *_sayers(part))]
    names = [get(call, "id") for sayer in sayers for call in listed(get(sayer, "tool_calls"))]
    return frozenset(name for name in (spoken(parts).strip(), *names) if isinstance(name, str) and name)


def spoken(parts: Sequence[Any]) -> str:
    """Return the text in messages, whole answers or chunks."""
    sayers = [sayer for part in parts for sayer in (part, *_sayers(part))]
    return "".join(_text(get(sayer, "content")) or _text(get(sayer, "text")) for sayer in sayers)


def _sayers(part: Any) -> list[Any]:
    """Return the objects in an answer or chunk that may hold text."""
    choices = listed(get(part, "choices"))
    said = [each for choice in choices for each in (choice, get(choice, "message"), get(choice, "delta"))]
    return said + [each for c in listed(get(part, "candidates")) for each in listed(get(c, "content", "parts"))]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    blocks = [block if isinstance(block, str) else get(block, "text") for block in listed(content)]
    return "".join(text for text in blocks if isinstance(text, str))


def among(each: Sequence[Alternative], whole: Payload, unreturned: int = 0, echoed: bool = False) -> Payload:
    """Make the payload of the first alternative, which also holds the others.

    Tokens that were counted but have no entry are divided equally among the alternatives. If some alternatives came
    without any entry, or were not returned, all such tokens are theirs. As for a single answer, one missing end token
    of each is not a gap.

    Args:
        each: the alternatives, as far as they came, without a count of their own.
        whole: what was reported for all of them together: usage, model, id.
        unreturned: how many further answers the provider generated, but did not return (``best_of``).
        echoed: whether the prompt came back before each answer. Then nobody knows where the answers begin, and the
            entries cannot be used.
    """
    payloads = [replace(a.payload, entries=()) if echoed else a.payload for a in each]
    counts = _counts(payloads, [bool(a.words) for a in each], whole.tokens, unreturned)
    told = [
        replace(alternative, payload=replace(payload, tokens=tokens))
        for alternative, payload, tokens in zip(each, payloads, counts, strict=True)
    ]
    billed = max(whole.tokens or 0, sum(_size(alternative.payload) for alternative in told))
    return _picked(replace(whole, alternatives=tuple(told)), told[0], billed)


def pick(payload: Payload, place: int) -> Payload:
    """Make the payload of another alternative of the same request. The total costs stay the same.

    Args:
        payload: the payload of one of the alternatives.
        place: index of the other one in ``payload.alternatives``.
    """
    return _picked(payload, payload.alternatives[place], payload.beside + _size(payload))


def _picked(whole: Payload, alternative: Alternative, billed: int) -> Payload:
    own = alternative.payload
    shared = {each.name: each.shared(whole, own) for each in FACTS}
    return replace(own, alternatives=whole.alternatives, beside=max(billed - _size(own), 0), **shared)


def _counts(
    payloads: Sequence[Payload], speak: Sequence[bool], tokens: int | None, unreturned: int
) -> list[int | None]:
    """Return how many tokens each alternative has, or ``None`` where that is not known."""
    if tokens is None:
        return [payload.tokens for payload in payloads]
    known = [_size(payload) for payload in payloads]
    missing = max(tokens - sum(known), 0)
    mute = [place for place, says in enumerate(speak) if says and not known[place]]
    if mute or unreturned:
        shares = dict(zip(mute, _shares(missing, len(mute) + unreturned), strict=False))
        # 0 would be wrong for an answer that is not empty, so it becomes None, "unknown".
        return [shares[place] or None if place in shares else size for place, size in enumerate(known)]
    each = _shares(missing if missing > _unlisted_ends(payloads, missing) else 0, len(payloads))
    return [size + share for size, share in zip(known, each, strict=True)]


def _unlisted_ends(payloads: Sequence[Payload], missing: int) -> int:
    """Return how many of the missing tokens may be end tokens. An answer that was cut at its limit has none."""
    if not 0 < missing <= len(payloads):
        return 0
    return sum(payload.said is None or payload.said().finish != "length" for payload in payloads)


def _shares(missing: int, size: int) -> list[int]:
    return [(missing + place) // size for place in reversed(range(size))]


def _size(payload: Payload) -> int:
    return len(payload.entries) + payload.mute if payload.tokens is None else payload.tokens
